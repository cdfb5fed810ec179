"""Blocks of one size, and bytes within a rate."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.errors import Interrupted
from uploader.rate_limit import LimitedStream, RateLimiter, cut


class Clock:
    """Time that stands still. Waits are recorded."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waits: list[float] = []
        self._lock = threading.Lock()

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        with self._lock:
            self.waits.append(seconds)
        return False


@given(st.lists(st.binary(max_size=20)), st.integers(1, 9))
def test_cut_keeps_bytes_and_fills_all_but_the_last_block(source: list[bytes], size: int) -> None:
    blocks = list(cut(source, size))
    assert b"".join(blocks) == b"".join(source)
    assert all(len(block) == size for block in blocks[:-1])
    assert all(0 < len(block) <= size for block in blocks)


def test_cut_yields_a_block_before_it_reads_on() -> None:
    asked = []

    def source() -> Iterator[bytes]:
        asked.append(1)
        yield b"abcd"
        asked.append(2)
        yield b"e"

    chunks = cut(source(), 4)
    assert next(chunks) == b"abcd"
    assert asked == [1]


def test_limiter_without_rate_never_waits() -> None:
    clock = Clock()
    rate_limiter = RateLimiter(None, clock=clock, wait=clock.wait)
    rate_limiter.pass_through(10**12)
    assert clock.waits == []
    assert rate_limiter.portion(255 * 1024) == 255 * 1024


def test_limiter_threads_share_one_rate_exactly() -> None:
    clock = Clock()
    rate_limiter = RateLimiter(1000.0, clock=clock, wait=clock.wait)

    def send() -> None:
        for _ in range(10):
            rate_limiter.pass_through(50)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # 40 portions of 50 ms each at 1000 B/s: the n-th may go after n x 50 ms, the first at once.
    assert sorted(clock.waits) == pytest.approx([0.05 * n for n in range(1, 40)])


def test_limiter_unused_time_makes_no_burst() -> None:
    clock = Clock()
    rate_limiter = RateLimiter(1000.0, clock=clock, wait=clock.wait)
    rate_limiter.pass_through(100)
    clock.now += 60
    rate_limiter.pass_through(100)
    rate_limiter.pass_through(100)
    assert clock.waits == pytest.approx([0.1])


def test_limiter_cancelled_ends_a_long_wait_at_once() -> None:
    cancelled = threading.Event()
    rate_limiter = RateLimiter(1.0, cancelled)
    rate_limiter.pass_through(1000)
    ended = threading.Event()

    def held() -> None:
        with pytest.raises(Interrupted):
            rate_limiter.pass_through(1)
        ended.set()

    thread = threading.Thread(target=held)
    thread.start()
    cancelled.set()
    assert ended.wait(5)
    thread.join()


def test_limiter_cancelled_lets_nothing_pass() -> None:
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(Interrupted):
        RateLimiter(10.0, cancelled).pass_through(1)


@given(st.floats(1, 1e9), st.integers(1, 10**6))
def test_portion_is_at_most_the_given_size(rate: float, size: int) -> None:
    assert 1 <= RateLimiter(rate).portion(size) <= size


def test_portion_is_a_tenth_of_a_second() -> None:
    assert RateLimiter(1_000_000.0).portion(255 * 1024) == 100_000
    assert RateLimiter(100.0).portion(255 * 1024) == 1024


def test_ranges_with_a_rate_are_portions_that_wait() -> None:
    ranges = [(0, 250_000), (400_000, 100_000)]
    assert list(RateLimiter(None).ranges(ranges)) == ranges
    waited: list[float] = []

    def wait(seconds: float) -> bool:
        waited.append(seconds)
        return False

    limited = RateLimiter(1_000_000, clock=lambda: 0.0, wait=wait).ranges(ranges)
    assert list(limited) == [(0, 100_000), (100_000, 100_000), (200_000, 50_000), (400_000, 100_000)]
    assert waited == pytest.approx([0.1, 0.2, 0.25])


class Stream:
    """Two blocks, and what became of the reading."""

    def __init__(self) -> None:
        self.ended = self.checked = self.closed = False

    def read(self, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        try:
            yield bytes(100)
            yield bytes(200)
        finally:
            self.ended = True

    def slice(self, offset: int, length: int) -> bytes:
        return bytes(length)

    def check(self) -> None:
        self.checked = True

    def close(self) -> None:
        self.closed = True


def test_limited_stream_passes_blocks_within_the_rate() -> None:
    clock, inner = Clock(), Stream()
    stream = LimitedStream(inner, RateLimiter(1000.0, clock=clock, wait=clock.wait))
    assert [len(block) for block in stream.read()] == [100, 200]
    assert len(stream.slice(0, 50)) == 50
    assert clock.waits == pytest.approx([0.1, 0.3])
    stream.check()
    stream.close()
    assert inner.checked
    assert inner.closed


def test_limited_stream_left_early_ends_the_reading() -> None:
    inner = Stream()
    blocks = LimitedStream(inner, RateLimiter(1e6)).read()
    next(blocks)
    blocks.close()  # type: ignore[attr-defined]
    assert inner.ended
