"""The manifest: what this program placed on a target, so that a later run knows it again without reading it."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from filelock import FileLock, Timeout

from uploader.errors import Busy, ConfigurationError
from uploader.state.atomic import replace_text

_VERSION = 1
_PATIENCE = 10.0
_FLUSH_SECONDS = 1.0
_SHARE = 10
"""At most one part in so many of the time goes into writing."""


def fetched(target: str) -> str:
    """The name of the manifest of what was fetched from a target."""
    return f"{target}: fetched"


@dataclass(frozen=True)
class PlacedFile:
    """One file on the server. `size` in bytes; `mtime_ns` is the local file's, `seen` the server's in seconds, as both
    were when the two were known to be the same; None where that was not looked at. `origin` is the local file's
    absolute path. `placed`: by this program, and not only found there. `kind` and `architecture` are what its header
    told ("" for nothing), None where nobody looked. `evidence` is how the server's bytes were proven to be `sha256`."""

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
        """Whether a file of that size and time (the server's) is the one that was known. One whose time was not looked
        at could be anybody's."""
        return size == self.size and (mtime is None or mtime == self.seen)


_TYPES: dict[str, tuple[type, ...]] = {
    "size": (int,),
    "sha256": (str, type(None)),
    "mtime_ns": (int, type(None)),
    "seen": (int, type(None)),
    "origin": (str, type(None)),
    "placed": (bool,),
    "kind": (str, type(None)),
    "architecture": (str, type(None)),
    "evidence": (str, type(None)),
}
_EMPTY = {name: value for name, value in asdict(PlacedFile(0)).items() if name != "size"}


@dataclass
class _State:
    files: dict[str, PlacedFile]
    begun: set[str]
    intended: dict[str, PlacedFile]


@dataclass
class _Changes:
    """What is to be done to a state: None and False take something out."""

    files: dict[str, PlacedFile | None] = field(default_factory=dict)
    begun: dict[str, bool] = field(default_factory=dict)
    intended: dict[str, PlacedFile | None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.files or self.begun or self.intended)

    def apply(self, state: _State) -> None:
        for changes, known in ((self.files, state.files), (self.intended, state.intended)):
            for path, entry in changes.items():
                if entry is None:
                    known.pop(path, None)
                else:
                    known[path] = entry
        for part, there in self.begun.items():
            (state.begun.add if there else state.begun.discard)(part)


class Manifests:
    """The manifests of one user, one file for each target, in a folder of their own (0700)."""

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock

    def of(self, target: str) -> Manifest:
        """The manifest of that target; an empty one where there is none, or none that makes sense."""
        key = hashlib.sha256(target.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        return Manifest(self._folder / f"{key}.json", target, self._clock)

    def remove(self, target: str) -> None:
        """Forgets all that is known of a target."""
        self.of(target).remove()


class Manifest:
    """What is known of one target's files, by their absolute paths on the server. Thread-safe.

    `begun` are part files that were begun and have no final name yet; `intended` what the final names were to stand
    for when the last run ended in the middle: see `settle`. Changes are written about once a second and by `flush`;
    what another run wrote meanwhile is kept.
    """

    def __init__(self, path: Path, target: str, clock: Callable[[], float]) -> None:
        self._path = path
        self._target = target
        self._clock = clock
        self._lock = threading.Lock()
        self._state = self._read()
        self._changes = _Changes()
        self._due = clock() + _FLUSH_SECONDS

    @property
    def files(self) -> Mapping[str, PlacedFile]:
        """A copy of what is known by now."""
        with self._lock:
            return dict(self._state.files)

    @property
    def begun(self) -> frozenset[str]:
        with self._lock:
            return frozenset(self._state.begun)

    @property
    def intended(self) -> Mapping[str, PlacedFile]:
        with self._lock:
            return dict(self._state.intended)

    def get(self, path: str) -> PlacedFile | None:
        with self._lock:
            return self._state.files.get(path)

    def record(self, path: str, known: PlacedFile) -> None:
        """Takes down what a file is now."""
        self._change(path, known)

    def forget(self, path: str) -> None:
        """Drops a file that is not there any more."""
        self._change(path, None)

    def begin(self, parts: Iterable[str], intended: Mapping[str, PlacedFile]) -> None:
        """Writes down, at once, which part files are about to be made and what the final names will stand for: a run
        that ends in between leaves nothing behind that a later one would not know for its own."""
        with self._lock:
            self._changes.begun |= dict.fromkeys(parts, True)
            self._changes.intended |= intended
            self._changes.apply(self._state)
        self.flush()

    def end(self, parts: Iterable[str]) -> None:
        """Drops part files that are not there any more."""
        with self._lock:
            self._changes.begun |= dict.fromkeys(parts, False)
            self._changes.apply(self._state)

    def settle(self, folder: str, there: Mapping[str, tuple[int, int | None]]) -> None:
        """Finds out what became of a run that ended in the middle. `there` are the sizes and times of what the server
        has below `folder`. Where both the old file and the new one look like what is there, neither is believed."""
        for path, intended in self.intended.items():
            if not path.startswith(f"{folder.rstrip('/')}/"):
                continue
            before, found = self.get(path), there.get(path)
            if found is not None and intended.is_still(*found):
                doubtful = before is not None and before.is_still(*found)
                self.record(path, replace(intended, sha256=None, mtime_ns=None) if doubtful else intended)
            with self._lock:
                self._changes.intended[path] = None
                self._changes.apply(self._state)

    def reload(self) -> None:
        """Takes up what other runs wrote meanwhile."""
        with self._lock:
            self._state = self._read()
            self._changes.apply(self._state)

    def flush(self) -> None:
        """Writes to disk what is not there yet, in one step. Raises ConfigurationError, Busy."""
        with self._lock:
            if not self._changes:
                return
            began = self._clock()
            with _alone(self._path):
                state = self._read()
                self._changes.apply(state)
                replace_text(self._path, _text(self._target, state))
            self._state, self._changes = state, _Changes()
            took = self._clock() - began
            self._due = self._clock() + max(_FLUSH_SECONDS, _SHARE * took)

    def remove(self) -> None:
        """Forgets it all, on disk too."""
        with self._lock:
            self._state, self._changes = _State({}, set(), {}), _Changes()
            if self._path.exists():
                with _alone(self._path):
                    self._path.unlink(missing_ok=True)

    def _change(self, path: str, known: PlacedFile | None) -> None:
        with self._lock:
            if self._state.files.get(path) == known and path not in self._state.intended:
                return
            self._changes.files[path] = known
            self._changes.intended[path] = None
            self._changes.apply(self._state)
            due = self._clock() >= self._due
        if due:
            self.flush()

    def _read(self) -> _State:
        """What the file says; nothing where it is no manifest of this target: bytes are then compared instead."""
        try:
            data = json.loads(self._path.read_bytes())
        except (OSError, ValueError, RecursionError):
            data = None
        if not isinstance(data, dict) or data.get("version") != _VERSION or data.get("target") != self._target:
            return _State({}, set(), {})
        begun = data.get("begun")
        parts = {part for part in begun if isinstance(part, str)} if isinstance(begun, list) else set()
        return _State(_all_known(data.get("files")), parts, _all_known(data.get("intended")))


def _all_known(entries: object) -> dict[str, PlacedFile]:
    if not isinstance(entries, dict):
        return {}
    return {path: known for path, entry in entries.items() if (known := _known(entry)) is not None}


def _known(entry: object) -> PlacedFile | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("size"), int):
        return None
    sound = all(name in _TYPES and isinstance(value, _TYPES[name]) for name, value in entry.items())
    return PlacedFile(**entry) if sound else None


def _text(target: str, state: _State) -> str:
    record = {
        "version": _VERSION,
        "target": target,
        "files": {path: _entry(known) for path, known in state.files.items()},
        "begun": sorted(state.begun),
        "intended": {path: _entry(known) for path, known in state.intended.items()},
    }
    return json.dumps(record, separators=(",", ":"))


def _entry(known: PlacedFile) -> dict[str, object]:
    return {name: value for name, value in asdict(known).items() if name == "size" or value != _EMPTY[name]}


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keeps other runs from writing between our reading and our writing."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock"), timeout=_PATIENCE, mode=0o600):
            yield
    except Timeout:
        raise Busy(f"what was placed is being written down in {path} by another run", remedy="Try again.") from None
    except OSError as error:
        raise ConfigurationError(
            f"what was placed cannot be written down in {path.parent}: {error.strerror or error}",
            remedy="Make room there, or set $UPLOADER_HOME to a folder that you may write to.",
        ) from error
