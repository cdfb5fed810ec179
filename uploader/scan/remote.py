"""Lists a folder of the server with all below it: level by level, all folders of a level with one wait."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence

from uploader.errors import RemoteMissing, RemoteRefused
from uploader.remote.interface import Connection, Entry, Files
from uploader.scan.filters import Filters
from uploader.scan.tree import RemoteEntry, RemoteTree, spelling

_DEEPEST = 64
"""Folders within folders: beyond that a link leads in circles."""


def list_tree(
    connection: Connection,
    base: str,
    filters: Filters,
    starts: Sequence[str] = ("",),
    *,
    concerns: Callable[[str], bool] = lambda _folder: True,
) -> RemoteTree:
    """Returns what lies below the absolute folder `base` and takes part; of its folders `starts` alone, where such are
    given, and those further down that `concerns` is true of. A base that is not there is an empty tree.

    Links are followed, though not from within a folder that was reached by one: what they lead to lies below `base`
    for whoever uses it. Raises RemoteRefused for a folder that may not be listed.
    """
    tree = RemoteTree()
    level = [(start, False) for start in starts]  # a folder below base, and whether a link led there
    for depth in range(_DEEPEST):
        if level:
            found = _level(connection.files, tree, base, filters, level, missing_ok=depth == 0)
            level = [(folder, linked) for folder, linked in found if concerns(spelling(folder))]
    return tree


def _level(
    files: Files, tree: RemoteTree, base: str, filters: Filters, level: Sequence[tuple[str, bool]], *, missing_ok: bool
) -> list[tuple[str, bool]]:
    """Lists some folders. Returns those that are to be listed next."""
    links: list[str] = []
    below: list[tuple[str, bool]] = []
    found = files.list_folders([_joined(base, folder) for folder, _ in level])
    for (folder, linked), entries in zip(level, found, strict=True):
        if isinstance(entries, RemoteMissing) and missing_ok:
            tree.exists = tree.exists and bool(folder)
            continue
        if isinstance(entries, RemoteRefused):
            raise entries
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_link:
                links += [] if linked else [path]
            elif _take(tree, filters, path, entry):
                below.append((path, linked))
    for path, there in zip(links, files.stat_all([_joined(base, path) for path in links]), strict=True):
        if isinstance(there, Entry) and _take(tree, filters, path, there):
            below.append((path, True))
    return below


def is_insensitive(connection: Connection, path: str) -> bool:
    """Whether the server takes `A` and `a` for one name; `path` is a folder that is there. Told by a name in it, else
    by its own; False where none has a letter to tell by."""
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
    """Puts what was found into the tree. True for a folder that is to be listed as well."""
    if entry.is_folder:
        if filters.leaves_out(path):
            return False
        tree.folders.setdefault(spelling(path), path)
        return True
    if filters.takes(path) and (spelling(path) not in tree.files or path == spelling(path)):
        # Where both spellings of a name are there, the one that this program writes is the one it speaks of.
        tree.files[spelling(path)] = RemoteEntry(path, entry.size, entry.mtime)
    return False


def _joined(base: str, path: str) -> str:
    return posixpath.join(base, path) if path else base
