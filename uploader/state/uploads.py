"""The journal: which pieces of which part file a server has acknowledged, so that a later run goes on from there."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from uploader.errors import Busy, ConfigurationError, UploaderError
from uploader.state.atomic import replace_text

FLUSH_BYTES = 16 * 1024 * 1024
"""Acknowledged bytes that may be lost with the process, and are then sent again."""

FLUSH_SECONDS = 2.0
"""The longest an acknowledgement stays in memory alone while others arrive."""

_VERSION = 1
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PATIENCE = 10.0


@dataclass(frozen=True)
class _Subject:
    """What the pieces are pieces of. `size` and `piece_size` in bytes."""

    identity: str
    size: int
    piece_size: int


class UploadRecords:
    """The journals of one user, one file for each final path on each target, in a folder of their own (0700).

    `clock` gives seconds that only grow.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock

    @contextmanager
    def claim(self, target: str, remote_path: str) -> Iterator[UploadRecord]:
        """Yields the journal of that path, which no other run can claim until the block ends or the process does.

        What was acknowledged is on disk when the block ends, however it ends. Raises Busy when another run has it.
        """
        key = _key(target, remote_path)
        lock = self._lock(key)
        with _mapped(self._folder), self._gate():
            try:
                lock.acquire()
            except Timeout:
                raise _busy(target, remote_path) from None
        try:
            self._sweep(key)
            record = UploadRecord(self._folder / f"{key}.json", target, remote_path, self._clock)
            try:
                yield record
            except BaseException:
                with suppress(UploaderError):  # the first failure is the one to tell
                    record.flush()
                raise
            record.flush()
        finally:
            self._release([lock])

    @contextmanager
    def claim_all(self, target: str, remote_paths: Iterable[str]) -> Iterator[set[str]]:
        """As `claim` of many paths for which nothing is to be written down. Yields those that no other run has."""
        paths = list(dict.fromkeys(remote_paths))
        _allow_open_files(2 * len(paths))
        held: dict[str, FileLock] = {}
        try:
            with _mapped(self._folder), self._gate():
                for path in paths:
                    lock = self._lock(_key(target, path))
                    with suppress(Timeout):
                        lock.acquire()
                        held[path] = lock
            yield set(held)
        finally:
            self._release(list(held.values()))

    def _lock(self, key: str) -> FileLock:
        return FileLock(self._folder / f"{key}.lock", timeout=0, mode=0o600, thread_local=False)

    def _sweep(self, key: str) -> None:
        """Removes what a run that was killed in the middle of a write left."""
        for leftover in self._folder.glob(f".{key}-*.tmp"):
            with suppress(OSError):
                leftover.unlink()

    @contextmanager
    def _gate(self) -> Iterator[None]:
        """Held for the moments in which a lock file is opened or removed: else one run could lock a file that
        another has just removed, and a third make and lock a new one of the same name."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        gate = FileLock(self._folder / "gate.lock", timeout=_PATIENCE, mode=0o600)
        with gate:
            yield

    def _release(self, locks: list[FileLock]) -> None:
        try:
            with _mapped(self._folder), self._gate():
                for lock in locks:
                    lock.release()
                    with suppress(OSError):
                        Path(lock.lock_file).unlink(missing_ok=True)
        finally:
            for lock in locks:
                lock.release()  # whatever the gate did; a second release is nothing


class UploadRecord:
    """What has arrived of one part file. Thread-safe; made by `Journals.claim`."""

    def __init__(self, path: Path, target: str, remote_path: str, clock: Callable[[], float]) -> None:
        self._path = path
        self._key = [target, remote_path]
        self._clock = clock
        self._changing = threading.Lock()
        self._writing = threading.Lock()
        self._subject: _Subject | None = None
        self._part = ""
        self._chunks: dict[int, str] = {}
        self._unwritten = 0
        self._changed = False
        self._written_at = clock()

    def load(self, identity: str, size: int, piece_size: int) -> dict[int, str]:
        """Returns what an earlier run wrote down: number of a piece -> sha256 (hex) of the piece as it was sent,
        or "" where that was not written down.

        Empty when there is nothing, when it cannot be read or makes no sense, and when it is about another
        identity, size or piece size."""
        subject = _Subject(identity, size, piece_size)
        try:
            data = json.loads(self._path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        return _chunks(data, self._key, subject)

    def begin(self, identity: str, size: int, piece_size: int, part: str) -> None:
        """Starts writing down what arrives in `part`, the part file's path; what `load` returns is kept.

        Drop with `forget` what turns out not to be there."""
        chunks = self.load(identity, size, piece_size)
        with self._changing:
            self._subject, self._part = _Subject(identity, size, piece_size), part
            self._chunks, self._changed = chunks, True
        self.flush()

    @property
    def chunks(self) -> dict[int, str]:
        """A copy of what is acknowledged by now."""
        with self._changing:
            return dict(self._chunks)

    def acknowledge(self, index: int, digest: str) -> None:
        """Takes down that a piece arrived whole. `digest` is its sha256 (hex) as sent, or "" for a piece that can be
        read again to be compared. Written to disk after 16 MiB or 2 s of them. Before `begin` and after `remove`
        there is nothing to take down."""
        with self._changing:
            if self._subject is None:
                return
            self._chunks[index] = digest
            self._unwritten += self._subject.piece_size
            self._changed = True
            due = self._unwritten >= FLUSH_BYTES or self._clock() - self._written_at >= FLUSH_SECONDS
            if due:  # taken by this thread: the next one does not write the same again
                self._unwritten, self._written_at = 0, self._clock()
        if due:
            self.flush()

    def forget(self, index: int) -> None:
        """Drops a piece that is not on the server as it was sent. Written with the next `flush`."""
        with self._changing:
            self._changed |= self._chunks.pop(index, None) is not None

    def flush(self) -> None:
        """Writes to disk what is not there yet, in one step. Raises ConfigurationError when it cannot be written.

        Others may acknowledge while this thread waits for the disk."""
        with self._writing:
            with self._changing:
                if self._subject is None or not self._changed:
                    return
                text = self._text(self._subject)
                self._changed, self._unwritten, self._written_at = False, 0, self._clock()
            try:
                with _mapped(self._path.parent):
                    replace_text(self._path, text)
            except UploaderError:
                with self._changing:
                    self._changed = True
                raise

    def remove(self) -> None:
        """Forgets it all, on disk too: the file has its final name."""
        with self._writing, self._changing:
            self._subject, self._chunks, self._changed = None, {}, False
            with _mapped(self._path.parent):
                self._path.unlink(missing_ok=True)

    def _text(self, subject: _Subject) -> str:
        record = {
            "version": _VERSION,
            "key": self._key,
            "part": self._part,
            "identity": subject.identity,
            "size": subject.size,
            "piece_size": subject.piece_size,
            "pieces": self._chunks,
        }
        return json.dumps(record, separators=(",", ":"))


def _chunks(data: object, key: list[str], subject: _Subject) -> dict[int, str]:
    """Returns the pieces of a record; empty unless every one of them makes sense."""
    if not isinstance(data, dict) or data.get("version") != _VERSION or data.get("key") != key:
        return {}
    if data.get("identity") != subject.identity or data.get("size") != subject.size:
        return {}
    chunks = data.get("pieces")
    if data.get("piece_size") != subject.piece_size or not isinstance(chunks, dict):
        return {}
    count = -(-subject.size // subject.piece_size)
    known: dict[int, str] = {}
    for index, digest in chunks.items():
        if not (re.fullmatch("[0-9]{1,9}", index) and int(index) < count):
            return {}
        if not (isinstance(digest, str) and (digest == "" or _DIGEST.fullmatch(digest))):
            return {}
        known[int(index)] = digest
    return known


def _key(target: str, remote_path: str) -> str:
    return hashlib.sha256(json.dumps([target, remote_path]).encode()).hexdigest()[:32]


def _allow_open_files(count: int) -> None:
    """Each lock is an open file, and some systems allow 256 unless they are asked for more."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 512
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


@contextmanager
def _mapped(folder: Path) -> Iterator[None]:
    try:
        yield
    except Timeout:
        raise Busy(f"the journals in {folder} are locked by another program", remedy="Try again.") from None
    except OSError as error:
        raise ConfigurationError(
            f"what has arrived cannot be written down in {folder}: {error.strerror}",
            remedy="Make room there, or set $UPLOADER_HOME to a folder that you may write to.",
        ) from error


def _busy(target: str, remote_path: str) -> Busy:
    return Busy(
        f"another run of uploader is sending {remote_path} to {target}",
        remedy="Wait until it is through, or stop it and try again: what it sent so far is kept.",
    )
