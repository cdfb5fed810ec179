"""Route `local` of a link: a download into the cache, which a later run resumes or reuses."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

from uploader.artifact import Artifact, Digest, LocalFile, WebFile
from uploader.errors import Interrupted, NoRanges, SourceChanged, WrongBytes
from uploader.events import Phase, Progress
from uploader.sources.interface import Stream
from uploader.state.cache import Cache, CacheLease
from uploader.transfer.chunks import read_steadily
from uploader.transfer.context import TransferContext
from uploader.transfer.download import Download

_LOOK_SECONDS = 0.2


class CachedDownload:
    """One download into the cache. Use it as `with download.alone(): download.run()`."""

    def __init__(self, item: str, artifact: Artifact, stream: Stream, cache: Cache, context: TransferContext) -> None:
        self._item = item
        self._artifact = artifact
        self._stream = context.limited(stream)
        self._cache = cache
        self._context = context
        self._held: CacheLease | None = None
        self._resumed = 0

    @contextmanager
    def alone(self) -> Iterator[CachedDownload]:
        """Keep other runs from this download until the block ends, then close its stream.

        Raises Busy when another run has it.
        """
        try:
            with self._cache.hold(self._artifact) as self._held:
                yield self
        finally:
            self._held = None
            self._stream.close()

    @property
    def path(self) -> Path:
        """The complete file."""
        return self._hold.path

    def run(self) -> Artifact:
        """Return the artifact as a local file, with its size and the sha256 of its bytes.

        Raises what the source raises, ConfigurationError for the local disk, and WrongBytes when the sha256 is not
        the expected one. The cache keeps that file under another name.
        """
        hold = self._hold
        with self._writing(hold):
            known = self._cache.whole(self._artifact, hold)
            if known is None:
                self._context.observer(Phase(self._item, "downloading"))
                sha256 = self._download(hold)
                if self._may_be_mixed(sha256):
                    hold.record.remove()
                    hold.part.unlink(missing_ok=True)
                    sha256 = self._download(hold)
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
        """Remove the complete file, because it holds no model. Raises ConfigurationError."""
        self._cache.forget(self._hold)

    def named_faults(self) -> AbstractContextManager[None]:
        """Turn an OSError of the cache's disk into a ConfigurationError until the block ends."""
        return self._cache.named_faults()

    @property
    def _hold(self) -> CacheLease:
        if self._held is None:
            raise ValueError("a download is used inside of `with download.alone()`")
        return self._held

    @contextmanager
    def _writing(self, hold: CacheLease) -> Iterator[None]:
        """Wait for another thread of this process that downloads the same file."""
        while not hold.writing.acquire(timeout=_LOOK_SECONDS):
            self._refuse_stopped()
        try:
            yield
        finally:
            hold.writing.release()

    # downloading --------------------------------------------------------------------------------------

    def _download(self, hold: CacheLease) -> str:
        """Fill the part file; return its sha256 (hex). A full disk costs the oldest cached files first."""
        self._cache.make_room(hold, self._artifact.size or 0)
        while True:
            try:
                with self._cache.named_faults():
                    return self._fill(hold)
            except Exception as error:
                if not (_is_full(error) and self._cache.drop_oldest(hold)):
                    raise

    def _fill(self, hold: CacheLease) -> str:
        size = self._artifact.size
        self._resumed = 0
        try:
            if size is None or size < self._context.config.ranges_from_bytes or not self._may_use_ranges():
                return self._by_one_request(hold)
            try:
                return self._by_ranges(hold, size)
            except NoRanges:
                hold.record.remove()
                return self._by_one_request(hold)
        except WrongBytes:  # SourceChanged: the part file is of a version that is gone
            hold.record.remove()
            hold.part.unlink(missing_ok=True)
            raise

    def _may_use_ranges(self) -> bool:
        """Return True if the source has ranges and something ties them to one version of the file."""
        origin = self._artifact.origin
        if not isinstance(origin, WebFile):
            return False
        return origin.ranges and (origin.validator is not None or self._artifact.digest is not None)

    def _by_one_request(self, hold: CacheLease) -> str:
        """Download from the first byte: the source has no ranges, or they do not pay."""
        digest, done = hashlib.sha256(), 0
        with hold.part.open("wb") as file:
            for data in read_steadily(self._stream, 0, self._context.retry):
                self._refuse_stopped()
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

    def _by_ranges(self, hold: CacheLease, size: int) -> str:
        download = Download(self._item, self._stream, hold.part, size, self._context)
        sha256 = download.run(hold.record, self._subject())
        self._resumed = download.resumed
        return sha256

    def _subject(self) -> str:
        """Return what ties the recorded chunks to one version of the file, in this run and in the next."""
        artifact, origin = self._artifact, self._artifact.origin
        if isinstance(origin, WebFile) and (origin.validator is not None or artifact.digest is None):
            return f"{artifact.identity} {origin.validator} {origin.fingerprint}"
        return f"{artifact.identity} {artifact.digest}"

    # errors -------------------------------------------------------------------------------------------

    def _may_be_mixed(self, sha256: str) -> bool:
        """Return True if the bytes are wrong and an earlier run may have begun with another version of the file."""
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


def _is_full(error: BaseException) -> bool:
    cause = error if isinstance(error, OSError) else error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
