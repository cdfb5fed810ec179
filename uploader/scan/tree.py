"""What a scan and a listing find: files by the one spelling under which both sides know them."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from uploader.placement import MAX_NAME, MAX_PATH_COMPONENT, folder_fault


@dataclass(frozen=True, slots=True)
class LocalEntry:
    """A local file. `path` is below the folder that is synced, with forward slashes, as the disk spells it; `size` in
    bytes."""

    path: str
    size: int
    mtime_ns: int

    @property
    def mtime(self) -> int:
        """In whole seconds, as SFTP tells times."""
        return self.mtime_ns // 1_000_000_000


@dataclass(frozen=True, slots=True)
class RemoteEntry:
    """A file on the server. `path` is below the folder that is synced, as the server spells it; `mtime` in seconds,
    None where not told."""

    path: str
    size: int
    mtime: int | None


@dataclass(frozen=True)
class Refused:
    """Something that is not taken along, and why."""

    path: str
    reason: str


@dataclass
class LocalTree:
    """A scanned folder. `complete` is false when some of it could not be read: then nobody can say what is gone.
    `others` are files, by their spelling, that are there and take no part."""

    files: dict[str, LocalEntry] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    complete: bool = True
    others: set[str] = field(default_factory=set)


@dataclass
class RemoteTree:
    """A listed folder: files, and folders by their own names, by their spelling. `exists`: whether it is there at all.

    `insensitive`: the server takes `A` and `a` for one name."""

    files: dict[str, RemoteEntry] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)
    exists: bool = True
    insensitive: bool = False


def spelling(path: str) -> str:
    """The one spelling of a path: Unicode's NFC, whatever the disk or the server keeps."""
    return path if path.isascii() else unicodedata.normalize("NFC", path)


def folded(path: str) -> str:
    """What a server that does not tell `A` from `a` takes a path for."""
    return spelling(path.casefold())


def path_fault(path: str) -> str | None:
    """Says why a path, relative to the folder on the server, cannot be used there; None when it can."""
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
    """The paths that a server which does not tell `A` from `a` would take for one, by what it takes them for.

    Folders count: what lies in `a/` and in `A/` ends up in one folder, which harms nobody; two files do."""
    groups: dict[str, list[str]] = {}
    for path in paths:
        groups.setdefault(folded(path), []).append(path)
    return {key: group for key, group in groups.items() if len(group) > 1}
