"""A line between a client and a server that can be cut, frozen, refused, delayed, and made to lose one direction.

    with Proxy("127.0.0.1", server.port) as line:
        line.cut_after(1_000_000)          # counted from now, up; both ends then see a reset
        ... connect to line.host, line.port ...
        assert line.was_cut.wait(10)

A cut happens once; new connections are taken again after it, unless `refuse()` was said. One thread moves all.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from types import TracebackType
from typing import Literal, Self

Direction = Literal["up", "down"]
_PIECE = 64 * 1024
_UNDER_WAY = 16 * 1024 * 1024
"""Bytes that a delayed direction holds: 100 ms of more than a gigabit per second."""
_RESET = struct.pack("ii", 1, 0)


class _Pipe:
    """One way of one connection: what was read from `source` and not yet taken by `sink`."""

    def __init__(self, direction: Direction, source: socket.socket, sink: socket.socket) -> None:
        self.direction: Direction = direction
        self.source = source
        self.sink = sink
        self.waiting: deque[tuple[float, bytes]] = deque()  # when it may go on, and what; nothing: the end
        self.size = 0
        self.ended = False
        self.swallowed = False

    def due(self, now: float) -> bool:
        return bool(self.waiting) and self.waiting[0][0] <= now


class Proxy:
    """Listens on loopback and carries every connection to `target_host:target_port`."""

    def __init__(self, target_host: str, target_port: int) -> None:
        self.host = "127.0.0.1"
        self.was_cut = threading.Event()
        self._for_good = False
        self._target = (target_host, target_port)
        self._listener = socket.create_server((self.host, 0))
        self.port = int(self._listener.getsockname()[1])
        self._wake, self._bell = socket.socketpair()
        self._orders: SimpleQueue[tuple[Callable[[], None], Future[None]]] = SimpleQueue()
        self._selector = selectors.DefaultSelector()
        self._pipes: list[_Pipe] = []
        self._bytes: dict[Direction, int] = {"up": 0, "down": 0}
        self._limits: dict[Direction, int] = {}
        self._moved: dict[Direction, list[tuple[float, int]]] = {"up": [], "down": []}
        self._connections = 0
        self._delay = 0.0
        self._frozen: frozenset[Direction] = frozenset()
        self._refusing = self._closing = False
        self._thread = threading.Thread(target=self._run, name="tcp-proxy", daemon=True)

    # orders, from any thread --------------------------------------------------------------------------

    @property
    def up(self) -> int:
        """Bytes handed on to the server so far, over all connections."""
        return self._counted("up")

    @property
    def down(self) -> int:
        """Bytes handed on to the client so far, over all connections."""
        return self._counted("down")

    @property
    def connections(self) -> int:
        """How many connections were carried so far."""
        return self._connections

    def cut_after(self, n_bytes: int, direction: Direction = "up", *, for_good: bool = False) -> None:
        """Reset every connection once `n_bytes` more went in that direction; not one byte more is handed on.

        With `for_good`, new connections are reset from then on, until `admit`.
        """

        def limit() -> None:
            self._limits[direction] = self._bytes[direction] + n_bytes
            self._for_good = for_good

        self._order(limit)

    def cut_now(self) -> None:
        """Reset every connection; it has happened when this returns."""
        self._order(self._cut)

    def busiest(self, direction: Direction, seconds: float) -> int:
        """Return the most bytes that were handed on within any `seconds`."""
        self._order(lambda: None)
        most = held = first = 0
        moved = self._moved[direction]
        for at, size in moved:
            held += size
            while moved[first][0] <= at - seconds:
                held -= moved[first][1]
                first += 1
            most = max(most, held)
        return most

    def freeze(self, *directions: Direction) -> None:
        """Hand nothing on any more in these directions, in both if none is named; keeps every connection open."""
        self._order(lambda: self._set(frozen=frozenset(directions or ("up", "down"))))

    def thaw(self) -> None:
        """Hand on again."""
        self._order(lambda: self._set(frozen=frozenset()))

    def swallow(self, direction: Direction) -> None:
        """Lose what comes in that direction from now on, over every connection that there is; later ones are whole."""

        def lose() -> None:
            for pipe in self._pipes:
                if pipe.direction == direction:
                    pipe.swallowed = True
                    pipe.waiting.clear()
                    pipe.size = 0

        self._order(lose)

    def delay(self, round_trip: float) -> None:
        """Delay what comes from now on: `seconds` to the server and back, half of them each way."""
        self._order(lambda: self._set(delay=round_trip / 2))

    def refuse(self) -> None:
        """Reset new connections; those there are go on."""
        self._order(lambda: self._set(refusing=True))

    def admit(self) -> None:
        """Take new connections again."""
        self._order(lambda: self._set(refusing=False))

    def close(self) -> None:
        """Reset what is open and joins the thread."""
        if self._thread.is_alive():
            self._order(lambda: self._set(closing=True))
            self._thread.join()
        for thing in (self._listener, self._wake, self._bell):
            thing.close()
        self._selector.close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _counted(self, direction: Direction) -> int:
        if self._thread.is_alive():
            self._order(lambda: None)  # the block in flight is counted before the answer
        return self._bytes[direction]

    def _order(self, action: Callable[[], None]) -> None:
        done: Future[None] = Future()
        self._orders.put((action, done))
        self._bell.send(b"!")
        done.result(timeout=30)

    # the thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._closing:
            for thing, wanted in self._wanted().items():
                self._selector.register(thing, wanted)
            ready = [(key.fileobj, events) for key, events in self._selector.select(self._until_due())]
            for key in list(self._selector.get_map().values()):
                self._selector.unregister(key.fileobj)
            self._turn(dict(ready))
        self._cut()

    def _moving(self) -> list[_Pipe]:
        return [pipe for pipe in self._pipes if pipe.direction not in self._frozen]

    def _until_due(self) -> float | None:
        """Seconds until something that is under way arrives; None when nothing is."""
        now = time.monotonic()
        waits = [pipe.waiting[0][0] - now for pipe in self._moving() if pipe.waiting]
        return min((wait for wait in waits if wait > 0), default=None)

    def _wanted(self) -> dict[socket.socket, int]:
        wanted = {self._listener: selectors.EVENT_READ, self._wake: selectors.EVENT_READ}
        now = time.monotonic()
        for pipe in self._moving():
            if pipe.due(now):
                wanted[pipe.sink] = wanted.get(pipe.sink, 0) | selectors.EVENT_WRITE
            if self._has_room(pipe):
                wanted[pipe.source] = wanted.get(pipe.source, 0) | selectors.EVENT_READ
        return wanted

    def _has_room(self, pipe: _Pipe) -> bool:
        return not pipe.ended and (pipe.size < _UNDER_WAY if self._delay else not pipe.waiting)

    def _turn(self, ready: dict[object, int]) -> None:
        if self._wake in ready:
            self._wake.recv(1)
            action, done = self._orders.get()
            action()
            done.set_result(None)
            return  # what an order changes decides what is looked at next
        if self._listener in ready:
            self._accept()
        now = time.monotonic()
        for pipe in self._moving():
            if pipe not in self._pipes:
                continue
            try:
                if pipe.due(now) and ready.get(pipe.sink, 0) & selectors.EVENT_WRITE:
                    self._hand_on(pipe)
                elif self._has_room(pipe) and ready.get(pipe.source, 0) & selectors.EVENT_READ:
                    self._take(pipe)
            except BlockingIOError:
                continue
            except OSError:
                self._drop(pipe)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            if self._refusing:
                raise ConnectionRefusedError
            server = socket.create_connection(self._target, timeout=10)
        except OSError:
            self._reset(client)
            return
        for end in (client, server):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections += 1
        self._pipes += [_Pipe("up", client, server), _Pipe("down", server, client)]

    def _take(self, pipe: _Pipe) -> None:
        data = pipe.source.recv(_PIECE)
        pipe.ended = not data
        if not pipe.swallowed:
            pipe.waiting.append((time.monotonic() + self._delay, data))
            pipe.size += len(data)

    def _hand_on(self, pipe: _Pipe) -> None:
        due, data = pipe.waiting.popleft()
        if not data:
            pipe.sink.shutdown(socket.SHUT_WR)
            twin = self._twin(pipe)
            if twin.ended and not twin.waiting:
                self._drop(pipe, reset=False)
            return
        limit = self._limits.get(pipe.direction)
        room = len(data) if limit is None else max(0, limit - self._bytes[pipe.direction])
        try:
            sent = pipe.sink.send(data[:room]) if room else 0
        except BlockingIOError:
            sent = 0
        self._bytes[pipe.direction] += sent
        self._moved[pipe.direction].append((time.monotonic(), sent))
        pipe.size -= sent
        if sent < len(data):
            pipe.waiting.appendleft((due, data[sent:]))
        if limit is not None and self._bytes[pipe.direction] >= limit:
            del self._limits[pipe.direction]
            self._refusing = self._refusing or self._for_good
            self._cut()

    def _cut(self) -> None:
        for pipe in list(self._pipes):
            if pipe in self._pipes:
                self._drop(pipe)
        self.was_cut.set()

    def _drop(self, pipe: _Pipe, *, reset: bool = True) -> None:
        self._pipes = [other for other in self._pipes if other not in (pipe, self._twin(pipe))]
        for end in (pipe.source, pipe.sink):
            if reset:
                self._reset(end)
            else:
                end.close()

    def _twin(self, pipe: _Pipe) -> _Pipe:
        return next(other for other in self._pipes if other.source is pipe.sink)

    @staticmethod
    def _reset(end: socket.socket) -> None:
        with contextlib.suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        end.close()

    def _set(
        self,
        *,
        frozen: frozenset[Direction] | None = None,
        refusing: bool | None = None,
        closing: bool | None = None,
        delay: float | None = None,
    ) -> None:
        self._frozen = self._frozen if frozen is None else frozen
        self._refusing = self._refusing if refusing is None else refusing
        self._closing = self._closing if closing is None else closing
        self._delay = self._delay if delay is None else delay
