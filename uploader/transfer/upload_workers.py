"""Send the chunks of one file over several connections. Chunks in flight on a lost connection are sent again."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from uploader.errors import NetworkError
from uploader.remote.interface import Connection, Range, Writer
from uploader.remote.pool import TURNED_AWAY, NoFurther
from uploader.threads import WorkerGroup
from uploader.transfer.chunk_queue import ChunkQueue
from uploader.transfer.chunks import Chunk
from uploader.transfer.config import TransferConfig
from uploader.transfer.connections import ConnectionScaler
from uploader.transfer.context import TransferContext
from uploader.transfer.rename import open_part


@dataclass
class _InFlight:
    """A chunk that is being sent, and the number of its bytes that the server acknowledged."""

    chunk: Chunk
    acknowledged: int = 0


class WriteSizer:
    """Decides the size of one write from the throughput of one worker. `clock` is in seconds."""

    def __init__(self, config: TransferConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._least = config.least_write_bytes
        self._seconds = config.write_seconds
        self._clock = clock
        self._moved: deque[tuple[float, int]] = deque()
        self._sum = 0

    def add(self, size: int) -> None:
        """Record that `size` bytes were acknowledged now."""
        self._moved.append((self._clock(), size))
        self._sum += size

    def portion(self, most: int) -> int:
        """Return the size of the next write in bytes, at most `most`."""
        since = self._clock() - self._seconds
        while self._moved and self._moved[0][0] < since:
            self._sum -= self._moved.popleft()[1]
        return min(most, max(self._least, self._sum // self._least * self._least))


class UploadWorkers:
    """The threads that send the chunks of a queue to one part file, one thread per connection.

    The workers call `acknowledged` with each chunk that is wholly on the server. They call `moved` with the bytes
    acknowledged so far. Each worker calls `opened` in its thread with the connection that begins to send. `held`: a
    connection of an earlier run may still have the part file open on the server.
    """

    def __init__(
        self,
        context: TransferContext,
        part: str,
        queue: ChunkQueue,
        *,
        acknowledged: Callable[[Chunk], None],
        moved: Callable[[int], None],
        opened: Callable[[Connection], None] = lambda _connection: None,
        held: bool = False,
    ) -> None:
        self._pool = context.pool
        self._retry = context.retry
        self._config = context.config
        self._part = part
        self._queue = queue
        self._held = held
        self._on_chunk = acknowledged
        self._on_bytes = moved
        self._on_open = opened
        self._lock = threading.Lock()
        self._reporting = threading.Lock()
        self._whole = 0
        self._partly: dict[int, int] = {}
        self._admitted: set[int] = set()
        self.sent = 0
        """Payload bytes given to the connections, including bytes sent again."""

    def run(self, count: int, scaler: ConnectionScaler | None = None) -> None:
        """Send all chunks of the queue over `count` connections at first, and over more if `scaler` adds some.

        If the server accepts fewer connections, these send everything. Raises the error of the source, or the first
        error that the retries do not solve.
        """
        config = self._config
        with WorkerGroup(self._work, name="upload", stop=self._queue.stop, is_surplus=self._is_surplus) as workers:
            workers.grow(count)
            while scaler and not workers.wait(config.hurried_look_seconds if scaler.hurried else config.look_seconds):
                workers.grow(scaler.more(self._moved(), workers.alive))
            workers.wait()
        workers.check()
        self._queue.check()

    def _work(self, number: int) -> None:
        self._retry(lambda: self._send_all(number), lambda: self._whole, over=self._queue.over)

    def _is_surplus(self, number: int, error: BaseException, alive: int) -> bool:
        """Return True if the server refused this connection and other workers are alive."""
        turned_away = isinstance(error, TURNED_AWAY) and number not in self._admitted
        return turned_away and (alive > 0 or self._queue.over.is_set())

    def _send_all(self, number: int) -> None:
        """Send until no chunk is left. Lend the connection to waiting threads in between."""
        lent = False
        while not self._queue.over.is_set():
            try:
                if self._send_over_one(number):
                    return
                lent = True
            except NoFurther:
                if not lent:
                    raise
                self._queue.over.wait(self._config.look_seconds)  # until the other thread returns the connection

    def _send_over_one(self, number: int) -> bool:
        """Send over one connection. Return True if no chunk is left, False if another thread needs the connection."""
        self._admitted.discard(number)
        extra = number > 0
        flight: dict[int, _InFlight] = {}
        try:
            with self._pool.lease(extra=extra, long=True) as connection:
                self._admitted.add(number)
                writer = open_part(connection, self._part, fresh=False, held=self._held)
                self._on_open(connection)  # the part file exists from here on
                sizer = WriteSizer(self._config)
                while not (leaving := self._pool.wanted(connection, extra=extra)):
                    if not self._step(writer, flight, sizer):
                        break
                while flight:
                    self._settle(writer.reap(), flight, sizer)
                writer.close()
                return not leaving
        except NetworkError:
            self._held = True
            raise
        finally:
            self._give_back(flight)

    def _step(self, writer: Writer, flight: dict[int, _InFlight], sizer: WriteSizer) -> bool:
        """Send one chunk, or wait for acknowledgements. Return False if no work is left."""
        # With nothing in flight, wait: another connection may fail and return its chunks to the queue.
        chunk = self._queue.take(wait=not flight)
        if chunk is not None:
            flight[chunk.index] = _InFlight(chunk)
            self._send(writer, chunk, flight, sizer)
        elif flight:
            self._settle(writer.reap(), flight, sizer)
        return chunk is not None or bool(flight) or not self._queue.over.is_set()

    def _send(self, writer: Writer, chunk: Chunk, flight: dict[int, _InFlight], sizer: WriteSizer) -> None:
        view = memoryview(chunk.data)
        most = writer.request_bytes
        at = 0
        while at < len(view):
            data = view[at : at + sizer.portion(most)]
            writer.send(chunk.offset + at, data)
            with self._lock:
                self.sent += len(data)
            at += len(data)
            self._settle(writer.reap(wait=writer.pending > self._config.window_bytes), flight, sizer)

    def _settle(self, ranges: list[Range], flight: dict[int, _InFlight], sizer: WriteSizer) -> None:
        for offset, length in ranges:
            sizer.add(length)
            index = offset // self._config.chunk_bytes
            held = flight[index]
            held.acknowledged += length
            if held.acknowledged < len(held.chunk.data):
                with self._lock:
                    self._partly[index] = held.acknowledged
                continue
            self._on_chunk(held.chunk)
            del flight[index]
            with self._lock:
                self._whole += held.acknowledged
                self._partly.pop(index, None)
            self._queue.settle()
        if ranges:
            self._report()

    def _give_back(self, flight: dict[int, _InFlight]) -> None:
        if not flight:
            return
        self._queue.give_back([held.chunk for held in flight.values()])
        with self._lock:
            for index in flight:
                self._partly.pop(index, None)
        flight.clear()
        self._report()

    def _report(self) -> None:
        with self._reporting:  # report the counts in the order in which they were counted
            self._on_bytes(self._moved())

    def _moved(self) -> int:
        with self._lock:
            return self._whole + sum(self._partly.values())
