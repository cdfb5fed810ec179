"""Sends the pieces of one file over several connections; what a lost connection had not got acknowledged goes again."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from uploader.errors import NetworkError
from uploader.rate_limit import RateLimiter
from uploader.remote.interface import Connection, Range, Writer
from uploader.remote.pool import TURNED_AWAY, ConnectionPool, NoFurther
from uploader.retry import Retry
from uploader.threads import WorkerGroup
from uploader.transfer.chunk_queue import ChunkQueue
from uploader.transfer.chunks import CHUNK_BYTES, Chunk
from uploader.transfer.connections import ConnectionScaler
from uploader.transfer.rename import open_part

_WINDOW = 4 * 1024 * 1024
"""Bytes a connection has under way: twice what OpenSSH lets a channel have, so that it is never the shorter one."""

_LOOK_SECONDS = 0.25
"""Between two looks whether another connection is worth it."""
_HURRIED_SECONDS = 0.03
_LEAST_PORTION = 32 * 1024
_PORTION_SECONDS = 5.0
"""Of what a lane moves, at most so much goes in one write: a server answers whole ones alone, and one that takes
long to arrive seems to be lost."""


@dataclass
class _Flight:
    """A piece that was sent, in part or whole, and the bytes of it that the server acknowledged."""

    chunk: Chunk
    acknowledged: int = 0


class WriteSizer:
    """How much one lane moved in the last seconds, and so how much of it one write may be. `clock` in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._moved: deque[tuple[float, int]] = deque()
        self._sum = 0

    def add(self, size: int) -> None:
        """Takes down that so many bytes were acknowledged just now."""
        self._moved.append((self._clock(), size))
        self._sum += size

    def portion(self, most: int) -> int:
        """Bytes that one write may have, `most` at most."""
        since = self._clock() - _PORTION_SECONDS
        while self._moved and self._moved[0][0] < since:
            self._sum -= self._moved.popleft()[1]
        return min(most, max(_LEAST_PORTION, self._sum // _LEAST_PORTION * _LEAST_PORTION))


class UploadWorkers:
    """One sending of the pieces that a feed hands out, to one part file.

    `retry(call, progress)` runs a call again while its fault may pass and `progress()` grows. `acknowledged` is
    told of each piece that is wholly on the server; `moved` how many bytes of pieces were acknowledged so far;
    `opened` of each connection that begins to send, from its own thread. `held`: an earlier run's connection may still
    have the part file open, as far as the server knows; so may one that was lost in this run.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        part: str,
        feed: ChunkQueue,
        *,
        rate_limiter: RateLimiter,
        retry: Retry,
        acknowledged: Callable[[Chunk], None],
        moved: Callable[[int], None],
        opened: Callable[[Connection], None] = lambda _connection: None,
        held: bool = False,
    ) -> None:
        self._pool = pool
        self._held = held
        self._on_open = opened
        self._part = part
        self._feed = feed
        self._rate_limiter = rate_limiter
        self._retry = retry
        self._on_piece = acknowledged
        self._on_bytes = moved
        self._lock = threading.Lock()
        self._telling = threading.Lock()
        self._whole = 0
        self._partly: dict[int, int] = {}
        self._inside: set[int] = set()
        self.sent = 0
        """Payload bytes that were handed to the line, those sent again included."""

    def run(self, count: int, climb: ConnectionScaler | None = None) -> None:
        """Sends all that the feed has, over `count` connections at first, and over more when `climb` says that they
        pay: with those that open, where the server does not take as many. Raises the first fault that does not pass,
        the source's own included."""
        with WorkerGroup(self._work, name="upload", stop=self._feed.stop, is_surplus=self._is_surplus) as workers:
            workers.grow(count)
            while climb and not workers.wait(_HURRIED_SECONDS if climb.hurried else _LOOK_SECONDS):
                workers.grow(climb.more(self._moved(), workers.alive))
            workers.wait()
        workers.check()
        self._feed.check()

    def _work(self, number: int) -> None:
        self._retry(lambda: self._session(number), lambda: self._whole, over=self._feed.over)

    def _is_surplus(self, number: int, error: BaseException, alive: int) -> bool:
        """Whether the others carry on without one that found no way in. The last one's fault is everybody's."""
        turned_away = isinstance(error, TURNED_AWAY) and number not in self._inside
        return turned_away and (alive > 0 or self._feed.over.is_set())

    def _session(self, number: int) -> None:
        """Sends until nothing is left, over one connection or, where others wait for it, over one after another."""
        lent = False
        while not self._feed.over.is_set():
            try:
                if self._turn(number):
                    return
                lent = True
            except NoFurther:
                if not lent:
                    raise
                self._feed.over.wait(_LOOK_SECONDS)  # until whoever it was given to gives it back

    def _turn(self, number: int) -> bool:
        """Sends over one connection until nothing is left: True. False when it was given back to others before."""
        self._inside.discard(number)
        extra = number > 0
        flight: dict[int, _Flight] = {}
        try:
            with self._pool.lease(extra=extra, long=True) as connection:
                self._inside.add(number)
                writer = open_part(connection, self._part, fresh=False, held=self._held)
                self._on_open(connection)  # by now there is a part
                stride = WriteSizer()
                while not (leaving := self._pool.wanted(connection, extra=extra)):
                    if not self._step(writer, flight, stride):
                        break
                while flight:  # what is on its way is waited for
                    self._settle(writer.reap(), flight, stride)
                writer.close()
                return not leaving
        except NetworkError:
            self._held = True
            raise
        finally:
            self._return(flight)

    def _step(self, writer: Writer, flight: dict[int, _Flight], stride: WriteSizer) -> bool:
        """Takes and sends one piece, or waits for acknowledgements. False when there is nothing left to do."""
        # Another connection may yet fail and give its pieces back: with nothing under way, wait for that too.
        chunk = self._feed.take(wait=not flight)
        if chunk is not None:
            flight[chunk.index] = _Flight(chunk)
            self._send(writer, chunk, flight, stride)
        elif flight:
            self._settle(writer.reap(), flight, stride)
        return chunk is not None or bool(flight) or not self._feed.over.is_set()

    def _send(self, writer: Writer, chunk: Chunk, flight: dict[int, _Flight], stride: WriteSizer) -> None:
        view = memoryview(chunk.data)
        most = self._rate_limiter.portion(writer.request_bytes)
        at = 0
        while at < len(view):
            data = view[at : at + stride.portion(most)]
            self._rate_limiter.pass_through(len(data))
            writer.send(chunk.offset + at, data)
            with self._lock:
                self.sent += len(data)
            at += len(data)
            self._settle(writer.reap(wait=writer.pending > _WINDOW), flight, stride)

    def _settle(self, ranges: list[Range], flight: dict[int, _Flight], stride: WriteSizer) -> None:
        for offset, length in ranges:
            stride.add(length)
            index = offset // CHUNK_BYTES
            held = flight[index]
            held.acknowledged += length
            if held.acknowledged < len(held.chunk.data):
                with self._lock:
                    self._partly[index] = held.acknowledged
                continue
            self._on_piece(held.chunk)
            del flight[index]
            with self._lock:
                self._whole += held.acknowledged
                self._partly.pop(index, None)
            self._feed.settle()
        if ranges:
            self._tell()

    def _return(self, flight: dict[int, _Flight]) -> None:
        if not flight:
            return
        self._feed.give_back([held.chunk for held in flight.values()])
        with self._lock:
            for index in flight:
                self._partly.pop(index, None)
        flight.clear()
        self._tell()

    def _tell(self) -> None:
        with self._telling:  # counts are told in the order in which they were true
            self._on_bytes(self._moved())

    def _moved(self) -> int:
        with self._lock:
            return self._whole + sum(self._partly.values())
