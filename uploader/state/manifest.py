"""The manifest: what this program placed on a target, so that a later run recognises it without reading it.

    manifest = manifests.of("canvas")
    manifest.begin(parts, intended)        # written at once, before anything is placed
    manifest.record(path, placed)          # written about once a second, and by flush()
    manifest.end(parts)

A run that ended between `begin` and `record` is settled by the next one: see `Manifest.settle`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from itertools import chain
from operator import attrgetter
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from uploader.state.database import Database, Statement

V = TypeVar("V")
Direction: TypeAlias = Literal["push", "pull"]
"""`push`: files that were placed on the target. `pull`: files that were fetched from it."""

_FLUSH_SECONDS = 1.0
_TABLES = ("placed", "intended", "begun")
_OF_TARGET = "WHERE target = ? AND direction = ?"


@dataclass(frozen=True)
class PlacedFile:
    """One file on the server. `size` is in bytes.

    `mtime_ns` is the local file's time, `seen` the server's in seconds; None where it is unknown. Both date from when
    the two files were known to be the same. `origin` is the local file's absolute path. `placed` is False for a file
    that this program only found there. `kind` and `architecture` are what its header told ("" for nothing), None where
    it was not read. `evidence` is how the server's bytes were proven to be `sha256`."""

    size: int
    sha256: str | None = None
    mtime_ns: int | None = None
    seen: int | None = None
    origin: str | None = None
    placed: bool = True
    kind: str | None = None
    architecture: str | None = None
    evidence: str | None = None

    def is_still(self, size: int, mtime: int | None) -> bool:
        """Return True if a file of that size and time (the server's) is the known one.

        A file whose time is unknown here could be another one."""
        return size == self.size and (mtime is None or mtime == self.seen)


_COLUMNS = tuple(field.name for field in fields(PlacedFile))
_values: Callable[[PlacedFile], tuple[Any, ...]] = attrgetter(*_COLUMNS)


class Manifests:
    """The manifests of one user: one for each target and direction. `clock` gives seconds and only grows."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock

    def of(self, target: str, direction: Direction = "push") -> Manifest:
        """Return the manifest of that target; an empty one where there is none, or none that can be read."""
        return Manifest(self._database, (target, direction), self._clock)

    def remove(self, target: str) -> None:
        """Forget everything about a target. Raises ConfigurationError, Busy."""
        self._database.write(*((f"DELETE FROM {table} WHERE target = ?", [(target,)]) for table in _TABLES))

    def forget_evidence(self, target: str) -> None:
        """Forget how the files of a target were proven: its name may stand for another machine now.

        Raises ConfigurationError, Busy."""
        self._database.write(("UPDATE placed SET evidence = NULL WHERE target = ?", [(target,)]))


class Manifest:
    """What is known of one target's files, by their absolute paths on the server. Thread-safe.

    Changes are written about once a second and by `flush`. They do not touch what another run wrote."""

    def __init__(self, database: Database, key: tuple[str, Direction], clock: Callable[[], float]) -> None:
        self._database = database
        self._key = key
        self._clock = clock
        self._lock = threading.Lock()
        self._files = _Table("placed", _COLUMNS, _placed_file, _values)
        self._intended = _Table("intended", _COLUMNS, _placed_file, _values)
        self._begun: _Table[bool] = _Table("begun", (), bool, lambda _: ())
        self._tables: tuple[_Table[Any], ...] = (self._files, self._intended, self._begun)
        self._due = clock() + _FLUSH_SECONDS
        self.reload()

    @property
    def files(self) -> Mapping[str, PlacedFile]:
        """A copy of what is known by now."""
        with self._lock:
            return dict(self._files.known)

    @property
    def begun(self) -> frozenset[str]:
        """The part files that were begun and have no final name yet."""
        with self._lock:
            return frozenset(self._begun.known)

    @property
    def intended(self) -> Mapping[str, PlacedFile]:
        """What final names were to stand for when the last run ended in between."""
        with self._lock:
            return dict(self._intended.known)

    def get(self, path: str) -> PlacedFile | None:
        with self._lock:
            return self._files.known.get(path)

    def record(self, path: str, known: PlacedFile) -> None:
        """Record what a file is now. Raises ConfigurationError, Busy."""
        self._change(path, known)

    def forget(self, path: str) -> None:
        """Drop a file that is gone. Raises ConfigurationError, Busy."""
        self._change(path, None)

    def begin(self, parts: Iterable[str], intended: Mapping[str, PlacedFile]) -> None:
        """Write at once which part files are about to be made, and what the final names will stand for.

        So a later run recognises what a run leaves that ends in between. Raises ConfigurationError, Busy."""
        with self._lock:
            for part in parts:
                self._begun.change(part, True)
            for path, known in intended.items():
                self._intended.change(path, known)
        self.flush()

    def end(self, parts: Iterable[str]) -> None:
        """Drop part files that are gone."""
        with self._lock:
            for part in parts:
                self._begun.change(part, None)

    def settle(self, folder: str, there: Mapping[str, tuple[int, int | None]]) -> None:
        """Find out what became of a run that ended in between.

        `there` are the sizes (bytes) and times (seconds) of what the server has below `folder`. Where both the old
        file and the new one look like what is there, neither is believed."""
        for path, intended in self.intended.items():
            if not path.startswith(f"{folder.rstrip('/')}/"):
                continue
            before, found = self.get(path), there.get(path)
            if found is not None and intended.is_still(*found):
                doubtful = before is not None and before.is_still(*found)
                self.record(path, replace(intended, sha256=None, mtime_ns=None) if doubtful else intended)
            with self._lock:
                self._intended.change(path, None)

    def reload(self) -> None:
        """Read again, with what other runs have written."""
        with self._lock:
            for table in self._tables:
                table.load(self._database, self._key)

    def flush(self) -> None:
        """Write to disk what is not there yet, in one transaction. Raises ConfigurationError, Busy."""
        with self._lock:
            if any(table.pending for table in self._tables):
                self._database.write(*chain.from_iterable(table.statements(self._key) for table in self._tables))
                for table in self._tables:
                    table.pending.clear()
            self._due = self._clock() + _FLUSH_SECONDS

    def _change(self, path: str, known: PlacedFile | None) -> None:
        with self._lock:
            if self._files.known.get(path) == known and path not in self._intended.known:
                return
            self._files.change(path, known)
            if path in self._intended.known:
                self._intended.change(path, None)
            due = self._clock() >= self._due
        if due:
            self.flush()


class _Table(Generic[V]):
    """One table's rows of one manifest: `known` in memory, `pending` changes that are not written yet (None drops)."""

    def __init__(
        self, name: str, columns: Iterable[str], of_row: Callable[..., V], to_row: Callable[[V], tuple[Any, ...]]
    ) -> None:
        self.known: dict[str, V] = {}
        self.pending: dict[str, V | None] = {}
        self._name = name
        self._columns = ("path", *columns)
        self._sound = " AND typeof(size) = 'integer'" if "size" in self._columns else ""
        self._of_row = of_row
        self._to_row = to_row

    def change(self, path: str, value: V | None) -> None:
        self.pending[path] = value
        self._apply(path, value)

    def load(self, database: Database, key: tuple[str, str]) -> None:
        rows = database.read(f"SELECT {', '.join(self._columns)} FROM {self._name} {_OF_TARGET}{self._sound}", *key)
        self.known = {path: self._of_row(*row) for path, *row in rows}
        for path, value in self.pending.items():
            self._apply(path, value)

    def statements(self, key: tuple[str, str]) -> list[Statement]:
        columns = ("target", "direction", *self._columns)
        marks = ", ".join("?" * len(columns))
        kept = [(*key, path, *self._to_row(value)) for path, value in self.pending.items() if value is not None]
        dropped = [(*key, path) for path, value in self.pending.items() if value is None]
        return [
            (f"INSERT OR REPLACE INTO {self._name} ({', '.join(columns)}) VALUES ({marks})", kept),
            (f"DELETE FROM {self._name} {_OF_TARGET} AND path = ?", dropped),
        ]

    def _apply(self, path: str, value: V | None) -> None:
        if value is None:
            self.known.pop(path, None)
        else:
            self.known[path] = value


def _placed_file(
    size: int, sha256: str | None, mtime_ns: int | None, seen: int | None, origin: str | None, placed: int, *rest: Any
) -> PlacedFile:
    return PlacedFile(size, sha256, mtime_ns, seen, origin, bool(placed), *rest)
