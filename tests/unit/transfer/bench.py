"""What an upload needs in a test: a server in memory, a context and a stream."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.remote_memory import MemoryConnector, MemoryFiles, MemoryServer, MemoryWriter
from tests.small_config import SMALL
from uploader.artifact import Artifact, Digest, WebFile
from uploader.errors import NetworkError, UploaderError
from uploader.events import Event, Message, Phase, Progress, silence
from uploader.rate_limit import RateLimiter
from uploader.reference import PathReference
from uploader.remote.interface import Connector
from uploader.remote.limited import limited
from uploader.remote.pool import ConnectionPool
from uploader.retry import Retry
from uploader.sources import local
from uploader.sources.interface import Stream
from uploader.state.database import Database
from uploader.state.uploads import UploadRecords
from uploader.transfer import TransferContext, Upload, UploadJob, UploadResult
from uploader.transfer.config import TransferConfig

CHUNK_BYTES = SMALL.chunk_bytes
BLOCK_BYTES = 1600
FOLDER = "/home/user/models"
FINAL = f"{FOLDER}/m.safetensors"


def content(chunks: float, seed: int = 0) -> bytes:
    """Return this many chunks of random bytes."""
    return random.Random(seed).randbytes(int(chunks * CHUNK_BYTES))


def large(chunks: float, seed: int = 0) -> bytes:
    """Return this many chunks of the real size, of random bytes."""
    return random.Random(seed).randbytes(int(chunks * TransferConfig.chunk_bytes))


def at_once(seconds: float) -> bool:
    """Replace the wait between two tries: return at once."""
    return False


class WebStream:
    """A stream of the bytes of a link. Each read takes the next of `cuts` and fails after that number of bytes."""

    def __init__(self, data: bytes, cuts: list[int] | None = None, block: int = BLOCK_BYTES) -> None:
        self.data = data
        self.cuts = cuts or []
        self.block = block
        self.reads: list[int] = []
        self.closed = False

    def read(self, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        self.reads.append(offset)
        cut = self.cuts.pop(0) if self.cuts else None
        whole = len(self.data) if length is None else min(len(self.data), offset + length)
        end = whole if cut is None else min(whole, offset + cut)
        for at in range(offset, end, self.block):
            yield self.data[at : min(at + self.block, end)]
        if cut is not None:
            raise NetworkError("the line to the source was cut")

    def slice(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]

    def check(self) -> None:
        """Accept the file: it never changes."""

    def close(self) -> None:
        self.closed = True


def context_of(
    connector: Connector,
    cancelled: threading.Event | None = None,
    up: RateLimiter | None = None,
    down: RateLimiter | None = None,
) -> TransferContext:
    """Return a context for tests that record nothing and wait for no retry."""
    cancelled = cancelled or threading.Event()
    down = down or RateLimiter(None, cancelled)
    return TransferContext(
        ConnectionPool(limited(connector, up or RateLimiter(None, cancelled), down)),
        UploadRecords(Database(Path("not-used"))),
        silence,
        Retry(cancelled, silence, at_once),
        cancelled,
        limit=down,
        config=SMALL,
    )


@dataclass
class Bench:
    """A server in memory with one folder, and everything that an upload needs apart from its job."""

    folder: Path
    server: MemoryServer = field(default_factory=MemoryServer)
    connections: int = 1
    config: TransferConfig = SMALL
    connector: Connector | None = None
    up: RateLimiter | None = None
    down: RateLimiter | None = None
    events: list[Event] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.server.make_folders(FOLDER)
        self.state = self.folder / "state"
        self.uploads = UploadRecords(Database(self.state))
        self.retry = Retry(self.cancelled, self.events.append, at_once)
        self.last: Upload | None = None

    def context(self) -> TransferContext:
        context = context_of(self.connector or MemoryConnector(self.server), self.cancelled, self.up, self.down)
        return replace(
            context,
            uploads=self.uploads,
            observer=self.events.append,
            retry=self.retry,
            connections=self.connections,
            config=self.config,
        )

    def local(self, data: bytes, sha256: str | None = None) -> Artifact:
        path = self.folder / "m.safetensors"
        if not path.exists() or path.read_bytes() != data:
            path.write_bytes(data)
        (artifact,) = local.resolve(PathReference(str(path)))
        return replace(artifact, digest=Digest(sha256) if sha256 else None)

    def send(self, data: bytes, *, sha256: str | None = None, **options: Any) -> UploadResult:
        """Send a file of this disk."""
        artifact = self.local(data, sha256)
        return self.run(artifact, lambda: local.open(artifact), **options)

    def relay(
        self, stream: WebStream, *, validator: str | None = '"v1"', sha256: str | None = None, **options: Any
    ) -> UploadResult:
        """Send the bytes of a link."""
        origin = WebFile("https://x/m", validator, ranges=True)
        digest = Digest(sha256) if sha256 else None
        artifact = Artifact("https://x/m", "m.safetensors", len(stream.data), origin, "0123abcd", digest)
        return self.run(artifact, lambda: stream, **options)

    def run(self, artifact: Artifact, open_stream: Callable[[], Stream], **options: Any) -> UploadResult:
        assert artifact.size is not None
        job = UploadJob("item", artifact, open_stream, FINAL, "memory", artifact.size, **options)
        context = self.context()
        self.last = Upload(job, context)
        try:
            return self.last.run()
        finally:
            context.pool.close()

    def fails(self, data: bytes, **options: Any) -> UploaderError:
        """Return the error with which sending a file of this disk fails."""
        try:
            self.send(data, **options)
        except UploaderError as error:
            return error
        raise AssertionError("it did not fail")

    @property
    def final(self) -> bytes | None:
        found = self.server.files.get(FINAL)
        return None if found is None else bytes(found)

    @property
    def parts(self) -> list[str]:
        return [name for name in self.server.files if name.endswith(".part")]

    @property
    def part(self) -> bytearray:
        (name,) = self.parts
        return self.server.files[name]

    @property
    def phases(self) -> list[str]:
        return [event.name for event in self.events if isinstance(event, Phase)]

    @property
    def progress(self) -> list[Progress]:
        return [event for event in self.events if isinstance(event, Progress)]

    @property
    def said(self) -> str:
        return "\n".join(event.text for event in self.events if isinstance(event, Message))


def with_files(server: MemoryServer, files: type[MemoryFiles]) -> MemoryConnector:
    """Return a connector to the server whose connections use `files`."""

    class Connector(MemoryConnector):
        def connect(self) -> Any:
            connection = super().connect()
            connection.files = files(connection, None)
            return connection

    return Connector(server)


def writing_by(writer: type[MemoryWriter]) -> type[MemoryFiles]:
    """Return files that are written by `writer`."""

    class Files(MemoryFiles):
        def open_writer(self, path: str, *, fresh: bool) -> Any:
            super().open_writer(path, fresh=fresh)
            return writer(self, path)

    return Files
