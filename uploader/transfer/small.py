"""Many small files, placed with a few waits for all of them together: sent, proven, renamed."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from uploader.errors import RemoteExists, RemoteRefused, UploaderError, WrongBytes
from uploader.placement import part_name
from uploader.remote.interface import Connection, Entry, Whole
from uploader.result import Evidence
from uploader.transfer.placing import changed, is_another


@dataclass(frozen=True)
class Small:
    """One file: `path` is its absolute final name; `mtime`, in seconds since 1970, is what it is to get, if any.
    `expected` are size and time of the only file that may be replaced, where not any may."""

    path: str
    data: bytes
    mtime: int | None = None
    replace: bool = False
    expected: tuple[int, int | None] | None = None

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def part(self) -> str:
        folder, name = posixpath.split(self.path)
        return posixpath.join(folder, part_name(name, self.sha256[:8]))


@dataclass(frozen=True)
class SmallPlaced:
    """How one of them ended well. `mtime` is what the server tells of it now."""

    evidence: Evidence
    mtime: int | None


def place_small(connection: Connection, files: Sequence[Small]) -> list[SmallPlaced | UploaderError]:
    """Returns for each file how it was placed or why it was not, in order. Raises NetworkError when the line is lost;
    it may then be called again with the same files."""
    many = connection.files.many
    results: list[SmallPlaced | UploaderError | None] = [None] * len(files)
    results = list(many.write([Whole(file.part, file.data, file.mtime) for file in files]))
    found = _proofs(connection, [(file.part, len(file.data)) for file in files])
    for at, (file, (_, sha256)) in enumerate(zip(files, found, strict=True)):
        if results[at] is None and sha256 != file.sha256:
            results[at] = sha256 if isinstance(sha256, RemoteRefused) else _wrong(file)
    _spare_others(connection, files, results)
    for replace in (False, True):
        chosen = [at for at, file in enumerate(files) if results[at] is None and file.replace is replace]
        pairs = [(files[at].part, files[at].path) for at in chosen]
        for at, refused in zip(chosen, many.rename(pairs, replace=replace), strict=True):
            results[at] = refused
    _take_back(connection, files, results)
    placed = [at for at, result in enumerate(results) if result is None]
    told = many.stat([files[at].path for at in placed])
    for at, there in zip(placed, told, strict=True):
        results[at] = SmallPlaced(found[at][0], there.mtime if isinstance(there, Entry) else None)
    return [result for result in results if result is not None]


def _spare_others(
    connection: Connection, files: Sequence[Small], results: list[SmallPlaced | UploaderError | None]
) -> None:
    """Refuses what would replace another file than it was meant to. The new file itself may be there already, where the
    line was lost after it got its name."""
    held = [(at, file.expected) for at, file in enumerate(files) if results[at] is None and file.expected is not None]
    told = connection.files.many.stat([files[at].path for at, _ in held]) if held else []
    for (at, expected), there in zip(held, told, strict=True):
        file = files[at]
        entry = there if isinstance(there, Entry) else None
        if is_another(entry, expected) and is_another(entry, (len(file.data), file.mtime)):
            results[at] = changed(file.path)


def _proofs(
    connection: Connection, files: Sequence[tuple[str, int]]
) -> list[tuple[Evidence, str | RemoteRefused | None]]:
    """The sha256 of each file as the server has it: taken there, or of what is read back. A shell may see other folders
    than SFTP does: that it finds no such file says nothing of it."""
    taken = connection.hash_files([path for path, _ in files]) or [None] * len(files)
    # One byte more than was sent: a file that is too long is no whole file either.
    unknown = [(path, size + 1) for (path, size), sha256 in zip(files, taken, strict=True) if sha256 is None]
    read = iter(connection.files.many.read(unknown) if unknown else [])
    return [(Evidence.REMOTE_HASH, sha256) if sha256 else (Evidence.READ_BACK, _sum(next(read))) for sha256 in taken]


def _sum(data: bytes | RemoteRefused) -> str | RemoteRefused:
    return data if isinstance(data, RemoteRefused) else hashlib.sha256(data).hexdigest()


def _take_back(
    connection: Connection, files: Sequence[Small], results: list[SmallPlaced | UploaderError | None]
) -> None:
    """Removes the parts of what was not placed. A name that is taken by these very bytes counts as placed: it may have
    been, before the line was lost."""
    taken = [at for at, result in enumerate(results) if isinstance(result, RemoteExists)]
    if taken:
        found = _proofs(connection, [(files[at].path, len(files[at].data)) for at in taken])
        for at, (_, sha256) in zip(taken, found, strict=True):
            if sha256 == files[at].sha256:
                results[at] = None
                connection.files.remove(files[at].part)
    for at, result in enumerate(results):
        if isinstance(result, UploaderError):
            try:
                connection.files.remove(files[at].part)
            except RemoteRefused:
                continue  # why it was not placed is what matters


def _wrong(file: Small) -> WrongBytes:
    return WrongBytes(
        f"the server keeps other bytes than it was sent: {file.path}",
        remedy="Its disk or its SFTP server is faulty. The wrong part was removed.",
    )
