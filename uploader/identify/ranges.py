"""Bounded reads of a file by ranges: the first bytes are kept, and the rest has a budget."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TypeAlias

Read: TypeAlias = Callable[[int, int], bytes]
"""`read(offset, length)` returns at most `length` bytes, fewer only at the end."""

LONGEST_LINE = 64 << 10
"""Most bytes of one line of text in a pickle. Names are far shorter."""

_CHUNK = 256 << 10


class TooMuch(Exception):
    """The check of a file would read more than its budget."""


class Budget:
    """The bytes that one file may cost altogether."""

    def __init__(self, size: int) -> None:
        self.left = size

    def spend(self, count: int) -> None:
        """Take `count` bytes. Raises TooMuch when fewer are left."""
        self.left -= count
        if self.left < 0:
            raise TooMuch

    def of(self, read: Read) -> Read:
        """Return a `read` that takes what it returns from the budget."""

        def spending(offset: int, length: int) -> bytes:
            found = read(offset, length)
            self.spend(len(found))
            return found

        return spending


class Ranges:
    """A file that is read by ranges. `head` are its first bytes, which are read once; `size` is None if unknown.

    `read` raises TooMuch after `budget` more bytes, and what the given `read` raises.
    """

    def __init__(self, head: bytes, read: Read, size: int | None, budget: int) -> None:
        self.size = size
        self._head = head
        self._read = read
        self._left = budget

    def read(self, offset: int, length: int) -> bytes:
        if offset + length <= len(self._head):
            return self._head[offset : offset + length]
        if length > self._left:
            raise TooMuch
        self._left -= length
        return self._read(offset, length)


class Window:
    """The bytes from `begin` to `end` as a file that is read forwards. An `end` of None is the file's end.

    It reads ahead in blocks. Raises TooMuch after `budget` bytes.
    """

    def __init__(self, read: Read, begin: int, end: int | None, budget: int) -> None:
        self._fetch = read
        self._begin = self._next = begin
        self._end = end
        self._budget = budget
        self._chunk = io.BytesIO()

    def tell(self) -> int:
        """Return how many bytes of the window were read."""
        return self._next - self._begin - (len(self._chunk.getbuffer()) - self._chunk.tell())

    def ended(self) -> bool:
        """Return True when nothing more is to be read."""
        return self._chunk.tell() == len(self._chunk.getbuffer()) and not self._fill()

    def read(self, length: int) -> bytes:
        if length < 0 or self.tell() + length > self._budget:
            raise TooMuch
        found = self._chunk.read(length)
        if len(found) == length:
            return found
        chunks = [found]
        missing = length - len(found)
        while missing and self._fill():
            chunks.append(self._chunk.read(missing))
            missing -= len(chunks[-1])
        return b"".join(chunks)

    def readline(self) -> bytes:
        chunks: list[bytes] = []
        while True:
            chunk = self._chunk.readline(LONGEST_LINE)
            chunks.append(chunk)
            if sum(map(len, chunks)) >= LONGEST_LINE or self.tell() > self._budget:
                raise TooMuch
            if chunk.endswith(b"\n") or (not chunk and not self._fill()):
                return b"".join(chunks)

    def _fill(self) -> bool:
        wanted = _CHUNK if self._end is None else min(_CHUNK, self._end - self._next)
        chunk = self._fetch(self._next, wanted) if wanted > 0 else b""
        self._next += len(chunk)
        self._chunk = io.BytesIO(chunk)
        return bool(chunk)


def of_bytes(content: bytes) -> Read:
    """Return a `read` of bytes in memory."""
    return lambda offset, length: content[offset : offset + length]
