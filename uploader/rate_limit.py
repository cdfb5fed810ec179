"""A rate limit for streams of bytes, and blocks of one size."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from uploader.errors import Interrupted

if TYPE_CHECKING:
    from uploader.sources.interface import Stream


def cut(blocks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield blocks of exactly `size` bytes, the last one shorter, from blocks of any size."""
    held: list[bytes] = []
    filled = 0
    for block in blocks:
        at = 0
        while len(block) - at >= size - filled:
            end = at + size - filled
            held.append(block[at:end])
            yield b"".join(held) if len(held) > 1 else held[0]
            held, filled, at = [], 0, end
        if at < len(block):
            held.append(block[at:] if at else block)
            filled += len(block) - at
    if held:
        yield b"".join(held)


class LimitedStream:
    """A stream that a rate limiter slows down. Implements sources.interface.Stream."""

    def __init__(self, stream: Stream, limit: RateLimiter) -> None:
        self._stream = stream
        self._limit = limit

    def read(self, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        blocks = self._stream.read(offset, length)
        try:
            for data in blocks:
                self._limit.pass_through(len(data))
                yield data
        finally:
            if isinstance(blocks, Generator):
                blocks.close()  # end its request now, in the thread that reads it

    def slice(self, offset: int, length: int) -> bytes:
        data = self._stream.slice(offset, length)
        self._limit.pass_through(len(data))
        return data

    def check(self) -> None:
        self._stream.check()

    def close(self) -> None:
        self._stream.close()


class RateLimiter:
    """A limit of `bytes_per_second` for all threads that share it together; None is no limit.

    Unused time is not saved, so there are no bursts. `cancelled` ends a wait at once.
    """

    def __init__(
        self,
        bytes_per_second: float | None,
        cancelled: threading.Event | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        self.rate = bytes_per_second
        self._cancelled = cancelled or threading.Event()
        self._clock = clock
        self._wait = wait or self._cancelled.wait
        self._lock = threading.Lock()
        self._free_at = 0.0

    def pass_through(self, size: int) -> None:
        """Wait until `size` bytes may pass. Raises Interrupted when `cancelled` is set."""
        if self.rate is None:
            return
        with self._lock:
            now = self._clock()
            start = max(now, self._free_at)
            self._free_at = start + size / self.rate
        if start > now:
            self._wait(start - now)
        if self._cancelled.is_set():
            raise Interrupted("the transfer was stopped")

    def ranges(self, ranges: Sequence[tuple[int, int]]) -> Iterable[tuple[int, int]]:
        """Return the ranges (offset, length in bytes) to read.

        With a limit they are cut into portions. Each portion is yielded when its bytes may pass.
        """
        return ranges if self.rate is None else self._portions(ranges)

    def _portions(self, ranges: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        for offset, length in ranges:
            portion = self.portion(max(1, length))
            for at in range(offset, offset + length, portion):
                size = min(portion, offset + length - at)
                self.pass_through(size)
                yield at, size

    def portion(self, size: int) -> int:
        """Return a size in bytes that keeps the flow even: a tenth of a second, at most `size`."""
        return size if self.rate is None else min(size, max(1024, int(self.rate / 10)))
