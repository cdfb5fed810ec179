"""Sends the pieces of one file over several connections; what a lost connection had not got acknowledged goes again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from uploader.errors import Interrupted, UploaderError
from uploader.remote.interface import Range, Writer
from uploader.remote.pool import Pool
from uploader.streams import Pacer
from uploader.transfer.feed import PIECE_BYTES, Feed, Piece

_WINDOW = 8 * 1024 * 1024
"""Bytes a connection has under way: the product of 500 Mbit/s and 130 ms."""


@dataclass
class _Flight:
    """A piece that was sent, in part or whole, and the bytes of it that the server acknowledged."""

    piece: Piece
    acknowledged: int = 0


class Lanes:
    """One sending of the pieces that a feed hands out, to one part file.

    `retrying(call, progress)` runs a call again while its fault may pass and `progress()` grows. `acknowledged` is
    told of each piece that is wholly on the server; `moved` how many bytes of pieces were acknowledged so far.
    """

    def __init__(
        self,
        pool: Pool,
        part: str,
        feed: Feed,
        *,
        pacer: Pacer,
        retrying: Callable[[Callable[[], None], Callable[[], int]], None],
        acknowledged: Callable[[Piece], None],
        moved: Callable[[int], None],
    ) -> None:
        self._pool = pool
        self._part = part
        self._feed = feed
        self._pacer = pacer
        self._retrying = retrying
        self._on_piece = acknowledged
        self._on_bytes = moved
        self._lock = threading.Lock()
        self._in_flight = 0
        self._whole = 0
        self._partly: dict[int, int] = {}
        self._fault: BaseException | None = None
        self.sent = 0
        """Payload bytes that were handed to the line, those sent again included."""

    def run(self, count: int) -> None:
        """Sends all that the feed has, over `count` connections. Raises the first fault that does not pass."""
        threads = [threading.Thread(target=self._lane, name=f"lane-{n}", daemon=True) for n in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._fault is not None:
            raise self._fault

    def _lane(self) -> None:
        try:
            self._retrying(self._session, lambda: self._whole)
        except BaseException as error:  # noqa: BLE001 - carried to the caller's thread, which raises it
            with self._lock:
                if self._fault is None or isinstance(self._fault, Interrupted):
                    self._fault = error
            self._feed.stop()

    def _session(self) -> None:
        """Sends over one connection until nothing is left."""
        flight: dict[int, _Flight] = {}
        try:
            with self._pool.lease() as connection:
                writer = connection.files.open_writer(self._part, fresh=False)
                while self._step(writer, flight):
                    pass
                writer.close()
        except UploaderError:
            self._return(flight)
            raise

    def _step(self, writer: Writer, flight: dict[int, _Flight]) -> bool:
        """Takes and sends one piece, or waits for acknowledgements. False when there is nothing left to do."""
        piece = self._feed.take(wait=not flight)
        if piece is not None:
            with self._lock:
                self._in_flight += 1
            flight[piece.index] = _Flight(piece)
            self._send(writer, piece, flight)
            return True
        if flight:
            self._settle(writer.reap(), flight)
            return True
        # Another connection may yet fail and give its pieces back: stay until none is under way.
        with self._lock:
            return self._in_flight > 0 and self._fault is None

    def _send(self, writer: Writer, piece: Piece, flight: dict[int, _Flight]) -> None:
        view = memoryview(piece.data)
        portion = self._pacer.portion(writer.request_bytes)
        for at in range(0, len(view), portion):
            data = view[at : at + portion]
            self._pacer.pass_through(len(data))
            writer.send(piece.offset + at, data)
            with self._lock:
                self.sent += len(data)
            self._settle(writer.reap(wait=writer.pending > _WINDOW), flight)

    def _settle(self, ranges: list[Range], flight: dict[int, _Flight]) -> None:
        for offset, length in ranges:
            index = offset // PIECE_BYTES
            held = flight[index]
            held.acknowledged += length
            done = held.acknowledged == len(held.piece.data)
            if done:
                del flight[index]
                self._on_piece(held.piece)
            with self._lock:
                if done:
                    self._in_flight -= 1
                    self._whole += held.acknowledged
                    self._partly.pop(index, None)
                else:
                    self._partly[index] = held.acknowledged
        if ranges:
            with self._lock:
                moved = self._whole + sum(self._partly.values())
            self._on_bytes(moved)

    def _return(self, flight: dict[int, _Flight]) -> None:
        self._feed.give_back([held.piece for held in flight.values()])
        with self._lock:
            self._in_flight -= len(flight)
            for index in flight:
                self._partly.pop(index, None)
        flight.clear()
