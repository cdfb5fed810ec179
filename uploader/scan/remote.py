"""Walk of a folder on the server, level by level: one round trip lists all folders of a level."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from typing import NamedTuple

from uploader.errors import RemoteMissing, RemoteRefused
from uploader.remote.interface import Connection, Entry
from uploader.scan.filters import Filters
from uploader.scan.tree import RemoteEntry, RemoteTree, spelling

_DEEPEST = 64
"""Folders within folders. Deeper ones come from a link that leads in circles."""


class Folder(NamedTuple):
    """A folder below the base. `linked`: a link led there."""

    path: str
    linked: bool = False


class Found(NamedTuple):
    """What lies in a listed folder. `entry` is what a link leads to; `path` is below the base."""

    path: str
    entry: Entry
    linked: bool


def list_tree(
    connection: Connection,
    base: str,
    filters: Filters,
    starts: Sequence[str] = ("",),
    *,
    concerns: Callable[[str], bool] = lambda _folder: True,
) -> RemoteTree:
    """Return what lies below the absolute folder `base` and takes part. A base that is missing is an empty tree.

    Only the folders `starts` are listed, and of the folders below them only those that `concerns` accepts. A link is
    followed, except inside a folder that a link led to. Raises RemoteRefused for a folder that may not be listed.
    """
    tree = RemoteTree()
    level = [Folder(start) for start in starts]
    for depth in range(_DEEPEST):
        if not level:
            break
        found, refused = list_level(connection, base, level)
        for folder, error in refused.items():
            if depth or not isinstance(error, RemoteMissing):
                raise error
            tree.exists = tree.exists and bool(folder)
        level = [
            Folder(path, linked)
            for path, entry, linked in found
            if _take(tree, filters, path, entry) and concerns(spelling(path))
        ]
    return tree


def list_level(
    connection: Connection, base: str, folders: Sequence[Folder], *, nested_links: bool = False
) -> tuple[list[Found], dict[str, RemoteRefused]]:
    """List some folders below `base`. Return what they hold, and why some of them could not be listed.

    Costs one round trip, and one more when there are links. `nested_links`: follow a link also inside a folder that
    a link led to.
    """
    files = connection.files
    found: list[Found] = []
    links: list[str] = []
    refused: dict[str, RemoteRefused] = {}
    listed = files.list_folders([_joined(base, folder) for folder, _ in folders])
    for (folder, linked), entries in zip(folders, listed, strict=True):
        if isinstance(entries, RemoteRefused):
            refused[folder] = entries
            continue
        for entry in entries:
            path = posixpath.join(folder, entry.name)
            if not entry.is_link:
                found.append(Found(path, entry, linked))
            elif nested_links or not linked:
                links.append(path)
    there = files.stat_all([_joined(base, path) for path in links]) if links else []
    found += [Found(path, it, linked=True) for path, it in zip(links, there, strict=True) if isinstance(it, Entry)]
    return found, refused


def is_insensitive(connection: Connection, path: str) -> bool:
    """Return True if the server takes `A` and `a` for one name. `path` is a folder that exists.

    Names in the folder tell, else its own name. Return False when none of them has a letter.
    """
    for folder in dict.fromkeys((path, posixpath.dirname(path))):
        found = connection.files.list_folders([folder])[0]
        if isinstance(found, RemoteRefused):
            continue
        names = {entry.name for entry in found}
        for name in sorted(names):
            if (other := name.swapcase()).swapcase() == name != other and other not in names:
                return isinstance(connection.files.stat_all([posixpath.join(folder, other)])[0], Entry)
    return False


def _take(tree: RemoteTree, filters: Filters, path: str, entry: Entry) -> bool:
    """Add an entry to the tree. Return True for a folder that has to be listed, too."""
    if entry.is_folder:
        if filters.leaves_out(path):
            return False
        tree.folders.setdefault(spelling(path), path)
        return True
    if filters.takes(path) and (spelling(path) not in tree.files or path == spelling(path)):
        # When both spellings of a name exist, this is the one that this program writes.
        tree.files[spelling(path)] = RemoteEntry(path, entry.size, entry.mtime)
    return False


def _joined(base: str, path: str) -> str:
    return posixpath.join(base, path) if path else base
