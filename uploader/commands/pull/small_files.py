"""Fetches files from a server: small ones many at a time, big ones by pieces over several connections, resumable."""

from __future__ import annotations

import hashlib
import os
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from io import FileIO
from pathlib import Path
from typing import TypeVar

from uploader.commands.pull.decide import FetchStep
from uploader.errors import (
    ConfigurationError,
    NetworkError,
    RemoteMissing,
    RemoteRefused,
    SourceChanged,
    SourceRefused,
    UploaderError,
    WrongBytes,
)
from uploader.events import Progress
from uploader.placement import part_name
from uploader.remote.interface import Connection, Entry
from uploader.result import Evidence
from uploader.session.runner import StepResult
from uploader.state.manifest import Manifest, PlacedFile, fetched
from uploader.state.uploads import UploadRecord
from uploader.transfer import TransferContext
from uploader.transfer.chunks import CHUNK_BYTES

T = TypeVar("T")

TOGETHER = 64
"""Small files that are fetched together."""

TOGETHER_BYTES = 16 << 20
"""Their bytes, all together: they are held in memory."""

_RUN = 4
"""Pieces that one connection asks for in a row."""

_WORTH = 8
"""Pieces that a further connection must have to fetch, to be worth its sign-in."""

_SAMPLES = 8


class Fetcher:
    """Carries out the steps of one pull; thread-safe."""

    def __init__(self, target: str, manifest: Manifest, context: TransferContext) -> None:
        self._target = target
        self._manifest = manifest
        self._context = context

    def is_same(self, step: FetchStep) -> bool:
        """Whether the local file has the bytes of the server's, which has its size."""
        taken = self._context.with_connection(lambda connection: connection.hash_files([step.remote]))
        with _named_faults(step.local), step.local.open("rb") as file:
            if taken is not None:
                return taken[0] == hashlib.file_digest(file, "sha256").hexdigest()

            def compare(connection: Connection) -> bool:
                for index, data in enumerate(connection.files.read(step.remote, _ranges(step.size))):
                    file.seek(index * CHUNK_BYTES)
                    if file.read(len(data)) != data:
                        return False
                return True

            return self._context.with_connection(compare)

    def remember(self, step: FetchStep, sha256: str | None) -> None:
        """Takes down that the local file is the server's."""
        mtime_ns = step.local.stat().st_mtime_ns
        self._manifest.record(step.remote, PlacedFile(step.size, sha256, mtime_ns, step.there.mtime, str(step.local)))

    # small files --------------------------------------------------------------------------------------

    def fetch_small(self, steps: Sequence[FetchStep]) -> list[StepResult | UploaderError]:
        """Fetches small files together. Returns how each ended, in order; raises what a line raises that is lost."""
        return self._context.with_connection(partial(self._small, steps))

    def _small(self, steps: Sequence[FetchStep], connection: Connection) -> list[StepResult | UploaderError]:
        paths = [step.remote for step in steps]
        # A byte more than expected: a file that grew meanwhile shows it.
        read = connection.files.many.read([(step.remote, step.size + 1) for step in steps])
        taken = connection.hash_files(paths)
        after = connection.files.many.stat(paths)
        results: list[StepResult | UploaderError] = []
        for at, (step, data, entry) in enumerate(zip(steps, read, after, strict=True)):
            try:
                if isinstance(data, RemoteRefused):
                    raise data
                sha256 = hashlib.sha256(data).hexdigest()
                _refuse_changed(step, entry if isinstance(entry, Entry) else None)
                if taken is not None and taken[at] != sha256:
                    raise _wrong(step)
                self._keep(step, data, sha256)
                results.append(StepResult(Evidence.REMOTE_HASH if taken is not None else Evidence.SIZE, sha256))
            except NetworkError:
                raise
            except UploaderError as error:
                results.append(error)
        return results

    def _keep(self, step: FetchStep, data: bytes, sha256: str) -> None:
        part = _part(step)
        with _named_faults(step.local):
            _make_folder(step)
            part.write_bytes(data)
            self._finish(step, part)
        self.remember(step, sha256)

    # big files ----------------------------------------------------------------------------------------

    def fetch_big(self, step: FetchStep) -> StepResult:
        """Fetches a file by pieces, those apart that an earlier run left and that are proven to be right."""
        part, identity = _part(step), _identity(step)
        with _named_faults(step.local):
            _make_folder(step)
        with self._context.uploads.claim(fetched(self._target), str(step.local)) as record:
            with _named_faults(step.local), part.open("r+b" if part.exists() else "w+b", buffering=0) as file:
                record.begin(identity, step.size, CHUNK_BYTES, str(part))
                there = self._left(file, record)
                resumed = sum(_length(step, index) for index in there)
                chunks = Pieces(step, file, record, there, partial(self._told, step, resumed))
                self._lanes(step, chunks)
                file.truncate(step.size)
                os.fsync(file.fileno())
                sha256, evidence = self._proven(step, file, record)
            with _named_faults(step.local):
                self._finish(step, part)
            record.remove()
        self.remember(step, sha256)
        return StepResult(evidence, sha256, 0, resumed)

    def _left(self, file: FileIO, record: UploadRecord) -> set[int]:
        """The pieces of an earlier run that this disk still has as they came."""
        there = set()
        for index, digest in record.chunks.items():
            file.seek(index * CHUNK_BYTES)
            if hashlib.sha256(_read(file, CHUNK_BYTES)).hexdigest() == digest:
                there.add(index)
            else:
                record.forget(index)
        return there

    def _lanes(self, step: FetchStep, chunks: Pieces) -> None:
        """Fetches what is missing, over several connections at once."""
        faults: list[BaseException] = []

        def lane() -> None:
            try:
                while runs := chunks.take():
                    self._context.retry(partial(self._run, step, chunks, runs), chunks.count)
            except BaseException as error:  # noqa: BLE001 - carried to the caller's thread, which raises it
                faults.append(error)
                chunks.stop()

        count = max(1, min(self._context.connections or self._context.pool.most, chunks.missing() // _WORTH))
        threads = [threading.Thread(target=lane, name=f"pull-{number}", daemon=True) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if faults:
            raise faults[0]

    def _run(self, step: FetchStep, chunks: Pieces, runs: list[int]) -> None:
        with self._context.pool.lease() as connection:
            todo = list(runs)
            ranges = [(index * CHUNK_BYTES, _length(step, index)) for index in todo]
            for index, data in zip(todo, connection.files.read(step.remote, ranges), strict=True):
                self._context.down.pass_through(len(data))
                if len(data) != _length(step, index):
                    raise _changed(step)
                chunks.put(index, data)
                runs.remove(index)

    def _proven(self, step: FetchStep, file: FileIO, record: UploadRecord) -> tuple[str, Evidence]:
        """Compares what came with what the server has. What differs is known to be no file at all."""
        file.seek(0)
        digest = hashlib.sha256()
        while block := file.read(CHUNK_BYTES):
            digest.update(block)
        _refuse_changed(step, self._context.with_connection(lambda connection: connection.files.stat(step.remote)))
        taken = self._context.with_connection(lambda connection: connection.hashes(step.remote, [(0, step.size)]))
        if taken is not None:
            if taken[0] != digest.hexdigest():
                record.remove()
                raise _wrong(step)
            return digest.hexdigest(), Evidence.REMOTE_HASH
        last = (step.size - 1) // CHUNK_BYTES
        chosen = {0, last, *random.SystemRandom().sample(range(last + 1), min(_SAMPLES, last + 1))}
        ranges = [(index * CHUNK_BYTES, _length(step, index)) for index in sorted(chosen)]

        def compare(connection: Connection) -> bool:
            for (offset, length), data in zip(ranges, connection.files.read(step.remote, ranges), strict=True):
                file.seek(offset)
                if _read(file, length) != data:
                    return False
            return True

        if not self._context.with_connection(compare):
            record.remove()
            raise _wrong(step)
        return digest.hexdigest(), Evidence.SAMPLES

    # small things -------------------------------------------------------------------------------------

    def _finish(self, step: FetchStep, part: Path) -> None:
        """Gives a whole file its time and its name."""
        if step.there.mtime is not None:
            os.utime(part, (step.there.mtime, step.there.mtime))
        if (fault := _taken_meanwhile(step)) is not None:
            part.unlink()
            raise SourceChanged(f"{step.local} was {fault} meanwhile by somebody else", remedy="Run the command again.")
        part.replace(step.local)

    def _told(self, step: FetchStep, resumed: int, done: int) -> None:
        self._context.observer(Progress(step.key, done, resumed))


class Pieces:
    """Which pieces of one file are missing still, and the file that they go to. Thread-safe."""

    def __init__(
        self, step: FetchStep, file: FileIO, record: UploadRecord, there: set[int], tell: Callable[[int], None]
    ) -> None:
        count = -(-step.size // CHUNK_BYTES)
        self._step = step
        self._file = file
        self._record = record
        self._todo = [index for index in range(count) if index not in there]
        self._done = sum(_length(step, index) for index in there)
        self._tell = tell
        self._lock = threading.Lock()

    def take(self) -> list[int]:
        """The next pieces to be fetched; none when all are taken."""
        with self._lock:
            taken, self._todo = self._todo[:_RUN], self._todo[_RUN:]
            return taken

    def put(self, index: int, data: bytes) -> None:
        """Writes a piece that came."""
        with self._lock:
            self._file.seek(index * CHUNK_BYTES)
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]
            self._done += len(data)
            self._tell(self._done)
        self._record.acknowledge(index, hashlib.sha256(data).hexdigest())

    def stop(self) -> None:
        with self._lock:
            self._todo = []

    def missing(self) -> int:
        with self._lock:
            return len(self._todo)

    def count(self) -> int:
        """Bytes that are here."""
        return self._done


def _taken_meanwhile(step: FetchStep) -> str | None:
    """What somebody did to the local name since it was looked at; a link that leads nowhere is something too."""
    try:
        now = step.local.stat()
    except OSError:
        return "made" if step.local.is_symlink() else None
    if not step.replaces or step.here is None:
        return "made"
    return None if (now.st_size, now.st_mtime_ns) == (step.here.size, step.here.mtime_ns) else "changed"


def _make_folder(step: FetchStep) -> None:
    """Makes the folder that a file goes to. Raises SourceRefused where a link leads out of the one that was named."""
    folder = step.local.parents[step.key.count("/")]
    if not step.local.parent.resolve().is_relative_to(folder.resolve()):
        raise SourceRefused(
            f"{step.key} is not fetched: {step.local.parent} leads out of {folder}",
            remedy="Leave it out with --exclude, or fetch into another folder.",
        )
    step.local.parent.mkdir(parents=True, exist_ok=True)


def _ranges(size: int) -> list[tuple[int, int]]:
    return [(at, min(CHUNK_BYTES, size - at)) for at in range(0, size, CHUNK_BYTES)]


def _length(step: FetchStep, index: int) -> int:
    return min(CHUNK_BYTES, step.size - index * CHUNK_BYTES)


def _read(file: FileIO, size: int) -> bytes:
    held = bytearray()
    while len(held) < size and (block := file.read(size - len(held))):
        held += block
    return bytes(held)


def _identity(step: FetchStep) -> str:
    return hashlib.sha256(
        f"{step.remote}\n{step.size}\n{step.there.mtime}".encode("utf-8", "surrogateescape")
    ).hexdigest()[:8]


def _part(step: FetchStep) -> Path:
    return step.local.with_name(part_name(step.local.name, _identity(step)))


def _refuse_changed(step: FetchStep, entry: Entry | None) -> None:
    if entry is None:
        raise RemoteMissing(f"{step.key} is not there any more")
    if (entry.size, entry.mtime) != (step.there.size, step.there.mtime):
        raise _changed(step)


def _changed(step: FetchStep) -> SourceChanged:
    return SourceChanged(
        f"{step.key} changed on the server while it was fetched", remedy="Run the same command again when it is whole."
    )


def _wrong(step: FetchStep) -> WrongBytes:
    return WrongBytes(
        f"{step.key} came with other bytes than the server has", remedy="Run the same command again: it begins anew."
    )


@contextmanager
def _named_faults(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written: {error.strerror or error}", remedy="Make room there, or choose another folder."
        ) from error
