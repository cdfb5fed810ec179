"""The cache: downloads in use, downloads that can be used again, and the space they take."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from uploader.artifact import Artifact, WebFile
from uploader.errors import Busy, ConfigurationError, UsageError
from uploader.state.cache.entries import (
    CachedFile,
    Entry,
    State,
    entries,
    move,
    part_of,
    proven,
    recall,
    remember,
    remove,
    touch,
    wrong_of,
)
from uploader.state.cache.limit import existing
from uploader.state.uploads import HERE, UploadRecord, UploadRecords

_SPARE = 32 * 1024 * 1024
"""Bytes that stay free on a full disk, for the records and for other programs."""


@dataclass
class CacheLease:
    """One download in use.

    `path` is the complete file's name, `part` the unfinished one's. The thread that downloads it holds `writing`."""

    path: Path
    record: UploadRecord
    stack: ExitStack
    users: int = 0
    writing: threading.Lock = field(default_factory=threading.Lock)

    @property
    def part(self) -> Path:
        return part_of(self.path)


class Cache:
    """The downloads in one folder: at most `limit` bytes of those that no run uses.

    Every call raises ConfigurationError when the disk refuses."""

    def __init__(self, folder: Path, uploads: UploadRecords, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self._uploads = uploads
        self._lock = threading.Lock()
        self._holds: dict[str, CacheLease] = {}

    # finding and holding ------------------------------------------------------------------------------

    @contextmanager
    def hold(self, artifact: Artifact) -> Iterator[CacheLease]:
        """Hold this artifact's download until the block ends. The threads of this process share it.

        No other run removes or writes it until then. Raises Busy when another run holds it."""
        name = self._name(artifact)
        with self._lock:
            hold = self._holds.get(name)
            if hold is None:
                with ExitStack() as stack:
                    record = stack.enter_context(self._uploads.claim(HERE, str(self.folder / name)))
                    hold = self._holds[name] = CacheLease(self.folder / name, record, stack.pop_all())
            hold.users += 1
        try:
            yield hold
        finally:
            with self._lock:
                hold.users -= 1
                if not hold.users:
                    del self._holds[name]
                    hold.stack.close()

    def whole(self, artifact: Artifact, hold: CacheLease) -> CachedFile | None:
        """Return the record of the complete download, if that is there, unchanged, and is the artifact."""
        with self.named_faults():
            if not hold.path.exists():
                self._adopt(artifact, hold)
            known = proven(hold.path)
            if known is None or not _is_same(known, artifact):
                return None
            touch(hold.path)
            return known

    def _name(self, artifact: Artifact) -> str:
        """Return the name of the file that has the promised sha256, from any source; else the artifact's own name."""
        own = f"{artifact.identity}-{artifact.name}"
        if artifact.digest is None:
            return own
        alike = [entry for entry in self.entries() if entry.sha256 == artifact.digest.hex]
        alike.sort(key=lambda entry: (entry.state is not State.WHOLE, entry.base != own))
        return alike[0].base if alike else own

    def _adopt(self, artifact: Artifact, hold: CacheLease) -> None:
        """Rename a file back that is wrong by its publisher's sha256 and right by the user's."""
        if artifact.digest is not None:
            wrong = wrong_of(hold.path, artifact.digest.hex)
            known = recall(wrong)
            if known is not None and known.sha256 == artifact.digest.hex and wrong.exists():
                move(wrong, hold.path)

    # what became of a download ------------------------------------------------------------------------

    def keep(self, artifact: Artifact, hold: CacheLease, sha256: str) -> CachedFile:
        """Give the part, which is complete and has this sha256, the final name."""
        with self.named_faults():
            hold.part.replace(hold.path)
            return self._remember(hold.path, artifact, sha256)

    def quarantine(self, artifact: Artifact, hold: CacheLease, sha256: str) -> Path:
        """Rename the part, which is not the promised file. Remove an earlier one. Return the new path."""
        with self.named_faults():
            for entry in entries(self.folder):
                if entry.state is State.WRONG and entry.base == hold.path.name:
                    remove(entry.path)
            wrong = wrong_of(hold.path, sha256)
            hold.part.replace(wrong)
            self._remember(wrong, artifact, sha256)
            return wrong

    def _remember(self, path: Path, artifact: Artifact, sha256: str) -> CachedFile:
        found = path.stat()
        web = artifact.origin if isinstance(artifact.origin, WebFile) else None
        came = (None, artifact.source, None) if web is None else (web.validator, artifact.source, web.fingerprint)
        known = CachedFile(found.st_size, found.st_mtime_ns, sha256, *came)
        remember(path, known)
        return known

    def forget(self, hold: CacheLease) -> None:
        """Remove the complete file."""
        with self.named_faults():
            remove(hold.path)

    # space --------------------------------------------------------------------------------------------

    def entries(self) -> list[Entry]:
        """Return all files, the one that was used last first."""
        with self.named_faults():
            return sorted(entries(self.folder), key=lambda entry: -entry.used)

    def make_room(self, hold: CacheLease, size: int) -> None:
        """Remove the files that were not used longest, until `size` bytes more fit the limit and the disk.

        Raises ConfigurationError when the disk is too small."""
        with self.named_faults():
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        others = [entry for entry in self.entries() if entry.base != hold.path.name]
        there = sum(entry.size for entry in self.entries() if entry.path == hold.part)
        total = sum(entry.size for entry in others)
        missing = max(size - there, 0)
        while others and ((size <= self.limit < total + size) or self._free() < missing + _SPARE):
            entry = others.pop()
            if self._drop(entry):
                total -= entry.size
        if (free := self._free()) < missing + _SPARE:
            raise ConfigurationError(
                f"{size:,} bytes are to be downloaded to {self.folder}, and {free:,} are free on that disk",
                remedy="Make room there, set $UPLOADER_HOME to another disk, or use --via relay.",
            )

    def drop_oldest(self, hold: CacheLease) -> bool:
        """Remove the file that was not used longest, for a disk that has become full. Return False if none is left."""
        return any(self._drop(entry) for entry in reversed(self.entries()) if entry.base != hold.path.name)

    def trim(self) -> None:
        """Remove the files that were not used longest, until the rest is within the limit. Files in use stay."""
        kept = self.entries()
        total = sum(entry.size for entry in kept)
        while kept and total > self.limit:
            entry = kept.pop()
            if self._drop(entry):
                total -= entry.size

    def clear(self, names: Sequence[str] = ()) -> tuple[list[Entry], list[Entry]]:
        """Remove these files, or all. Return what was removed and what is in use.

        A name is the file's or the model's own. Raises UsageError for an unknown name."""
        there = self.entries()
        chosen = [entry for entry in there if not names or entry.name in names or entry.base[9:] in names]
        unknown = [name for name in names if not any(name in (entry.name, entry.base[9:]) for entry in there)]
        if unknown:
            raise UsageError(f"the cache holds no {', '.join(unknown)}", remedy="`uploader cache` lists what it holds.")
        removed = [entry for entry in chosen if self._drop(entry)]
        return removed, [entry for entry in chosen if entry not in removed]

    def _drop(self, entry: Entry) -> bool:
        """Remove a file, unless it is in use. Return True if it was removed."""
        with self._lock:
            if entry.base in self._holds:
                return False
            try:
                with self._uploads.claim(HERE, str(self.folder / entry.base)) as record, self.named_faults():
                    if entry.state is State.PART:
                        record.remove()
                    remove(entry.path)
            except Busy:
                return False
            return True

    def _free(self) -> int:
        return shutil.disk_usage(existing(self.folder)).free

    @contextmanager
    def named_faults(self) -> Iterator[None]:
        """Turn what the disk refuses until the block ends into a ConfigurationError."""
        try:
            yield
        except OSError as error:
            raise ConfigurationError(
                f"the download cannot be kept in {self.folder}: {error.strerror or error}",
                remedy="Make room there, set $UPLOADER_HOME to another disk, or use --via relay.",
            ) from error


def _is_same(known: CachedFile, artifact: Artifact) -> bool:
    """Compare by the promised sha256; without one, by the validator together with the whole link.

    A validator tells versions of one file apart, not files. So a link with a new signature is downloaded again."""
    if artifact.digest is not None:
        return known.sha256 == artifact.digest.hex
    origin = artifact.origin
    return (
        isinstance(origin, WebFile)
        and origin.validator is not None
        and (known.validator, known.link) == (origin.validator, origin.fingerprint)
        and artifact.size in (None, known.size)
    )
