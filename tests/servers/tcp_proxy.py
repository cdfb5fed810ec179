"""A line between a client and a server that can be cut, frozen and refused.

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
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from types import TracebackType
from typing import Literal, Self

Direction = Literal["up", "down"]
_PIECE = 64 * 1024
_RESET = struct.pack("ii", 1, 0)


class _Pipe:
    """One way of one connection: what was read from `source` and not yet taken by `sink`."""

    def __init__(self, direction: Direction, source: socket.socket, sink: socket.socket) -> None:
        self.direction: Direction = direction
        self.source = source
        self.sink = sink
        self.waiting = b""
        self.ended = False


class Proxy:
    """Listens on loopback and carries every connection to `target_host:target_port`."""

    def __init__(self, target_host: str, target_port: int) -> None:
        self.host = "127.0.0.1"
        self.was_cut = threading.Event()
        self._target = (target_host, target_port)
        self._listener = socket.create_server((self.host, 0))
        self.port = int(self._listener.getsockname()[1])
        self._wake, self._bell = socket.socketpair()
        self._orders: SimpleQueue[tuple[Callable[[], None], Future[None]]] = SimpleQueue()
        self._selector = selectors.DefaultSelector()
        self._pipes: list[_Pipe] = []
        self._bytes: dict[Direction, int] = {"up": 0, "down": 0}
        self._limits: dict[Direction, int] = {}
        self._connections = 0
        self._frozen = self._refusing = self._closing = False
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

    def cut_after(self, n_bytes: int, direction: Direction = "up") -> None:
        """Resets every connection once `n_bytes` more went in that direction; not one byte more is handed on."""
        self._order(lambda: self._limits.update({direction: self._bytes[direction] + n_bytes}))

    def cut_now(self) -> None:
        """Resets every connection; it has happened when this returns."""
        self._order(self._cut)

    def freeze(self) -> None:
        """Hands nothing on any more, and keeps every connection open."""
        self._order(lambda: self._set(frozen=True))

    def thaw(self) -> None:
        """Hands on again."""
        self._order(lambda: self._set(frozen=False))

    def refuse(self) -> None:
        """Resets new connections; those there are go on."""
        self._order(lambda: self._set(refusing=True))

    def admit(self) -> None:
        """Takes new connections again."""
        self._order(lambda: self._set(refusing=False))

    def close(self) -> None:
        """Resets what is open and joins the thread."""
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
            self._order(lambda: None)  # the piece under way is counted before the answer
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
            ready = [(key.fileobj, events) for key, events in self._selector.select()]
            for key in list(self._selector.get_map().values()):
                self._selector.unregister(key.fileobj)
            self._turn(dict(ready))
        self._cut()

    def _wanted(self) -> dict[socket.socket, int]:
        wanted = {self._listener: selectors.EVENT_READ, self._wake: selectors.EVENT_READ}
        for pipe in [] if self._frozen else self._pipes:
            if pipe.waiting:
                wanted[pipe.sink] = wanted.get(pipe.sink, 0) | selectors.EVENT_WRITE
            elif not pipe.ended:
                wanted[pipe.source] = wanted.get(pipe.source, 0) | selectors.EVENT_READ
        return wanted

    def _turn(self, ready: dict[object, int]) -> None:
        if self._wake in ready:
            self._wake.recv(1)
            action, done = self._orders.get()
            action()
            done.set_result(None)
            return  # what an order changes decides what is looked at next
        if self._listener in ready:
            self._accept()
        for pipe in list(self._pipes):
            if pipe not in self._pipes:
                continue
            try:
                if pipe.waiting and ready.get(pipe.sink, 0) & selectors.EVENT_WRITE:
                    self._hand_on(pipe)
                elif not pipe.waiting and not pipe.ended and ready.get(pipe.source, 0) & selectors.EVENT_READ:
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
        pipe.waiting = pipe.source.recv(_PIECE)
        if not pipe.waiting:
            pipe.ended = True
            pipe.sink.shutdown(socket.SHUT_WR)
            twin = self._twin(pipe)
            if twin.ended and not twin.waiting:
                self._drop(pipe, reset=False)

    def _hand_on(self, pipe: _Pipe) -> None:
        limit = self._limits.get(pipe.direction)
        room = len(pipe.waiting) if limit is None else max(0, limit - self._bytes[pipe.direction])
        sent = pipe.sink.send(pipe.waiting[:room]) if room else 0
        self._bytes[pipe.direction] += sent
        pipe.waiting = pipe.waiting[sent:]
        if limit is not None and self._bytes[pipe.direction] >= limit:
            del self._limits[pipe.direction]
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

    def _set(self, *, frozen: bool | None = None, refusing: bool | None = None, closing: bool | None = None) -> None:
        self._frozen = self._frozen if frozen is None else frozen
        self._refusing = self._refusing if refusing is None else refusing
        self._closing = self._closing if closing is None else closing
