"""Route `local` of a remote source: downloads it to this disk, going on where an earlier run stopped."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from uploader.artifact import Artifact, LocalFile, WebFile
from uploader.errors import ConfigurationError, Interrupted, SourceChanged, WrongBytes
from uploader.events import Phase, Progress
from uploader.sources.interface import Stream
from uploader.transfer.feed import steady
from uploader.transfer.job import Means

_BLOCK = 1024 * 1024


class Fetch:
    """One download into the cache folder. The whole file is `NAME`, an unfinished one `NAME.part`."""

    def __init__(self, item: str, artifact: Artifact, stream: Stream, folder: Path, means: Means) -> None:
        self._item = item
        self._artifact = artifact
        self._stream = stream
        self._means = means
        self.path = folder / f"{artifact.identity}-{artifact.name}"
        self._part = self.path.with_name(f"{self.path.name}.part")
        self._done = 0

    @contextmanager
    def alone(self) -> Iterator[Fetch]:
        """No other run touches the download until the block ends, and then its stream is closed. Raises Busy when
        one does now."""
        try:
            with self._means.journals.claim("this machine", str(self.path)):
                yield self
        finally:
            self._stream.close()

    def run(self) -> Artifact:
        """Returns the artifact as a file of this disk, with its size. Raises what the source raises, and
        WrongBytes when the sha256 is not the promised one. A download that is known to be wrong is removed."""
        self._means.observer(Phase(self._item, "downloading"))
        with self.named_faults():
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self.path.exists():  # whole already, of a run that could not send it
                self.path.replace(self._part)
            try:
                self._refuse_wrong(self._download())
            except WrongBytes:
                self._part.unlink(missing_ok=True)
                raise
            self._part.replace(self.path)
            found = self.path.stat()
        return replace(self._artifact, size=found.st_size, origin=LocalFile(self.path, found.st_mtime_ns))

    def remove(self) -> None:
        """Removes the whole file; an unfinished one stays for the next run. Raises ConfigurationError."""
        with self.named_faults():
            self.path.unlink(missing_ok=True)

    @contextmanager
    def named_faults(self) -> Iterator[None]:
        """What the disk of the downloads refuses until the block ends is a ConfigurationError."""
        try:
            yield
        except OSError as error:
            raise ConfigurationError(
                f"the download cannot be kept in {self.path.parent}: {error.strerror or error}",
                remedy="Make room there, set $UPLOADER_HOME to another disk, or use --via relay.",
            ) from error

    def _download(self) -> str:
        digest = hashlib.sha256()
        with self._part.open("r+b" if self._is_resumable() else "w+b") as file:
            while block := file.read(_BLOCK):
                self._refuse_stopped()
                digest.update(block)
                self._done += len(block)
            resumed = self._done
            for data in self._chunks():
                self._means.down.pass_through(len(data))
                file.write(data)
                digest.update(data)
                self._done += len(data)
                self._means.observer(Progress(self._item, self._done, resumed))
            file.flush()
            os.fsync(file.fileno())
        if self._artifact.size not in (None, self._done):
            raise SourceChanged(
                f"{self._artifact.source} is not {self._artifact.size:,} bytes long any more",
                remedy="Run the same command again.",
            )
        return digest.hexdigest()

    def _is_resumable(self) -> bool:
        """Without a validator nobody can say that the rest belongs to what is here already."""
        origin, size = self._artifact.origin, self._artifact.size
        if not (isinstance(origin, WebFile) and origin.validator is not None and self._part.exists()):
            return False
        there = self._part.stat().st_size
        return there == size or (origin.ranges and (size is None or there < size))

    def _chunks(self) -> Iterator[bytes]:
        if self._artifact.size is not None and self._done == self._artifact.size:
            return
        for data in steady(self._stream, self._done, self._means.retrying):
            self._refuse_stopped()
            yield data

    def _refuse_wrong(self, sha256: str) -> None:
        expected = self._artifact.digest
        if expected is not None and expected.hex != sha256:
            raise WrongBytes(
                f"{self._artifact.source} is not the file that was promised:\n"
                f"  promised {expected}\n  found    {sha256}",
                remedy="Download it again, or check the sha256 you gave. Nothing was placed.",
            )

    def _refuse_stopped(self) -> None:
        if self._means.cancelled.is_set():
            raise Interrupted("the transfer was stopped")
