"""Several range requests of one source at once: threads, more of them while it pays, each reading the next stretch."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from uploader.errors import CredentialsRefused, Interrupted, NetworkError, NoRanges, SourceRefused
from uploader.rate_limit import RateLimiter
from uploader.retry import Retry
from uploader.sources.interface import Stream
from uploader.threads import WorkerGroup
from uploader.transfer.config import TransferConfig


@dataclass(eq=False)
class ByteRange:
    """The bytes from `begin` to `end` of a source, of which those before `at` are read."""

    begin: int
    end: int
    at: int


S = TypeVar("S", bound=ByteRange)


class RangeQueue(Protocol[S]):
    """Who hands stretches out and keeps what is read of them. Called by all lines, so it must be thread-safe.

    `over` is set by `stop` and by `fail`; both wake who waits in `take`."""

    over: threading.Event

    def take(self) -> S | None:
        """The next stretch, waited for while there is no room for it; None when there is none to hand out."""

    def put(self, stretch: S, data: bytes) -> None:
        """Keeps the bytes at `stretch.at`, and moves that on."""

    def settle(self, stretch: S) -> None:
        """Takes down that a stretch is read whole."""

    def give_back(self, stretch: S) -> None:
        """Takes the rest of a stretch back, to be handed out before all others."""

    def stop(self) -> None:
        """Ends the handing out."""

    def fail(self, error: BaseException) -> None:
        """Ends the handing out for a fault; whoever waits for the bytes is to raise it."""


@dataclass(frozen=True)
class Supply:
    """Where the bytes come from, and what a reading obeys: retry, stop, limit, tuning numbers."""

    stream: Stream
    retry: Retry
    cancelled: threading.Event
    rate_limiter: RateLimiter
    config: TransferConfig = field(default_factory=TransferConfig)


class RangeReaders(Generic[S]):
    """Reads what `book` hands out, from entering the block to leaving it.

    Starts with two lines (one under a limit) and adds some as long as the rate grows by it, `most` at most. A line
    that fails gives the rest of its stretch to the others while it waits for its next try, and nobody gives up as
    long as any of them gets on. A source that refuses further lines is read by those it gave.
    """

    def __init__(
        self,
        supply: Supply,
        book: RangeQueue[S],
        *,
        first: int | None = None,
        most: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.moved = 0
        self._supply = supply
        self._book = book
        self._config = supply.config
        self._first = first or (1 if supply.rate_limiter.rate is not None else self._config.first_readers)
        self._most = most or self._config.most_readers
        self._clock = clock
        self._lock = threading.Lock()
        self._group = WorkerGroup(self._work, name="read", stop=book.stop)
        self._alive = 0
        self._looked_at = (clock(), 0)
        self._best = 0.0
        self._vain_looks = 0

    def __enter__(self) -> RangeReaders[S]:
        with self._lock:
            self._looked_at = (self._clock(), 0)
            self._open(self._first)
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the reading. A line that hears nothing from its server is not waited for longer than a stop may take."""
        self._group.close(0.5 if self._supply.cancelled.is_set() else self._config.reader_join_seconds)

    # growing ------------------------------------------------------------------------------------------

    def _open(self, count: int) -> None:
        count = max(0, min(count, self._most - self._group.started))
        self._alive += count
        self._group.grow(count)

    def _count(self, size: int) -> None:
        with self._lock:
            self.moved += size
            if self._group.started >= self._most or self._book.over.is_set():
                return
            (since, before), now = self._looked_at, self._clock()
            if now - since < self._config.reader_look_seconds:
                return
            rate = (self.moved - before) / (now - since)
            self._looked_at = now, self.moved
            if rate > self._best * self._config.reader_growth:
                self._best, self._vain_looks = rate, 0
                self._open(2)
                return
            self._vain_looks += 1
            if self._vain_looks == self._config.reader_looks:
                self._most = 0

    # a line -------------------------------------------------------------------------------------------

    def _work(self, number: int) -> None:
        first = number == 0
        try:
            while True:
                self._supply.retry(lambda: self._read_on(first), lambda: self.moved, over=self._book.over)
                with self._lock:
                    self._alive -= 1
                    if self._alive or self._book.over.is_set():
                        return
                    # What a line that was refused gave back has to be read by somebody.
                    self._alive += 1
                stretch = self._book.take()
                if stretch is None:
                    return
                self._book.give_back(stretch)
        except BaseException as error:  # noqa: BLE001 - carried to the thread that waits for the bytes
            if not self._book.over.is_set():
                self._book.fail(error)

    def _read_on(self, first: bool) -> None:
        """Reads one stretch after another; returns when there is none, or when this line is one too many."""
        proven = first
        while not self._book.over.is_set() and (stretch := self._book.take()) is not None:
            at = stretch.at
            try:
                self._read(stretch)
            except BaseException as error:
                self._book.give_back(stretch)
                refused = isinstance(error, NetworkError | CredentialsRefused | SourceRefused)
                if refused and not proven and stretch.at == at and self._is_surplus(error):
                    return
                raise
            proven = True
            if stretch.at == stretch.end:
                self._book.settle(stretch)
            else:
                self._book.give_back(stretch)

    def _is_surplus(self, error: BaseException) -> bool:
        """Whether the others can do without a line that the source would not have. There is no further one then."""
        if isinstance(error, NoRanges):
            return False
        with self._lock:
            self._most = 0
            return self._alive > 1

    def _read(self, stretch: S) -> None:
        supply = self._supply
        chunks = supply.stream.read(stretch.at, stretch.end - stretch.at)
        try:
            for data in chunks:
                if supply.cancelled.is_set():
                    raise Interrupted("the transfer was stopped")
                supply.rate_limiter.pass_through(len(data))
                if self._book.over.is_set():
                    return
                self._book.put(stretch, data)
                self._count(len(data))
        finally:
            if isinstance(chunks, Generator):
                chunks.close()  # by the thread that read it, so that its request ends now
        if stretch.at < stretch.end:
            raise NetworkError("the source ended a range early", remedy="Run the same command again.")
