"""One download into a part file by several lines: what has arrived is written down, and hashed in order behind them."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from uploader.state.uploads import FLUSH_BYTES, FLUSH_SECONDS, UploadRecord
from uploader.transfer.chunks import CHUNK_BYTES
from uploader.transfer.range_readers import MOST_LINES, ByteRange

if TYPE_CHECKING:
    from hashlib import _Hash


_DUE = FLUSH_BYTES // CHUNK_BYTES
_UNKEPT = 2 * _DUE
"""Written pieces that a crash may cost: as many as are brought to the disk at once, and as many again meanwhile. Lines
that are faster than the disk wait for it."""

_BLOCK = 1024 * 1024


class DownloadHasher:
    """A thread that follows the lines: hashes what is written without a gap, and has it kept now and then.

    `whole` is the hash of the first `hashed` bytes, taken before. `done` is set when it is through, also for a fault.
    """

    def __init__(self, ledger: ChunkMap, part: Path, whole: _Hash, hashed: int) -> None:
        self.done = threading.Event()
        self._ledger = ledger
        self._part = part
        self._whole = whole
        self._hashed = hashed
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def __enter__(self) -> DownloadHasher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ledger.stop()
        self._thread.join()

    @property
    def sha256(self) -> str:
        """The hash of what was followed (hex)."""
        return self._whole.hexdigest()

    def _run(self) -> None:
        try:
            with self._part.open("rb", buffering=0) as file:
                file.seek(self._hashed)
                self._follow(file)
        except BaseException as error:  # noqa: BLE001 - carried to the thread that waits for the download
            self._ledger.fail(error)
        finally:
            try:
                self._ledger.keep()  # what arrived before a fault or a stop is kept as well
            except BaseException as error:  # noqa: BLE001
                self._ledger.fail(error)
            self.done.set()

    def _follow(self, file: FileIO) -> None:
        ledger, kept_at = self._ledger, time.monotonic()
        while self._hashed < ledger.size and not ledger.over.is_set():
            end = ledger.prefix(self._hashed, FLUSH_SECONDS / 4)
            while self._hashed < end and not ledger.over.is_set():
                data = file.read(min(_BLOCK, end - self._hashed))
                if not data:
                    raise OSError(f"{self._part} became shorter")
                self._whole.update(data)
                self._hashed += len(data)
            if ledger.is_due or time.monotonic() - kept_at >= FLUSH_SECONDS:
                ledger.keep()
                kept_at = time.monotonic()


def _write(file: FileIO | None, data: memoryview) -> None:
    if file is None:
        raise ValueError("a stretch that was not taken is not written")
    while data:
        data = data[file.write(data) :]


_LEAST, _MOST = 2, 16
"""Pieces of a stretch: long ones ask seldom, short ones let the hash follow and the lines end together."""


@dataclass(eq=False)
class ChunkRange(ByteRange):
    """A stretch of whole pieces, the handle that it is written by, and the hash of the piece under way."""

    file: FileIO | None = None
    digest: _Hash = field(default_factory=hashlib.sha256)


class ChunkMap:
    """Which pieces of a part file are there, are asked for, are missing: a lines' book.

    `size` is in bytes. `there` are pieces that were proven beforehand. A piece is written once its last byte is in
    the file, and kept once it is in the record, which is never before it is on the disk itself.
    """

    def __init__(self, part: Path, size: int, there: set[int], record: UploadRecord) -> None:
        self.over = threading.Event()
        self.size = size
        self._part = part
        self._record = record
        self._count = -(-size // CHUNK_BYTES)
        self._missing = deque(index for index in range(self._count) if index not in there)
        self._returned: list[ChunkRange] = []
        self._written = set(there)
        self._unkept: dict[int, str] = {}
        self._keeping = 0
        self._prefix = 0
        self._fault: BaseException | None = None
        self._changed = threading.Condition()
        self._grow()

    # the lines' side ----------------------------------------------------------------------------------

    def take(self) -> ChunkRange | None:
        with self._changed:
            if self.over.is_set():
                return None
            run = self._returned.pop() if self._returned else self._next()
        if run is not None and run.file is None:
            run.file = self._part.open("r+b", buffering=0)
            run.file.seek(run.at)
        return run

    def put(self, stretch: ChunkRange, data: bytes) -> None:
        view = memoryview(data)
        while view:
            room = CHUNK_BYTES - stretch.at % CHUNK_BYTES
            now, view = view[:room], view[room:]
            stretch.digest.update(now)
            _write(stretch.file, now)
            stretch.at += len(now)
            if stretch.at % CHUNK_BYTES == 0 or stretch.at == self.size:
                self._arrived((stretch.at - 1) // CHUNK_BYTES, stretch.digest.hexdigest())
                stretch.digest = hashlib.sha256()

    def settle(self, stretch: ChunkRange) -> None:
        if stretch.file is not None:
            stretch.file.close()

    def give_back(self, stretch: ChunkRange) -> None:
        with self._changed:
            if self.over.is_set():
                self.settle(stretch)
            else:
                self._returned.append(stretch)

    def stop(self) -> None:
        with self._changed:
            self.over.set()
            for run in self._returned:
                self.settle(run)
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        with self._changed:
            self._fault = self._fault or error
        self.stop()

    def _next(self) -> ChunkRange | None:
        """A run of neighbours: a share of what is missing, so that all lines come to the end together."""
        if not self._missing:
            return None
        most = min(max(len(self._missing) // (2 * MOST_LINES), _LEAST), _MOST)
        first = self._missing.popleft()
        after = first + 1
        while self._missing and self._missing[0] == after and after - first < most:
            self._missing.popleft()
            after += 1
        return ChunkRange(first * CHUNK_BYTES, min(after * CHUNK_BYTES, self.size), first * CHUNK_BYTES)

    def _arrived(self, index: int, digest: str) -> None:
        with self._changed:
            self._written.add(index)
            self._unkept[index] = digest
            self._grow()
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.over.is_set() or len(self._unkept) + self._keeping <= _UNKEPT)

    def _grow(self) -> None:
        while self._prefix in self._written:
            self._prefix += 1

    # the others' side ---------------------------------------------------------------------------------

    def prefix(self, beyond: int, seconds: float) -> int:
        """How many bytes from the first on are written without a gap; waited for until that is more than `beyond`, or
        until there is enough to be kept, for so many seconds at most."""

        def news() -> bool:
            return self.over.is_set() or self._bytes() > beyond or self.is_due

        with self._changed:
            self._changed.wait_for(news, timeout=seconds)
            return self._bytes()

    def check(self) -> None:
        """Raises what ended the download."""
        if self._fault is not None:
            raise self._fault

    def keep(self) -> None:
        """Brings what is written to the disk, and then into the record: what it names survives a power cut."""
        with self._changed:
            chunks, self._unkept = self._unkept, {}
            self._keeping = len(chunks)
        if chunks:
            with self._part.open("r+b", buffering=0) as file:
                os.fsync(file.fileno())
            for index, digest in chunks.items():
                self._record.acknowledge(index, digest)
            self._record.flush()
        with self._changed:
            self._keeping = 0
            self._changed.notify_all()

    @property
    def is_due(self) -> bool:
        """Whether enough is written that it should be kept."""
        return len(self._unkept) >= _DUE

    def _bytes(self) -> int:
        return min(self._prefix * CHUNK_BYTES, self.size)
