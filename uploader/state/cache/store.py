"""The cache as its users see it: who holds which download, what can be used again, what has to go for room."""

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
"""Bytes that a full disk is left for the records and for other programs."""


@dataclass
class CacheLease:
    """One download in use. `path` is the whole file's name, `part` an unfinished one's; `writing` is held by whoever
    of this process downloads it."""

    path: Path
    record: UploadRecord
    stack: ExitStack
    users: int = 0
    writing: threading.Lock = field(default_factory=threading.Lock)

    @property
    def part(self) -> Path:
        return part_of(self.path)


class Cache:
    """The downloads in one folder, at most `limit` bytes of them when nobody uses any. Raises ConfigurationError
    where the disk refuses."""

    def __init__(self, folder: Path, uploads: UploadRecords, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self._uploads = uploads
        self._lock = threading.Lock()
        self._holds: dict[str, CacheLease] = {}

    # finding and holding ------------------------------------------------------------------------------

    @contextmanager
    def hold(self, artifact: Artifact) -> Iterator[CacheLease]:
        """Nobody removes or writes this artifact's download until the block ends; those of this process share it.

        Raises Busy when another run holds it."""
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
        """Returns what is known of the whole download if it is there, unchanged, and is the artifact."""
        with self.named_faults():
            if not hold.path.exists():
                self._adopt(artifact, hold)
            known = proven(hold.path)
            if known is None or not _is_same(known, artifact):
                return None
            touch(hold.path)
            return known

    def _name(self, artifact: Artifact) -> str:
        """Of the file that has the promised sha256, wherever that came from; else the artifact's own."""
        own = f"{artifact.identity}-{artifact.name}"
        if artifact.digest is None:
            return own
        alike = [entry for entry in self.entries() if entry.sha256 == artifact.digest.hex]
        alike.sort(key=lambda entry: (entry.state is not State.WHOLE, entry.base != own))
        return alike[0].base if alike else own

    def _adopt(self, artifact: Artifact, hold: CacheLease) -> None:
        """A file that was wrong for its publisher's word is right for the user's."""
        if artifact.digest is not None:
            wrong = wrong_of(hold.path, artifact.digest.hex)
            known = recall(wrong)
            if known is not None and known.sha256 == artifact.digest.hex and wrong.exists():
                move(wrong, hold.path)

    # what became of a download ------------------------------------------------------------------------

    def keep(self, artifact: Artifact, hold: CacheLease, sha256: str) -> CachedFile:
        """Gives the part, which is whole and has this sha256, the whole file's name."""
        with self.named_faults():
            hold.part.replace(hold.path)
            return self._remember(hold.path, artifact, sha256)

    def quarantine(self, artifact: Artifact, hold: CacheLease, sha256: str) -> Path:
        """Puts the part aside, which is not the file that was promised. Returns where it is; an earlier one goes."""
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
        """Removes the whole file: it is not worth keeping."""
        with self.named_faults():
            remove(hold.path)

    # room ---------------------------------------------------------------------------------------------

    def entries(self) -> list[Entry]:
        """All files, the one that was of use last first."""
        with self.named_faults():
            return sorted(entries(self.folder), key=lambda entry: -entry.used)

    def make_room(self, hold: CacheLease, size: int) -> None:
        """Removes what was not used longest until a download of `size` bytes fits, into the limit and onto the disk.

        Raises ConfigurationError when the disk is too small for it."""
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
        """Removes the one file, if any, that was not used longest, for a disk that ran full meanwhile."""
        return any(self._drop(entry) for entry in reversed(self.entries()) if entry.base != hold.path.name)

    def trim(self) -> None:
        """Removes what was not used longest until the rest is within the limit. What is in use stays."""
        kept = self.entries()
        total = sum(entry.size for entry in kept)
        while kept and total > self.limit:
            entry = kept.pop()
            if self._drop(entry):
                total -= entry.size

    def clear(self, names: Sequence[str] = ()) -> tuple[list[Entry], list[Entry]]:
        """Removes these files, or all. Returns what was removed and what is in use. Raises UsageError for a name that
        is none; a name may be the file's, or the model's own."""
        there = self.entries()
        chosen = [entry for entry in there if not names or entry.name in names or entry.base[9:] in names]
        unknown = [name for name in names if not any(name in (entry.name, entry.base[9:]) for entry in there)]
        if unknown:
            raise UsageError(f"the cache holds no {', '.join(unknown)}", remedy="`uploader cache` lists what it holds.")
        removed = [entry for entry in chosen if self._drop(entry)]
        return removed, [entry for entry in chosen if entry not in removed]

    def _drop(self, entry: Entry) -> bool:
        """Removes a file, unless somebody uses it."""
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
        """What the disk of the downloads refuses until the block ends is a ConfigurationError."""
        try:
            yield
        except OSError as error:
            raise ConfigurationError(
                f"the download cannot be kept in {self.folder}: {error.strerror or error}",
                remedy="Make room there, set $UPLOADER_HOME to another disk, or use --via relay.",
            ) from error


def _is_same(known: CachedFile, artifact: Artifact) -> bool:
    """By the promised sha256; without one by the validator under which it came from this very link. A validator alone
    tells versions of one file apart, not files; so what was signed anew is downloaded anew."""
    if artifact.digest is not None:
        return known.sha256 == artifact.digest.hex
    origin = artifact.origin
    return (
        isinstance(origin, WebFile)
        and origin.validator is not None
        and (known.validator, known.link) == (origin.validator, origin.fingerprint)
        and artifact.size in (None, known.size)
    )
