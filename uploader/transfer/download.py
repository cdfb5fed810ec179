"""Download of a stream into a local part file: over several readers, resumable, hashed while it is written.

1. `Download.run` checks the chunks that an earlier run recorded, and hashes the first of them.
2. `RangeReaders` take ranges of missing chunks from the `ChunkMap`, and put their bytes into the part file.
3. `DownloadHasher` hashes the contiguous prefix, syncs the part file, then records its chunks.
4. `Download.run` checks that the source is still the same, and returns the sha256.
"""

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

from uploader.errors import Interrupted
from uploader.events import Phase, Progress
from uploader.sources.interface import Stream
from uploader.state.uploads import FLUSH_BYTES, FLUSH_SECONDS, UploadRecord
from uploader.transfer.chunks import ChunkLayout
from uploader.transfer.config import TransferConfig
from uploader.transfer.context import TransferContext
from uploader.transfer.range_readers import ByteRange, RangeReaders, Supply

if TYPE_CHECKING:
    from hashlib import _Hash

_REPORT_SECONDS = 0.2


class Download:
    """The download of one stream of `size` bytes into one part file.

    `readers` is their number; None begins with few and adds some while the rate grows by it.
    """

    def __init__(
        self, item: str, stream: Stream, part: Path, size: int, context: TransferContext, *, readers: int | None = None
    ) -> None:
        self.resumed = 0
        """Bytes that an earlier run left."""
        self._item = item
        self._stream = stream
        self._part = part
        self._layout = ChunkLayout(size, context.config.chunk_bytes)
        self._context = context
        self._readers = readers

    def run(self, record: UploadRecord, subject: str) -> str:
        """Fill the part file and return its sha256 (hex). `subject` names the version of the file that is read.

        Raises what the stream raises, OSError for the local disk, Interrupted.
        """
        context, layout = self._context, self._layout
        record.begin(subject, layout.size, layout.chunk_bytes, str(self._part))
        present, digest, hashed = self._check(record)
        self.resumed = layout.bytes_of(present)
        with self._part.open("r+b" if present else "wb") as file:
            file.truncate(layout.size)
        chunks = ChunkMap(self._part, layout, present, record, context.config)
        supply = Supply.of(self._stream, context)
        with (
            DownloadHasher(chunks, self._part, digest, hashed) as hasher,
            RangeReaders(supply, chunks, first=self._readers, most=self._readers) as readers,
        ):
            while not hasher.done.wait(_REPORT_SECONDS):
                self._refuse_stopped()
                self._report(min(self.resumed + readers.moved, layout.size))
        chunks.check()
        self._report(layout.size)
        self._stream.check()
        return hasher.sha256

    def _check(self, record: UploadRecord) -> tuple[set[int], _Hash, int]:
        """Return the recorded chunks that the part file still has, and the hash and length of its prefix."""
        present: set[int] = set()
        digest, hashed = hashlib.sha256(), 0
        recorded = record.chunks
        if recorded and self._part.exists():
            self._context.observer(Phase(self._item, "checking"))
            with self._part.open("rb", buffering=0) as file:
                for index in sorted(recorded):
                    self._refuse_stopped()
                    data = _read(file, *self._layout.range(index))
                    if hashlib.sha256(data).hexdigest() == recorded[index]:
                        present.add(index)
                        if hashed == self._layout.range(index)[0]:
                            digest.update(data)
                            hashed += len(data)
            self._context.observer(Phase(self._item, "downloading"))
        for index in recorded.keys() - present:
            record.forget(index)
        return present, digest, hashed

    def _refuse_stopped(self) -> None:
        if self._context.cancelled.is_set():
            raise Interrupted("the transfer was stopped")

    def _report(self, done: int) -> None:
        self._context.observer(Progress(self._item, done, self.resumed))


class DownloadHasher:
    """A thread that hashes what is written without a gap, and saves written chunks in the record now and then.

    `digest` is the hash of the first `hashed` bytes. `done` is set when the thread ends, also after an error.
    """

    def __init__(self, chunks: ChunkMap, part: Path, digest: _Hash, hashed: int) -> None:
        self.done = threading.Event()
        self._chunks = chunks
        self._part = part
        self._digest = digest
        self._hashed = hashed
        self._thread = threading.Thread(target=self._run, name="download-hasher", daemon=True)

    def __enter__(self) -> DownloadHasher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._chunks.stop()
        self._thread.join()

    @property
    def sha256(self) -> str:
        """The sha256 (hex) of what was hashed."""
        return self._digest.hexdigest()

    def _run(self) -> None:
        try:
            with self._part.open("rb", buffering=0) as file:
                file.seek(self._hashed)
                self._hash(file)
        except BaseException as error:  # noqa: BLE001 - raised by `ChunkMap.check` in the caller's thread
            self._chunks.fail(error)
        finally:
            try:
                self._chunks.save()  # also what arrived before an error or a stop
            except BaseException as error:  # noqa: BLE001
                self._chunks.fail(error)
            self.done.set()

    def _hash(self, file: FileIO) -> None:
        chunks, saved_at = self._chunks, time.monotonic()
        while self._hashed < chunks.size and not chunks.over.is_set():
            end = chunks.prefix(self._hashed, FLUSH_SECONDS / 4)
            while self._hashed < end and not chunks.over.is_set():
                data = file.read(min(chunks.config.hash_block_bytes, end - self._hashed))
                if not data:
                    raise OSError(f"{self._part} became shorter")
                self._digest.update(data)
                self._hashed += len(data)
            if chunks.is_due or time.monotonic() - saved_at >= FLUSH_SECONDS:
                chunks.save()
                saved_at = time.monotonic()


@dataclass(eq=False)
class ChunkRange(ByteRange):
    """A range of whole chunks, the file that it is written to, and the hash of its incomplete chunk."""

    file: FileIO | None = None
    digest: _Hash = field(default_factory=hashlib.sha256)


class ChunkMap:
    """The chunks of a part file: which are present, handed out, missing. The range queue of a download.

    `present` are chunks that were checked before. A chunk is saved in the record only when
    it is on the disk itself.
    """

    def __init__(
        self, part: Path, layout: ChunkLayout, present: set[int], record: UploadRecord, config: TransferConfig
    ) -> None:
        self.over = threading.Event()
        self.size = layout.size
        self.config = config
        self._chunk_bytes = layout.chunk_bytes
        self._due = max(1, FLUSH_BYTES // layout.chunk_bytes)
        self._part = part
        self._record = record
        self._missing = deque(index for index in range(layout.count) if index not in present)
        self._returned: list[ChunkRange] = []
        self._written = set(present)
        self._unsaved: dict[int, str] = {}
        self._saving = 0
        self._prefix = 0
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._extend_prefix()

    # for the readers ----------------------------------------------------------------------------------

    def take(self) -> ChunkRange | None:
        with self._changed:
            if self.over.is_set():
                return None
            taken = self._returned.pop() if self._returned else self._next()
        if taken is not None and taken.file is None:
            taken.file = self._part.open("r+b", buffering=0)
            taken.file.seek(taken.at)
        return taken

    def put(self, taken: ChunkRange, data: bytes) -> None:
        view = memoryview(data)
        while view:
            room = self._chunk_bytes - taken.at % self._chunk_bytes
            now, view = view[:room], view[room:]
            taken.digest.update(now)
            _write(taken.file, now)
            taken.at += len(now)
            if taken.at % self._chunk_bytes == 0 or taken.at == self.size:
                self._add((taken.at - 1) // self._chunk_bytes, taken.digest.hexdigest())
                taken.digest = hashlib.sha256()

    def settle(self, taken: ChunkRange) -> None:
        if taken.file is not None:
            taken.file.close()

    def give_back(self, taken: ChunkRange) -> None:
        with self._changed:
            if self.over.is_set():
                self.settle(taken)
            else:
                self._returned.append(taken)

    def stop(self) -> None:
        with self._changed:
            self.over.set()
            for taken in self._returned:
                self.settle(taken)
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        with self._changed:
            self._error = self._error or error
        self.stop()

    def _next(self) -> ChunkRange | None:
        """Return a range of neighbours: a share of what is missing, so that all readers end together."""
        if not self._missing:
            return None
        config, size = self.config, self._chunk_bytes
        share = len(self._missing) // (2 * config.most_readers)
        most = min(max(share, config.least_range_chunks), config.most_range_chunks)
        first = self._missing.popleft()
        after = first + 1
        while self._missing and self._missing[0] == after and after - first < most:
            self._missing.popleft()
            after += 1
        return ChunkRange(first * size, min(after * size, self.size), first * size)

    def _add(self, index: int, digest: str) -> None:
        with self._changed:
            self._written.add(index)
            self._unsaved[index] = digest
            self._extend_prefix()
            self._changed.notify_all()
            # A crash costs the unsaved chunks. Half of them are synced while the other half arrives.
            self._changed.wait_for(lambda: self.over.is_set() or len(self._unsaved) + self._saving <= 2 * self._due)

    def _extend_prefix(self) -> None:
        while self._prefix in self._written:
            self._prefix += 1

    # for the hasher -----------------------------------------------------------------------------------

    def prefix(self, beyond: int, seconds: float) -> int:
        """Return how many bytes from the start are written without a gap.

        Waits until they are more than `beyond`, or chunks are due to be saved, for at most `seconds`.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self.over.is_set() or self._prefix_bytes() > beyond or self.is_due, timeout=seconds
            )
            return self._prefix_bytes()

    def check(self) -> None:
        """Raise what ended the download."""
        if self._error is not None:
            raise self._error

    def save(self) -> None:
        """Sync the part file, then record its new chunks in the record: what it names survives a power cut."""
        with self._changed:
            chunks, self._unsaved = self._unsaved, {}
            self._saving = len(chunks)
        if chunks:
            with self._part.open("r+b", buffering=0) as file:
                os.fsync(file.fileno())
            for index, digest in chunks.items():
                self._record.acknowledge(index, digest)
            self._record.flush()
        with self._changed:
            self._saving = 0
            self._changed.notify_all()

    @property
    def is_due(self) -> bool:
        """True when enough chunks are written to be saved."""
        return len(self._unsaved) >= self._due

    def _prefix_bytes(self) -> int:
        return min(self._prefix * self._chunk_bytes, self.size)


def _read(file: FileIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    found = bytearray()
    while len(found) < length and (data := file.read(length - len(found))):
        found += data
    return bytes(found)


def _write(file: FileIO | None, data: memoryview) -> None:
    if file is None:
        raise ValueError("a range that was not taken is not written")
    while data:
        data = data[file.write(data) :]
