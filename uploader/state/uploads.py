"""The upload records: the chunks of each part file that have arrived. A later run resumes from there.

    with uploads.claim(target, path) as record:     # held until the block ends or the process dies
        record.begin(identity, size, chunk_bytes, part)
        record.chunks                               # from an earlier run
        record.acknowledge(number, sha256)          # written after 16 MiB or 2 s
        record.remove()                             # the file has its final name

No record is trusted: an upload compares the part file on the server with the recorded digests.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from uploader.errors import Busy, UploaderError
from uploader.state.database import Database, Statement
from uploader.state.locks import Claims

FLUSH_BYTES = 16 * 1024 * 1024
"""Acknowledged bytes that may be lost with the process. They are then sent again."""

FLUSH_SECONDS = 2.0
"""The longest time that an acknowledgement stays in memory alone while others arrive."""

HERE = "this machine"
"""The target of links that are downloaded to this disk."""

_DIGEST = re.compile(r"([0-9a-f]{64})?")

_LOAD = """SELECT number, sha256 FROM chunk JOIN upload ON upload = id
    WHERE target = ? AND path = ? AND identity = ? AND size = ? AND chunk_bytes = ?"""
_REMOVE = "DELETE FROM upload WHERE target = ? AND path = ?"
_INSERT = "INSERT OR IGNORE INTO upload (target, path, identity, size, chunk_bytes, part) VALUES (?, ?, ?, ?, ?, ?)"
_ACKNOWLEDGE = "INSERT OR REPLACE INTO chunk SELECT id, ?, ? FROM upload WHERE target = ? AND path = ?"
_FORGET = "DELETE FROM chunk WHERE number = ? AND upload = (SELECT id FROM upload WHERE target = ? AND path = ?)"


def fetched(target: str) -> str:
    """Return the name under which files are recorded that are fetched from `target`."""
    return f"{target}: fetched"


class UploadRecords:
    """The records of one user: one for each final path on each target. `clock` gives seconds and only grows."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._claims = Claims(database.folder / "locks")
        self._clock = clock

    @contextmanager
    def claim(self, target: str, path: str) -> Iterator[UploadRecord]:
        """Yield the record of `path`. No other run can claim it until the block ends or the process dies.

        Every acknowledgement is on disk when the block ends, also when it raises. Raises Busy when another run has
        claimed the path, ConfigurationError when the disk refuses."""
        with self._claims.hold([_name(target, path)]) as held:
            if not held:
                raise Busy(
                    f"another run of uploader is writing {path} on {target}",
                    remedy="Wait until it ends, or stop it and try again: what it sent so far is kept.",
                )
            record = UploadRecord(self._database, target, path, self._clock)
            try:
                yield record
            except BaseException:
                with suppress(UploaderError):  # the first failure is the one to tell
                    record.flush()
                raise
            record.flush()

    @contextmanager
    def claim_all(self, target: str, paths: Iterable[str]) -> Iterator[set[str]]:
        """Claim many paths that need no record. Yield those that no other run has claimed."""
        names = {_name(target, path): path for path in paths}
        with self._claims.hold(names) as held:
            yield {names[name] for name in held}


class UploadRecord:
    """What has arrived of one part file. Thread-safe. `UploadRecords.claim` makes it."""

    def __init__(self, database: Database, target: str, path: str, clock: Callable[[], float]) -> None:
        self._database = database
        self._key = (target, path)
        self._clock = clock
        self._changing = threading.Lock()
        self._writing = threading.Lock()
        self._subject: tuple[str, int, int, str] | None = None
        self._chunks: dict[int, str] = {}
        self._pending: dict[int, str | None] = {}
        self._fresh = False
        self._unwritten = 0
        self._written_at = clock()

    def load(self, identity: str, size: int, chunk_bytes: int) -> dict[int, str]:
        """Return what an earlier run recorded: chunk number -> sha256 (hex) as sent, or "" where none was recorded.

        Empty when there is no record or it makes no sense. Empty when it is of another identity, size or chunk size.
        Sizes are in bytes."""
        chunks: dict[int, str] = dict(self._database.read(_LOAD, *self._key, identity, size, chunk_bytes))
        count = -(-size // chunk_bytes)
        sound = all(_is_sound(number, digest, count) for number, digest in chunks.items())
        return chunks if sound else {}

    def begin(self, identity: str, size: int, chunk_bytes: int, part: str) -> None:
        """Start to record what arrives in `part`, the part file's path. Keep what `load` returns.

        Drop with `forget` what turns out not to be there."""
        chunks = self.load(identity, size, chunk_bytes)
        with self._changing:
            self._subject = (identity, size, chunk_bytes, part)
            self._chunks, self._pending, self._fresh = chunks, dict(chunks), True
        self.flush()

    @property
    def chunks(self) -> dict[int, str]:
        """A copy of the chunks that are acknowledged by now."""
        with self._changing:
            return dict(self._chunks)

    def acknowledge(self, number: int, digest: str) -> None:
        """Record that a chunk arrived whole. Write to disk after 16 MiB or 2 s.

        `digest` is its sha256 (hex) as sent, or "" for a chunk that can be read again and compared. Before `begin` and
        after `remove` there is nothing to record."""
        with self._changing:
            if self._subject is None:
                return
            self._chunks[number] = self._pending[number] = digest
            self._unwritten += self._subject[2]
            due = self._unwritten >= FLUSH_BYTES or self._clock() - self._written_at >= FLUSH_SECONDS
            if due:  # taken by this thread: the next one does not write the same again
                self._unwritten, self._written_at = 0, self._clock()
        if due:
            self.flush()

    def forget(self, number: int) -> None:
        """Drop a chunk that is not on the server as it was sent. The next `flush` writes it."""
        with self._changing:
            if self._chunks.pop(number, None) is not None:
                self._pending[number] = None

    def flush(self) -> None:
        """Write to disk what is not there yet, in one transaction. Other threads may acknowledge during the write.

        Raises ConfigurationError when it cannot be written."""
        with self._writing:
            with self._changing:
                if self._subject is None or not (self._fresh or self._pending):
                    return
                pending, fresh = self._pending, self._fresh
                statements = self._statements(self._subject, pending, fresh=fresh)
                self._pending, self._fresh = {}, False
                self._unwritten, self._written_at = 0, self._clock()
            try:
                self._database.write(*statements)
            except UploaderError:
                with self._changing:
                    self._pending, self._fresh = pending | self._pending, fresh
                raise

    def remove(self) -> None:
        """Forget everything, on disk too: the file has its final name."""
        with self._writing, self._changing:
            self._subject, self._chunks, self._pending = None, {}, {}
            self._database.write((_REMOVE, [self._key]))

    def _statements(
        self, subject: tuple[str, int, int, str], pending: dict[int, str | None], *, fresh: bool
    ) -> list[Statement]:
        return [
            (_REMOVE, [self._key] if fresh else []),
            (_INSERT, [(*self._key, *subject)]),  # again each time: the file may have been replaced by an empty one
            (_ACKNOWLEDGE, [(number, digest, *self._key) for number, digest in pending.items() if digest is not None]),
            (_FORGET, [(number, *self._key) for number, digest in pending.items() if digest is None]),
        ]


def _name(target: str, path: str) -> str:
    return json.dumps([target, path])


def _is_sound(number: object, digest: object, count: int) -> bool:
    if not (isinstance(number, int) and 0 <= number < count):
        return False
    return isinstance(digest, str) and _DIGEST.fullmatch(digest) is not None
