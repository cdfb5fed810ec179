"""Follows what is acknowledged, from the first byte on without a gap, with a hash of what the server has by then."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from uploader.errors import NetworkError, RemoteRefused
from uploader.remote.interface import Connection, RollingDigest
from uploader.result import Evidence
from uploader.threads import BackgroundCall
from uploader.transfer.chunks import CHUNK_BYTES

Begin = Callable[[Connection], "Following | None"]


@dataclass(frozen=True)
class Following:
    """A hash that goes along, and what it will be worth as evidence."""

    along: RollingDigest
    evidence: Evidence


@dataclass(frozen=True)
class RemoteDigest:
    """The sha256 (hex) of all of the server's file, and how it was taken."""

    sha256: str
    evidence: Evidence


class RollingHash:
    """Tells an Along how far the file of `size` bytes is whole. Thread-safe.

    `begin` asks a connection for the Along, None where the server has no means; it is called once, for the first
    connection that `start` is told of, beside all else.
    """

    def __init__(self, begin: Begin | None, size: int) -> None:
        self._begin = begin
        self._size = size
        self._lock = threading.Lock()
        self._there: set[int] = set()
        self._whole = 0
        self._starting: BackgroundCall[None] | None = None
        self._following: Following | None = None

    def start(self, connection: Connection) -> None:
        """Begins, with the first connection that there is."""
        with self._lock:
            begin, self._begin = self._begin, None
        if begin is not None:
            self._starting = BackgroundCall(lambda: self._started(begin, connection), name="behind")

    def add(self, index: int) -> None:
        """Takes down that a piece is on the server as it should be."""
        with self._lock:
            self._there.add(index)
            before = self._whole
            while self._whole in self._there:
                self._there.remove(self._whole)
                self._whole += 1
            if self._whole > before:
                self._tell()

    def finish(self) -> RemoteDigest | None:
        """The hash of the whole file, as the server has it; None when it could not be taken this way."""
        if self._starting is not None:
            self._starting.result()
        if self._following is None or self._whole * CHUNK_BYTES < self._size:
            return None
        sha256 = self._following.along.finish()
        return None if sha256 is None else RemoteDigest(sha256, self._following.evidence)

    def close(self) -> None:
        """Ends the hashing, done or not."""
        if self._starting is not None:
            self._starting.result()
        if self._following is not None:
            self._following.along.close()

    def _started(self, begin: Begin, connection: Connection) -> None:
        try:
            following = begin(connection)
        except (NetworkError, RemoteRefused):  # whoever uses the connection meets the same, and tells
            return
        with self._lock:
            self._following = following
            if self._whole:
                self._tell()

    def _tell(self) -> None:
        if self._following is not None:
            self._following.along.reached(min(self._size, self._whole * CHUNK_BYTES))
