"""The file `state.db`: opened at the first call that needs it, set aside when it is damaged.

    database.read("SELECT …", parameters)       # rows; none when there is no file, or it cannot be read
    database.write(("INSERT …", rows), …)       # one transaction; raises ConfigurationError, Busy

What cannot be read is found out again: bytes are compared, servers are asked. So a read never fails.
"""

from __future__ import annotations

import os
import re
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from uploader.errors import Busy, ConfigurationError, UploaderError
from uploader.events import Message, Observer, silence
from uploader.state.folder import unwritable
from uploader.state.locks import exclusive

if TYPE_CHECKING:
    import sqlite3  # imported where it is used: `uploader --help` does not need it

T = TypeVar("T")
Row: TypeAlias = tuple[Any, ...]
Statement: TypeAlias = tuple[str, Sequence[Sequence[object]]]
"""SQL and the rows of its parameters: it runs once a row."""

_VERSION = 1
_WAIT_SECONDS = 10.0
_SURROGATE = re.compile("[\ud800-\udfff]")
_LARGEST = 2**63 - 1

_FILE = """size INTEGER NOT NULL, sha256 TEXT, mtime_ns INTEGER, seen INTEGER, origin TEXT, placed INTEGER NOT NULL,
    kind TEXT, architecture TEXT, evidence TEXT"""
_KEY = "target TEXT NOT NULL, direction TEXT NOT NULL, path TEXT NOT NULL"
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS upload (id INTEGER PRIMARY KEY, target TEXT NOT NULL, path TEXT NOT NULL, part TEXT NOT NULL,
    identity TEXT NOT NULL, size INTEGER NOT NULL, chunk_bytes INTEGER NOT NULL, UNIQUE (target, path));
CREATE TABLE IF NOT EXISTS chunk (upload INTEGER NOT NULL REFERENCES upload ON DELETE CASCADE, number INTEGER NOT NULL,
    sha256 TEXT NOT NULL, PRIMARY KEY (upload, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS placed ({_KEY}, {_FILE}, PRIMARY KEY (target, direction, path)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS intended ({_KEY}, {_FILE}, PRIMARY KEY (target, direction, path)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS begun ({_KEY}, PRIMARY KEY (target, direction, path)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS job (id TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS server (host_key TEXT PRIMARY KEY, tools TEXT NOT NULL) WITHOUT ROWID;
PRAGMA user_version = {_VERSION};
COMMIT;
"""


class Database:
    """This process's connection to `state.db` (0600) in `folder` (0700). Thread-safe.

    A damaged file, or one of an older version, is renamed to `state.db.broken-<time>`. Then `observer` gets a note,
    and the work goes on with an empty file. A file of a newer version stays as it is."""

    def __init__(self, folder: Path, observer: Observer = silence) -> None:
        self.folder = folder
        self.path = folder / "state.db"
        self._lock_file = folder / "state.lock"  # `state.db.lock` is the name of SQLite's own, on some disks
        self._observer = observer
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._close: Callable[[], object] = int

    def read(self, query: str, *parameters: object) -> list[Row]:
        """Return the rows of `query`; none when the file is missing or cannot be read."""
        import sqlite3

        with self._lock, suppress(sqlite3.Error, OSError, UnicodeDecodeError, UploaderError):
            return self._run(lambda connection: _rows(connection, query, parameters), self._open_to_read) or []
        return []

    def write(self, *statements: Statement) -> None:
        """Run `statements` in one transaction. Raises ConfigurationError when they cannot be written, Busy."""
        import sqlite3

        try:
            with self._lock:
                self._run(lambda connection: _write(connection, statements), self._open_to_write)
        except sqlite3.Error as error:
            if _code(error) == sqlite3.SQLITE_BUSY:
                raise Busy(f"another run of uploader is writing {self.path}", remedy="Try again.") from None
            raise unwritable(self.path, error) from error
        except OSError as error:
            raise unwritable(self.path, error) from error

    def _run(
        self, call: Callable[[sqlite3.Connection], T], connect: Callable[[], sqlite3.Connection | None]
    ) -> T | None:
        """Return what `call` returns, None without a file. Try again with an empty file when it is damaged."""
        import sqlite3

        for last in (False, True):
            try:
                connection = self._connection or connect()
                if connection is None:
                    return None
                try:
                    return call(connection)
                finally:
                    if connection is not self._connection:
                        connection.close()
            except sqlite3.DatabaseError as error:
                if last or not _is_damaged(error):
                    raise
                self._set_aside()
        return None

    def _open_to_read(self) -> sqlite3.Connection | None:
        import sqlite3

        if not self.path.exists():
            return None
        try:
            return self._opened(_connected(str(self.path)))
        except sqlite3.OperationalError as error:
            if _code(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                raise
            # In a folder that is read-only SQLite cannot make the files that WAL needs. Others may write there: this
            # view of the file serves one question.
            return self._opened(_connected(f"{self.path.as_uri()}?immutable=1", uri=True), keep=False)

    def _open_to_write(self) -> sqlite3.Connection | None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = self._opened(_connected(str(self.path)))
        if connection is None:
            with exclusive(self._lock_file, str(self.path)), closing(_connected(str(self.path))) as empty:
                _create(empty)
            connection = self._opened(_connected(str(self.path)))
        return connection

    def _opened(self, connection: sqlite3.Connection, *, keep: bool = True) -> sqlite3.Connection | None:
        """Return `connection`, and keep it; close it and return None when its file has no tables yet.

        Raises ConfigurationError for the file of a newer program.
        """
        import sqlite3

        try:
            version = _version(connection)
            if version > _VERSION:
                raise ConfigurationError(
                    f"{self.path} was made by a newer version of uploader",
                    remedy="Update this one, or give it a folder of its own with $UPLOADER_HOME.",
                )
            if version not in (0, _VERSION):
                raise sqlite3.NotSupportedError(f"version {version}")
        except BaseException:
            connection.close()
            raise
        if version == 0:
            connection.close()
            return None
        if keep:
            self._close = weakref.finalize(self, connection.close)
            self._connection = connection
        return connection

    def _set_aside(self) -> None:
        self._close()
        self._connection = None
        with exclusive(self._lock_file, str(self.path)):
            if self._is_sound():  # another process was faster
                return
            kept = self.path.with_name(f"{self.path.name}.broken-{time.strftime('%Y-%m-%dT%H-%M-%S')}")
            self.path.rename(kept)
            for suffix in ("-wal", "-shm"):
                with suppress(FileNotFoundError):
                    self.path.with_name(self.path.name + suffix).rename(kept.with_name(kept.name + suffix))
        self._observer(
            Message(f"{self.path} was damaged and is now {kept.name}; what it held is found out again", "note")
        )

    def _is_sound(self) -> bool:
        import sqlite3

        if not self.path.exists():
            return True
        with suppress(sqlite3.Error), closing(_connected(str(self.path))) as connection:
            return _version(connection) in (0, _VERSION) and _rows(connection, "PRAGMA quick_check(1)") == [("ok",)]
        return False


def _connected(address: str, *, uri: bool = False) -> sqlite3.Connection:
    import sqlite3

    connection = sqlite3.connect(address, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False, uri=uri)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _create(connection: sqlite3.Connection) -> None:
    """Make the tables. Use WAL, or DELETE where a network disk refuses WAL."""
    import sqlite3

    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(_SCHEMA)
    except sqlite3.OperationalError:
        connection.rollback()
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.executescript(_SCHEMA)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _rows(connection: sqlite3.Connection, query: str, parameters: Iterable[object] = ()) -> list[Row]:
    rows = connection.execute(query, _bound(parameters)).fetchall()
    return [
        tuple(value.decode("utf-8", "surrogatepass") if type(value) is bytes else value for value in row)
        for row in rows
    ]


def _write(connection: sqlite3.Connection, statements: Iterable[Statement]) -> None:
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        for sql, rows in statements:
            connection.executemany(sql, map(_bound, rows))


def _bound(values: Iterable[object]) -> list[Any]:
    return [_bindable(value) if isinstance(value, str | int) else value for value in values]


def _bindable(value: str | int) -> str | bytes | int:
    """Return `value` as SQLite takes it: a file name that is not UTF-8 as bytes, a number within 64 bits."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass") if _SURROGATE.search(value) else value
    return max(-_LARGEST, min(value, _LARGEST))


def _is_damaged(error: sqlite3.DatabaseError) -> bool:
    """Return True for a file that is no database, is malformed, or is of another version."""
    import sqlite3

    damaged = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return isinstance(error, sqlite3.NotSupportedError) or _code(error) in damaged


def _code(error: sqlite3.Error) -> int:
    """Return SQLite's primary code, 0 for an error that is not SQLite's own."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
