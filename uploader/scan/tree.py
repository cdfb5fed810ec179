"""What walks of a folder find: files by the one spelling that both sides share."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from uploader.placement import MAX_NAME, MAX_PATH_COMPONENT, folder_fault


@dataclass(frozen=True, slots=True)
class LocalEntry:
    """A local file. `path` is below the synced folder, with forward slashes, as the disk spells it. `size` in bytes."""

    path: str
    size: int
    mtime_ns: int

    @property
    def mtime(self) -> int:
        """The time in whole seconds, as in SFTP."""
        return self.mtime_ns // 1_000_000_000


@dataclass(frozen=True, slots=True)
class RemoteEntry:
    """A file on the server. `path` is below the synced folder, as the server spells it.

    `size` in bytes; `mtime` in seconds, None when the server does not tell.
    """

    path: str
    size: int
    mtime: int | None


@dataclass(frozen=True)
class Refused:
    """A path that takes no part, and why."""

    path: str
    reason: str


@dataclass
class LocalTree:
    """A scanned folder.

    `complete` is false when some of it could not be read, so that a missing file may still exist. `others` are
    files, by their spelling, that exist and take no part.
    """

    files: dict[str, LocalEntry] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    complete: bool = True
    others: set[str] = field(default_factory=set)


@dataclass
class RemoteTree:
    """A listed folder: its files, and the server's names of its folders, by their spelling.

    `exists`: the folder itself exists. `insensitive`: the server takes `A` and `a` for one name.
    """

    files: dict[str, RemoteEntry] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)
    exists: bool = True
    insensitive: bool = False


def spelling(path: str) -> str:
    """Return the one spelling of a path, which is Unicode's NFC. Disks and servers may keep another."""
    return path if path.isascii() else unicodedata.normalize("NFC", path)


def folded(path: str) -> str:
    """Return the spelling of a path on a server that takes `A` and `a` for one name."""
    return spelling(path.casefold())


def path_fault(path: str) -> str | None:
    """Return why a path below the folder cannot be used on the server, or None."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return "its name is not readable text (UTF-8)"
    if fault := folder_fault(path):
        return fault
    *folders, name = path.split("/")
    if len(name.encode()) > MAX_NAME or any(len(folder.encode()) > MAX_PATH_COMPONENT for folder in folders):
        return f"it holds a name that is longer than {MAX_NAME} bytes"
    return None


def clashing(paths: Mapping[str, LocalEntry]) -> dict[str, list[str]]:
    """Return the groups of paths that a server takes for one when it takes `A` and `a` for one name.

    Two files of `a/` and `A/` with different names do not clash: they share one folder.
    """
    groups: dict[str, list[str]] = {}
    for path in paths:
        groups.setdefault(folded(path), []).append(path)
    return {key: group for key, group in groups.items() if len(group) > 1}
