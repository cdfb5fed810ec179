"""Follows what is acknowledged, from the first byte on without a gap, with a hash taken on the server."""

from __future__ import annotations

import threading

from uploader.remote.interface import Along
from uploader.transfer.feed import PIECE_BYTES


class Behind:
    """Tells an Along how far the file of `size` bytes is whole; without one it does nothing. Thread-safe."""

    def __init__(self, along: Along | None, size: int) -> None:
        self._along = along
        self._size = size
        self._lock = threading.Lock()
        self._there: set[int] = set()
        self._whole = 0

    def add(self, index: int) -> None:
        """Takes down that a piece is on the server as it should be."""
        if self._along is None:
            return
        with self._lock:
            self._there.add(index)
            before = self._whole
            while self._whole in self._there:
                self._there.remove(self._whole)
                self._whole += 1
            if self._whole > before:
                self._along.reached(min(self._size, self._whole * PIECE_BYTES))

    def finish(self) -> str | None:
        """The sha256 (hex) of the whole file, as the server has it; None when it could not be taken this way."""
        if self._along is None or self._whole * PIECE_BYTES < self._size:
            return None
        return self._along.finish()

    def close(self) -> None:
        """Ends the hashing, done or not."""
        if self._along is not None:
            self._along.close()
