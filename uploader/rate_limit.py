"""Wrappers around streams of bytes: cutting into pieces, pacing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from uploader.errors import Interrupted


def cut(chunks: Iterable[bytes], piece_bytes: int) -> Iterator[bytes]:
    """Yields pieces of exactly `piece_bytes`, the last one shorter, whatever the size of the chunks."""
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        at = 0
        while len(chunk) - at >= piece_bytes - size:
            end = at + piece_bytes - size
            held.append(chunk[at:end])
            yield b"".join(held) if len(held) > 1 else held[0]
            held, size, at = [], 0, end
        if at < len(chunk):
            held.append(chunk[at:] if at else chunk)
            size += len(chunk) - at
    if held:
        yield b"".join(held)


class RateLimiter:
    """Holds all who share it to a rate of `bytes_per_second`; None does not hold anybody.

    Time that nobody used is not saved up, so there are no bursts. `cancelled` ends a wait at once.
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
        """Waits until `size` bytes may go. Raises Interrupted when it is cancelled meanwhile."""
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
        """Ranges (offset, length in bytes) of what is to be fetched; under a rate cut into even portions, of which each
        comes out when its bytes may go."""
        return ranges if self.rate is None else self._portions(ranges)

    def _portions(self, ranges: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        for offset, length in ranges:
            portion = self.portion(max(1, length))
            for at in range(offset, offset + length, portion):
                size = min(portion, offset + length - at)
                self.pass_through(size)
                yield at, size

    def portion(self, size: int) -> int:
        """The largest piece, in bytes, that keeps the flow even: a tenth of a second's worth, at most `size`."""
        return size if self.rate is None else min(size, max(1024, int(self.rate / 10)))
