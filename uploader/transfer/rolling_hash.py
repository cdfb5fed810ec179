"""Hash the part file on the server while it is sent. The hash covers the contiguous acknowledged prefix."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from uploader.errors import NetworkError, RemoteRefused
from uploader.remote.interface import Connection, RollingDigest
from uploader.result import Evidence
from uploader.threads import BackgroundCall
from uploader.transfer.chunks import ChunkLayout


@dataclass(frozen=True)
class RemoteDigest:
    """The sha256 (hex) of a file as the server has it, and how it was taken."""

    sha256: str
    evidence: Evidence


Begin = Callable[[Connection], tuple[RollingDigest, Evidence] | None]


class RollingHash:
    """Tells a RollingDigest how many bytes of the file are there without a gap. Thread-safe.

    `begin` asks a connection for the RollingDigest, and for what it is worth as evidence. It is called once, for the
    first connection that `start` gets, in a thread of its own. None: the server can take no such hash. The first
    `prefix` chunks are there already. Leaving the block ends the hashing.
    """

    def __init__(self, begin: Begin | None, layout: ChunkLayout, prefix: int = 0) -> None:
        self._begin = begin
        self._layout = layout
        self._lock = threading.Lock()
        self._present: set[int] = set()
        self._prefix = prefix
        self._starting: BackgroundCall[None] | None = None
        self._digest: RollingDigest | None = None
        self._evidence = Evidence.SIZE

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, connection: Connection) -> None:
        """Begin with this connection, if it is the first one."""
        with self._lock:
            begin, self._begin = self._begin, None
        if begin is not None:
            self._starting = BackgroundCall(lambda: self._run(begin, connection), name="rolling-hash")

    def add(self, index: int) -> None:
        """Record that a chunk is on the server as it should be."""
        with self._lock:
            self._present.add(index)
            before = self._prefix
            while self._prefix in self._present:
                self._present.remove(self._prefix)
                self._prefix += 1
            if self._prefix > before:
                self._tell()

    def finish(self) -> RemoteDigest | None:
        """Return the hash of the whole file, or None when it could not be taken this way."""
        if self._starting is not None:
            self._starting.result()
        if self._digest is None or self._prefix < self._layout.count:
            return None
        sha256 = self._digest.finish()
        return None if sha256 is None else RemoteDigest(sha256, self._evidence)

    def close(self) -> None:
        """End the hashing."""
        if self._starting is not None:
            self._starting.result()
        if self._digest is not None:
            self._digest.close()

    def _run(self, begin: Begin, connection: Connection) -> None:
        try:
            begun = begin(connection)
        except (NetworkError, RemoteRefused):  # the worker that uses the connection meets the same, and raises it
            return
        if begun is not None:
            with self._lock:
                self._digest, self._evidence = begun
                if self._prefix:
                    self._tell()

    def _tell(self) -> None:
        if self._digest is not None:
            self._digest.reached(min(self._layout.size, self._prefix * self._layout.chunk_bytes))
