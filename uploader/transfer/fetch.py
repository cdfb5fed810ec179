"""Route `local` of a remote source: downloads it to this disk, going on where an earlier run stopped."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from uploader.artifact import Artifact, LocalFile, WebFile
from uploader.errors import ConfigurationError, Interrupted, WrongBytes
from uploader.events import Phase, Progress
from uploader.sources.interface import Stream
from uploader.transfer.feed import steady
from uploader.transfer.step import Means

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

    def run(self) -> Artifact:
        """Returns the artifact as a file of this disk, with its size. Raises what the source raises, and
        WrongBytes when the sha256 is not the promised one (the download is removed)."""
        self._means.observer(Phase(self._item, "downloading"))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            digest = self._download()
            self._refuse_wrong(digest)
            self._part.replace(self.path)
            found = self.path.stat()
        except OSError as error:
            raise ConfigurationError(
                f"the download cannot be kept in {self.path.parent}: {error.strerror or error}",
                remedy="Make room there, set $UPLOADER_HOME to another disk, or use --via relay.",
            ) from error
        return replace(self._artifact, size=found.st_size, origin=LocalFile(self.path, found.st_mtime_ns))

    def remove(self) -> None:
        """Removes the whole file; an unfinished one stays for the next run."""
        self.path.unlink(missing_ok=True)

    def _download(self) -> str:
        origin = self._artifact.origin
        # Without a validator nobody can say that the rest belongs to what is here already.
        resumable = isinstance(origin, WebFile) and origin.ranges and origin.validator is not None
        digest = hashlib.sha256()
        with self._part.open("r+b" if resumable and self._part.exists() else "w+b") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                self._done += len(block)
            for data in self._chunks():
                self._means.down.pass_through(len(data))
                file.write(data)
                digest.update(data)
                self._done += len(data)
                self._means.observer(Progress(self._item, self._done))
            file.flush()
            os.fsync(file.fileno())
        return digest.hexdigest()

    def _chunks(self) -> Iterator[bytes]:
        if self._artifact.size is not None and self._done == self._artifact.size:
            return
        for data in steady(self._stream, self._done, self._means.retrying):
            if self._means.cancelled.is_set():
                raise Interrupted("the transfer was stopped")
            yield data

    def _refuse_wrong(self, sha256: str) -> None:
        expected = self._artifact.digest
        if expected is not None and expected.hex != sha256:
            self._part.unlink(missing_ok=True)
            raise WrongBytes(
                f"{self._artifact.source} is not the file that was promised:\n"
                f"  promised {expected}\n  found    {sha256}",
                remedy="Download it again, or check the sha256 you gave. Nothing was placed.",
            )
