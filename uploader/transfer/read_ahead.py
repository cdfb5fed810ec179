"""A link's bytes in order, read ahead by several range requests at once, with a bound on what is held of them."""

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
    """Yields the bytes from `offset` to `size`, in order, in pieces of any size, held to the supply's limit.

    A `size` of None says that there are no ranges, or that nobody knows where the file ends: then one plain request
    is read, as also for a short file, and where the source turns out to give no ranges. Each request is tried again
    by itself. Raises what the source raises, and Interrupted. No request is under way when it is closed, but for one
    whose server says nothing.
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
    for data in read_steadily(supply.stream, at, supply.retry):
        supply.rate_limiter.pass_through(len(data))
        yield data


@dataclass(eq=False)
class _Held(ByteRange):
    """A stretch and what is read of it and not yet handed on."""

    parts: deque[bytes] = field(default_factory=deque)


class _Window:
    """The stretches from the one that is handed on to the farthest that is read: a lines' book, and an iterator."""

    def __init__(self, offset: int, size: int, config: TransferConfig) -> None:
        self._config = config
        self.over = threading.Event()
        self._next = offset
        self._size = size
        self._held: deque[_Held] = deque()
        self._returned: list[_Held] = []
        self._fault: BaseException | None = None
        self._lock = threading.Lock()
        self._came = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)

    def __enter__(self) -> _Window:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._held.clear()
            self._returned.clear()

    def __iter__(self) -> Iterator[bytes]:
        while (parts := self._wait()) is not None:
            yield from parts

    def _wait(self) -> list[bytes] | None:
        """What has come next, at least something; None at the end. Raises what ended the reading."""
        with self._came:
            while True:
                head = self._held[0] if self._held else None
                if head is not None and head.parts:
                    parts = list(head.parts)
                    head.parts.clear()
                    return parts
                if head is not None and head.at == head.end:
                    self._held.popleft()
                    self._room.notify()
                elif head is None and self._next >= self._size:
                    return None
                elif self._fault is not None:
                    raise self._fault
                else:
                    self._came.wait()

    # the lines' side ----------------------------------------------------------------------------------

    def take(self) -> _Held | None:
        with self._room:
            while not self.over.is_set():
                if self._returned:
                    first = min(self._returned, key=lambda stretch: stretch.begin)
                    self._returned.remove(first)
                    return first
                if self._next >= self._size:
                    return None
                if len(self._held) < self._config.ranges_held:
                    end = min(self._next + self._config.range_bytes, self._size)
                    self._held.append(_Held(self._next, end, self._next))
                    self._next = end
                    return self._held[-1]
                self._room.wait()
            return None

    def put(self, stretch: _Held, data: bytes) -> None:
        with self._came:
            stretch.parts.append(data)
            stretch.at += len(data)
            if self._held and stretch is self._held[0]:
                self._came.notify()

    def settle(self, stretch: _Held) -> None:
        """Nothing is left to do: the reader sees for itself that it is whole."""

    def give_back(self, stretch: _Held) -> None:
        with self._room:
            self._returned.append(stretch)
            self._room.notify()

    def stop(self) -> None:
        with self._lock:
            self._end()

    def fail(self, error: BaseException) -> None:
        with self._lock:
            self._fault = self._fault or error
            self._end()

    def _end(self) -> None:
        self.over.set()
        self._came.notify_all()
        self._room.notify_all()
