"""A link's bytes in order, read ahead by several range requests at once, with a limit on what is held."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from uploader.errors import NoRanges
from uploader.transfer.chunks import read_steadily
from uploader.transfer.config import TransferConfig
from uploader.transfer.range_readers import ByteRange, RangeReaders, Supply


def read_ahead(supply: Supply, offset: int, size: int | None, *, most: int | None = None) -> Iterator[bytes]:
    """Yield the bytes from `offset` to `size` in order, in blocks of any length, under the supply's rate limit.

    Sends one plain request when the source gives no ranges, for a short file, and when `size` is None. Each request
    is tried again by itself. Raises what the source raises, and Interrupted. Closing the iterator ends all requests,
    except one whose server is silent.
    """
    at = offset
    if size is not None and size - offset >= supply.config.ranges_from_bytes:
        try:
            with _Window(offset, size, supply.config) as window, RangeReaders(supply, window, most=most):
                for data in window:
                    at += len(data)
                    yield data
            return
        except NoRanges:
            pass
    yield from read_steadily(supply.stream, at, supply.retry)


@dataclass(eq=False)
class _HeldRange(ByteRange):
    """A range, and what is read of it and not yet yielded."""

    blocks: deque[bytes] = field(default_factory=deque)


class _Window:
    """The ranges from the one that is yielded to the last that is read: a range queue, and an iterator."""

    def __init__(self, offset: int, size: int, config: TransferConfig) -> None:
        self._config = config
        self.over = threading.Event()
        self._next = offset
        self._size = size
        self._held: deque[_HeldRange] = deque()
        self._returned: list[_HeldRange] = []
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)

    def __enter__(self) -> _Window:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._held.clear()
            self._returned.clear()

    def __iter__(self) -> Iterator[bytes]:
        while (blocks := self._wait()) is not None:
            yield from blocks

    def _wait(self) -> list[bytes] | None:
        """Return the blocks that arrived next, at least one; None at the end. Raises what ended the reading."""
        with self._arrived:
            while True:
                head = self._held[0] if self._held else None
                if head is not None and head.blocks:
                    blocks = list(head.blocks)
                    head.blocks.clear()
                    return blocks
                if head is not None and head.at == head.end:
                    self._held.popleft()
                    self._room.notify()
                elif head is None and self._next >= self._size:
                    return None
                elif self._error is not None:
                    raise self._error
                else:
                    self._arrived.wait()

    # for the readers ----------------------------------------------------------------------------------

    def take(self) -> _HeldRange | None:
        with self._room:
            while not self.over.is_set():
                if self._returned:
                    first = min(self._returned, key=lambda taken: taken.begin)
                    self._returned.remove(first)
                    return first
                if self._next >= self._size:
                    return None
                if len(self._held) < self._config.ranges_held:
                    end = min(self._next + self._config.range_bytes, self._size)
                    self._held.append(_HeldRange(self._next, end, self._next))
                    self._next = end
                    return self._held[-1]
                self._room.wait()
            return None

    def put(self, taken: _HeldRange, data: bytes) -> None:
        with self._arrived:
            taken.blocks.append(data)
            taken.at += len(data)
            if self._held and taken is self._held[0]:
                self._arrived.notify()

    def settle(self, taken: _HeldRange) -> None:
        """Do nothing: the iterator sees by itself that a range is complete."""

    def give_back(self, taken: _HeldRange) -> None:
        with self._room:
            self._returned.append(taken)
            self._room.notify()

    def stop(self) -> None:
        with self._lock:
            self._end()

    def fail(self, error: BaseException) -> None:
        with self._lock:
            self._error = self._error or error
            self._end()

    def _end(self) -> None:
        self.over.set()
        self._arrived.notify_all()
        self._room.notify_all()
