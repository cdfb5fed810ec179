"""Connections to one target, kept open between uses: handed out, given back, dropped when they die."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from uploader.errors import Interrupted, NetworkError, RemoteRefused
from uploader.remote.interface import Connection, Connector


class Pool:
    """Connections of one connector. A connection is used by one thread at a time."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._interrupted = False

    @contextmanager
    def lease(self) -> Iterator[Connection]:
        """Hands out a connection, an idle one first. It goes back unless it was lost meanwhile, or left in the middle
        of something: a refusal alone costs no new login.

        Raises what Connector.connect raises, and Interrupted after `interrupt`.
        """
        connection = self._take()
        try:
            yield connection
        except NetworkError as error:
            self._drop(connection)
            if self._interrupted:
                raise Interrupted("the transfer was stopped") from error
            raise
        except RemoteRefused:
            self._give_back(connection)
            raise
        except BaseException:
            self._drop(connection)
            raise
        self._give_back(connection)

    def interrupt(self) -> None:
        """Ends every connection at once, from any thread; nothing is handed out afterwards."""
        with self._lock:
            self._interrupted = True
            opened = list(self._open)
        for connection in opened:
            connection.interrupt()

    def close(self) -> None:
        """Closes all that is open."""
        with self._lock:
            opened, self._open, self._idle = list(self._open), set(), []
        for connection in opened:
            connection.close()

    def _take(self) -> Connection:
        with self._lock:
            if self._interrupted:
                raise Interrupted("the transfer was stopped")
            if self._idle:
                return self._idle.pop()
        connection = self._connector.connect()
        with self._lock:
            self._open.add(connection)
            late = self._interrupted
        if late:
            self._drop(connection)
            raise Interrupted("the transfer was stopped")
        return connection

    def _give_back(self, connection: Connection) -> None:
        if not connection.settled:
            # Answers may still be on the way to whoever left: nobody else must read them.
            self._drop(connection)
            return
        with self._lock:
            if connection in self._open:  # not closed meanwhile
                self._idle.append(connection)

    def _drop(self, connection: Connection) -> None:
        with self._lock:
            self._open.discard(connection)
        connection.close()
