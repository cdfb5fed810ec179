"""Route `local` of a remote source: a file of the cache, downloaded unless it is there, resumed where a run stopped."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from uploader.artifact import Artifact, Digest, LocalFile, WebFile
from uploader.errors import Interrupted, NoRanges, SourceChanged, WrongBytes
from uploader.events import Phase, Progress
from uploader.sources.interface import Stream
from uploader.state.cache import Cache, CacheLease
from uploader.transfer.chunks import CHUNK_BYTES, read_steadily
from uploader.transfer.context import TransferContext
from uploader.transfer.download import ChunkMap, DownloadHasher
from uploader.transfer.range_readers import WORTH_LINES, RangeReaders, Supply

if TYPE_CHECKING:
    from hashlib import _Hash

_TELL_SECONDS = 0.2


class CachedDownload:
    """One download into the cache. Used as `with fetch.alone(): fetch.run()`."""

    def __init__(self, item: str, artifact: Artifact, stream: Stream, cache: Cache, context: TransferContext) -> None:
        self._item = item
        self._artifact = artifact
        self._stream = stream
        self._cache = cache
        self._context = context
        self._held: CacheLease | None = None
        self._resumed = 0

    @contextmanager
    def alone(self) -> Iterator[CachedDownload]:
        """No other run touches the download until the block ends, and then its stream is closed. Raises Busy when
        one does now."""
        try:
            with self._cache.hold(self._artifact) as self._held:
                yield self
        finally:
            self._held = None
            self._stream.close()

    @property
    def path(self) -> Path:
        """The whole file."""
        return self._hold.path

    def run(self) -> Artifact:
        """Returns the artifact as a file of this disk, with its size and the sha256 that it was found to have.

        Raises what the source raises, ConfigurationError (this disk), and WrongBytes when the sha256 is not the
        promised one: then the file is put aside, under another name in the cache."""
        hold = self._hold
        with self._writing(hold):
            known = self._cache.whole(self._artifact, hold)
            if known is None:
                self._context.observer(Phase(self._item, "downloading"))
                sha256 = self._downloaded(hold)
                if self._may_be_spliced(sha256):
                    hold.record.remove()
                    hold.part.unlink(missing_ok=True)
                    sha256 = self._downloaded(hold)
                self._refuse_wrong(hold, sha256)
                known = self._cache.keep(self._artifact, hold, sha256)
                hold.record.remove()
        return replace(
            self._artifact,
            size=known.size,
            digest=Digest(known.sha256),
            origin=LocalFile(hold.path, known.mtime_ns),
        )

    def remove(self) -> None:
        """Removes the whole file: what it holds is no model. Raises ConfigurationError."""
        self._cache.forget(self._hold)

    def named_faults(self) -> AbstractContextManager[None]:
        """What the disk of the downloads refuses until the block ends is a ConfigurationError."""
        return self._cache.named_faults()

    @property
    def _hold(self) -> CacheLease:
        if self._held is None:
            raise ValueError("a download is worked with while it is held")
        return self._held

    @contextmanager
    def _writing(self, hold: CacheLease) -> Iterator[None]:
        """Waits for another thread of this process that downloads the same."""
        while not hold.writing.acquire(timeout=_TELL_SECONDS):
            self._refuse_stopped()
        try:
            yield
        finally:
            hold.writing.release()

    # downloading --------------------------------------------------------------------------------------

    def _downloaded(self, hold: CacheLease) -> str:
        """Brings the whole file into the part; returns its sha256 (hex)."""
        self._cache.make_room(hold, self._artifact.size or 0)
        while True:
            try:
                with self._cache.named_faults():
                    return self._brought(hold)
            except Exception as error:
                if not (_is_full(error) and self._cache.drop_oldest(hold)):
                    raise

    def _brought(self, hold: CacheLease) -> str:
        size = self._artifact.size
        try:
            if size is None or size < WORTH_LINES or not self._may_be_read_by_ranges():
                return self._plainly(hold)
            try:
                return self._by_lines(hold, size)
            except NoRanges:
                hold.record.remove()
                return self._plainly(hold)
        except WrongBytes:  # SourceChanged: what is here is of a file that is no more
            hold.record.remove()
            hold.part.unlink(missing_ok=True)
            raise

    def _may_be_read_by_ranges(self) -> bool:
        """Whether the source gives them, and something ties them to one file: else they could be of two."""
        origin = self._artifact.origin
        tied = isinstance(origin, WebFile) and (origin.validator is not None or self._artifact.digest is not None)
        return tied and isinstance(origin, WebFile) and origin.ranges

    def _plainly(self, hold: CacheLease) -> str:
        """By one request, from the first byte: the source cannot begin in the middle, or it is not worth it."""
        digest, done = hashlib.sha256(), 0
        with hold.part.open("wb") as file:
            for data in read_steadily(self._stream, 0, self._context.retry):
                self._refuse_stopped()
                self._context.down.pass_through(len(data))
                file.write(data)
                digest.update(data)
                done += len(data)
                self._context.observer(Progress(self._item, done))
            file.flush()
            os.fsync(file.fileno())
        if self._artifact.size not in (None, done):
            raise SourceChanged(
                f"{self._artifact.source} is not {self._artifact.size:,} bytes long any more",
                remedy="Run the same command again.",
            )
        return digest.hexdigest()

    def _by_lines(self, hold: CacheLease, size: int) -> str:
        context = self._context
        hold.record.begin(self._subject(), size, CHUNK_BYTES, str(hold.part))
        there, whole, hashed = self._checked(hold, size)
        self._resumed = sum(min(CHUNK_BYTES, size - index * CHUNK_BYTES) for index in there)
        with hold.part.open("r+b" if there else "wb") as file:
            file.truncate(size)
        ledger = ChunkMap(hold.part, size, there, hold.record)
        supply = Supply(self._stream, context.retry, context.cancelled, context.down)
        with DownloadHasher(ledger, hold.part, whole, hashed) as follower, RangeReaders(supply, ledger) as lines:
            while not follower.done.wait(_TELL_SECONDS):
                self._refuse_stopped()
                self._tell(min(self._resumed + lines.moved, size))
        ledger.check()
        self._tell(size)
        self._stream.check()
        return follower.sha256

    def _subject(self) -> str:
        """What the pieces in the record are of: what ties them to one file, in this run and in the next."""
        artifact, origin = self._artifact, self._artifact.origin
        if isinstance(origin, WebFile) and (origin.validator is not None or artifact.digest is None):
            return f"{artifact.identity} {origin.validator} {origin.fingerprint}"
        return f"{artifact.identity} {artifact.digest}"

    def _checked(self, hold: CacheLease, size: int) -> tuple[set[int], _Hash, int]:
        """The pieces of an earlier run that still are what they were, and the hash of those before the first gap."""
        there: set[int] = set()
        whole, hashed = hashlib.sha256(), 0
        claimed = hold.record.chunks
        if claimed and hold.part.exists():
            self._context.observer(Phase(self._item, "checking"))
            with hold.part.open("rb", buffering=0) as file:
                for index in sorted(claimed):
                    self._refuse_stopped()
                    data = _chunk(file, index, size)
                    if hashlib.sha256(data).hexdigest() == claimed[index]:
                        there.add(index)
                        if hashed == index * CHUNK_BYTES:
                            whole.update(data)
                            hashed += len(data)
            self._context.observer(Phase(self._item, "downloading"))
        for index in claimed.keys() - there:
            hold.record.forget(index)
        return there, whole, hashed

    # faults -------------------------------------------------------------------------------------------

    def _may_be_spliced(self, sha256: str) -> bool:
        """Whether it is wrong, and may be for having been begun with another file that was behind the link then."""
        origin, expected = self._artifact.origin, self._artifact.digest
        pinned = isinstance(origin, WebFile) and origin.validator is not None
        return expected is not None and sha256 != expected.hex and self._resumed > 0 and not pinned

    def _refuse_wrong(self, hold: CacheLease, sha256: str) -> None:
        expected = self._artifact.digest
        if expected is None or expected.hex == sha256:
            return
        hold.record.remove()
        aside = self._cache.quarantine(self._artifact, hold, sha256)
        raise WrongBytes(
            f"{self._artifact.source} is not the file that was promised:\n  promised {expected}\n  found    {sha256}",
            remedy=f"Nothing was placed; the download is kept as {aside.name} in the cache. Run the same command "
            f"again, or say --sha256 {sha256} if you know from elsewhere that this is the right one.",
        )

    def _refuse_stopped(self) -> None:
        if self._context.cancelled.is_set():
            raise Interrupted("the transfer was stopped")

    def _tell(self, done: int) -> None:
        self._context.observer(Progress(self._item, done, self._resumed))


def _chunk(file: FileIO, index: int, size: int) -> bytes:
    file.seek(index * CHUNK_BYTES)
    wanted = min(CHUNK_BYTES, size - index * CHUNK_BYTES)
    found = bytearray()
    while len(found) < wanted and (data := file.read(wanted - len(found))):
        found += data
    return bytes(found)


def _is_full(error: BaseException) -> bool:
    cause = error if isinstance(error, OSError) else error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
