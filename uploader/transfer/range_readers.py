"""Several range requests of one source at once: threads, more of them while they pay."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from uploader.errors import CredentialsRefused, Interrupted, NetworkError, NoRanges, SourceRefused
from uploader.retry import Retry
from uploader.sources.interface import Stream
from uploader.threads import WorkerGroup
from uploader.transfer.config import TransferConfig
from uploader.transfer.context import TransferContext


@dataclass(eq=False)
class ByteRange:
    """The bytes from `begin` to `end` of a source. Those before `at` are read."""

    begin: int
    end: int
    at: int


S = TypeVar("S", bound=ByteRange)


class RangeQueue(Protocol[S]):
    """Hands out ranges and keeps what is read of them. Thread-safe, because all readers call it.

    `stop` and `fail` set `over` and wake threads that wait in `take`.
    """

    over: threading.Event

    def take(self) -> S | None:
        """Return the next range, or None when there is none. Waits until there is room for it."""

    def put(self, taken: S, data: bytes) -> None:
        """Keep the bytes at `taken.at`, and advance it."""

    def settle(self, taken: S) -> None:
        """Close a range that is read to its end."""

    def give_back(self, taken: S) -> None:
        """Take the rest of a range back, to be handed out before all others."""

    def stop(self) -> None:
        """Hand out no more ranges."""

    def fail(self, error: BaseException) -> None:
        """Hand out no more ranges. The thread that waits for the bytes raises `error`."""


@dataclass(frozen=True)
class Supply:
    """Where the bytes come from, and what a reading obeys. `limited`: the stream is held to a limit."""

    stream: Stream
    retry: Retry
    cancelled: threading.Event
    limited: bool = False
    config: TransferConfig = field(default_factory=TransferConfig)

    @classmethod
    def of(cls, stream: Stream, context: TransferContext) -> Supply:
        """Return the supply of a stream within these surroundings."""
        return cls(stream, context.retry, context.cancelled, context.limit.rate is not None, context.config)


class RangeReaders(Generic[S]):
    """Threads that read the ranges of `queue`, until the block is left.

    `first` readers begin: two unless given, one under a rate limit. Up to `most` are added while the rate grows by
    it. A reader that fails gives the rest of its range to the others before it tries again. Progress of any reader
    earns all of them more tries. When a source refuses further readers, those that it accepted read everything.
    """

    def __init__(
        self,
        supply: Supply,
        queue: RangeQueue[S],
        *,
        first: int | None = None,
        most: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.moved = 0
        """Bytes that were read."""
        self._supply = supply
        self._queue = queue
        self._config = supply.config
        self._first = first or (1 if supply.limited else self._config.first_readers)
        self._most = most or self._config.most_readers
        self._clock = clock
        self._lock = threading.Lock()
        self._group = WorkerGroup(self._work, name="read", stop=queue.stop)
        self._alive = 0
        self._looked_at = (clock(), 0)
        self._best = 0.0
        self._vain_looks = 0

    def __enter__(self) -> RangeReaders[S]:
        with self._lock:
            self._looked_at = (self._clock(), 0)
            self._grow(self._first)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop all readers. One whose server is silent is left alone after some seconds, after a stop at once."""
        self._group.close(0.5 if self._supply.cancelled.is_set() else self._config.reader_join_seconds)

    # growing ------------------------------------------------------------------------------------------

    def _grow(self, count: int) -> None:
        count = max(0, min(count, self._most - self._group.started))
        self._alive += count
        self._group.grow(count)

    def _count(self, size: int) -> None:
        with self._lock:
            self.moved += size
            if self._group.started >= self._most or self._queue.over.is_set():
                return
            (since, before), now = self._looked_at, self._clock()
            if now - since < self._config.reader_look_seconds:
                return
            rate = (self.moved - before) / (now - since)
            self._looked_at = now, self.moved
            if rate > self._best * self._config.reader_growth:
                self._best, self._vain_looks = rate, 0
                self._grow(2)
                return
            self._vain_looks += 1
            if self._vain_looks == self._config.reader_looks:
                self._most = 0

    # a reader -----------------------------------------------------------------------------------------

    def _work(self, number: int) -> None:
        try:
            while True:
                self._supply.retry(lambda: self._read_on(number), lambda: self.moved, over=self._queue.over)
                with self._lock:
                    self._alive -= 1
                    if self._alive or self._queue.over.is_set():
                        return
                    self._alive += 1  # the last reader also reads what a refused one gave back
                taken = self._queue.take()
                if taken is None:
                    return
                self._queue.give_back(taken)
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits for the bytes
            if not self._queue.over.is_set():
                self._queue.fail(error)

    def _read_on(self, number: int) -> None:
        """Read one range after another, until there is none or this reader turns out to be surplus."""
        accepted = number == 0
        while not self._queue.over.is_set() and (taken := self._queue.take()) is not None:
            at = taken.at
            try:
                self._read(taken)
            except BaseException as error:
                self._queue.give_back(taken)
                refused = isinstance(error, NetworkError | CredentialsRefused | SourceRefused)
                if refused and not accepted and taken.at == at and self._is_surplus(error):
                    return
                raise
            accepted = True
            if taken.at == taken.end:
                self._queue.settle(taken)
            else:
                self._queue.give_back(taken)

    def _is_surplus(self, error: BaseException) -> bool:
        """Return True if other readers do without one that the source refused. No further one is added then."""
        if isinstance(error, NoRanges):
            return False
        with self._lock:
            self._most = 0
            return self._alive > 1

    def _read(self, taken: S) -> None:
        supply = self._supply
        blocks = supply.stream.read(taken.at, taken.end - taken.at)
        try:
            for data in blocks:
                if supply.cancelled.is_set():
                    raise Interrupted("the transfer was stopped")
                if self._queue.over.is_set():
                    return
                self._queue.put(taken, data)
                self._count(len(data))
        finally:
            if isinstance(blocks, Generator):
                blocks.close()  # by the thread that read it, so that its request ends now
        if taken.at < taken.end:
            raise NetworkError("the source ended a range early", remedy="Run the same command again.")
