"""Connections to one target, kept open between uses: leased, given back, dropped when they die."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from uploader.errors import (
    CredentialsMissing,
    CredentialsRefused,
    Interrupted,
    NetworkError,
    RemoteRefused,
    UploaderError,
)
from uploader.profile import MOST_CONNECTIONS
from uploader.remote.interface import Connection, Connector

_STAGGER_SECONDS = 0.05
"""Between two sign-ins begun ahead: a server counts those that have not signed in yet (sshd's MaxStartups)."""
_LOOK_SECONDS = 0.05
_LAST_SECONDS = 1.0
"""How long, at the end, those that are being opened are waited for: all of them together."""

TURNED_AWAY = (NetworkError, RemoteRefused, CredentialsMissing, CredentialsRefused)
"""How a server refuses a further connection (a code that works once, MaxStartups, a quota)."""


class NoFurther(RemoteRefused):
    """The limit of connections is reached. Never leaves the pool's callers."""


class ConnectionPool:
    """Connections of one connector, `most` at once, and fewer where the server refuses the later ones. Thread-safe.

    A connection is used by one thread at a time."""

    def __init__(self, connector: Connector, most: int = MOST_CONNECTIONS) -> None:
        self._wanted = self.most = most
        self.round_trip = 0.0
        """Seconds to the server and back, as the newest connection measured them."""
        self._connector = connector
        self._changed = threading.Condition()
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._opening = 0
        self._ahead = 0
        self._awaiting = 0
        self._openers: list[threading.Thread] = []
        # Those that wait for one to be given back, in order; those that keep it long come after.
        self._brief: list[object] = []
        self._long: list[object] = []
        self._leaving: set[Connection] = set()
        self._interrupted = threading.Event()

    @contextmanager
    def lease(self, *, extra: bool = False, long: bool = False) -> Iterator[Connection]:
        """Lease a connection: an idle one, one that is being opened ahead, or a new one.

        When all were lost, one caller opens a new one and the others wait for its result. When the limit is reached,
        the caller waits for one to be given back. An `extra` lease, which is useful but not needed, then raises
        NoFurther instead. A caller that keeps it `long` asks `wanted` now and then, and is served after the others.
        The connection goes back unless it was lost or has work under way. A refusal alone costs no new login.

        Raises what Connector.connect raises, and Interrupted after `interrupt`.
        """
        connection = self._take(extra, long)
        try:
            yield connection
        except NetworkError as error:
            self._drop(connection)
            if self._interrupted.is_set():
                raise Interrupted("the transfer was stopped") from error
            raise
        except RemoteRefused:
            self._give_back(connection)
            raise
        except BaseException:
            self._drop(connection)
            raise
        self._give_back(connection)

    def wanted(self, connection: Connection, *, extra: bool) -> bool:
        """Return whether this lease should end soon, because another thread waits for a connection.

        A thread that waits for a short use counts; for an `extra` lease each one counts. Each waiting thread is
        answered by one connection."""
        with self._changed:
            waiting = len(self._brief) + (len(self._long) if extra else 0)
            if connection not in self._leaving and waiting > len(self._leaving) + len(self._idle):
                self._leaving.add(connection)
            return connection in self._leaving

    def warm(self, count: int) -> None:
        """Begin to open connections until there are `count`, and do not wait for them. One that fails is one that the
        server does not accept; the others will do."""
        with self._changed:
            if self._interrupted.is_set():
                return
            missing = min(count, self.most) - len(self._open) - self._opening
            self._opening += max(0, missing)
            self._ahead += max(0, missing)
            for number in range(missing):
                opener = threading.Thread(
                    target=self._open_ahead, args=(number * _STAGGER_SECONDS,), name="opener", daemon=True
                )
                self._openers.append(opener)
                opener.start()

    def ahead(self, worth: Callable[[float], int]) -> None:
        """As `warm`, once the server has accepted the first connection, which need not be there yet.

        `worth` returns the number of connections for a round trip in seconds."""

        def wait() -> None:
            while not self._interrupted.is_set():
                if self._connector.signed_in.wait(_LOOK_SECONDS):
                    self.warm(worth(self._connector.round_trip))
                    return

        waiter = threading.Thread(target=wait, name="opener", daemon=True)
        with self._changed:
            self._openers.append(waiter)
        waiter.start()

    def interrupt(self) -> None:
        """End every connection at once, from any thread. No lease begins afterwards."""
        with self._changed:
            self._interrupted.set()
            opened = list(self._open)
            self._changed.notify_all()
        for connection in opened:
            connection.interrupt()

    def close(self) -> None:
        """Close all that is open, and wait for what is being opened."""
        with self._changed:
            opened, self._open, self._idle = list(self._open), set(), []
            self._interrupted.set()
            self._changed.notify_all()
        # Side by side: each waits a moment for its own end.
        closers = [threading.Thread(target=connection.close, name="closer") for connection in opened]
        for closer in closers:
            closer.start()
        for closer in closers:
            closer.join()
        last = time.monotonic() + _LAST_SECONDS
        for opener in self._openers:
            opener.join(timeout=max(0.0, last - time.monotonic()))

    def _take(self, extra: bool, long: bool) -> Connection:
        while True:
            with self._changed:
                if (connection := self._in_turn(extra, long)) is not None:
                    return connection
                self._opening += 1
            try:
                return self._connected()
            except TURNED_AWAY:
                if extra or not self._turned_away():
                    raise

    def _in_turn(self, extra: bool, long: bool) -> Connection | None:
        """As `_found`, after those that wait already. The caller holds the lock."""
        turn = object()
        queue = self._long if long or extra else self._brief
        if not extra:
            queue.append(turn)
        try:
            return self._found(extra, lambda: self._before(queue, turn))
        finally:
            if not extra:
                queue.remove(turn)
                self._changed.notify_all()

    def _before(self, queue: list[object], turn: object) -> int:
        """Return how many are served first."""
        before = queue.index(turn) if turn in queue else len(queue)
        return before if queue is self._brief else before + len(self._brief)

    def _found(self, extra: bool, before: Callable[[], int]) -> Connection | None:
        """Wait for a connection, or for room for another: None. The caller holds the lock."""
        while True:
            if self._interrupted.is_set():
                raise Interrupted("the transfer was stopped")
            if len(self._idle) > before():
                return self._idle.pop()
            full = len(self._open) + self._opening >= self.most
            # Each that is opened ahead answers one that waits: one that hangs delays no other.
            awaited = self._ahead > self._awaiting
            # Where all were lost, one asks first, and its answer says whether there is a way for the others.
            alone = not self._open and self._opening > self._ahead
            if not (awaited or alone or full):
                return None
            if extra and full and not (awaited or alone):
                raise NoFurther("there are as many connections as there may be")
            self._awaiting += awaited
            try:
                self._changed.wait()
            finally:
                self._awaiting -= awaited

    def _turned_away(self) -> bool:
        """Record that the server accepts no more than there are; False when there are none.

        Those that are being opened count too: the result of one tells nothing about theirs."""
        with self._changed:
            if not self._open:
                return False
            self.most = len(self._open) + self._opening
            return True

    def _connected(self) -> Connection:
        """Open a connection that is counted in `_opening` already."""
        try:
            connection = self._connector.connect()
        except BaseException:
            with self._changed:
                self._opening -= 1
                self._changed.notify_all()
            raise
        with self._changed:
            self._opening -= 1
            self._open.add(connection)
            self.most = max(self.most, len(self._open))
            self._changed.notify_all()
            self.round_trip = connection.round_trip
            late = self._interrupted.is_set()
        if late:
            self._drop(connection)
            raise Interrupted("the transfer was stopped")
        return connection

    def _open_ahead(self, wait: float) -> None:
        connection: Connection | None = None
        try:
            if self._interrupted.wait(wait):
                with self._changed:
                    self._opening -= 1
            else:
                connection = self._connected()
        except UploaderError:
            self._turned_away()
        finally:
            with self._changed:
                self._ahead -= 1
                if connection in self._open:
                    self._idle.append(connection)
                self._changed.notify_all()

    def _give_back(self, connection: Connection) -> None:
        if not connection.settled:
            # Answers to its last user may still arrive: no other user must read them.
            self._drop(connection)
            return
        with self._changed:
            self._leaving.discard(connection)
            if connection in self._open:  # not closed in the meantime
                self._idle.append(connection)
                self._changed.notify_all()

    def _drop(self, connection: Connection) -> None:
        with self._changed:
            self._open.discard(connection)
            self._leaving.discard(connection)
            if not self._open:  # what the server took before says nothing of the line that comes next
                self.most = self._wanted
            self._changed.notify_all()
        connection.close()
