"""Looks once at what a server holds of the things that a plan is about."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from contextlib import suppress

from uploader.commands.push.plan import Item, RemoteListing
from uploader.errors import Busy, RemoteRefused
from uploader.placement import part_name
from uploader.remote.interface import Connection, Entry
from uploader.state.uploads import UploadRecords
from uploader.transfer.chunks import ChunkLayout

_FEW = 2


class RemoteLook:
    """The server's folders as far as they matter, each asked for once."""

    def __init__(
        self, connection: Connection, root: str, uploads: UploadRecords, target: str, chunk_bytes: int
    ) -> None:
        self._files = connection.files
        self._root = connection.files.resolve(root)
        self._uploads = uploads
        self._target = target
        self._chunk_bytes = chunk_bytes
        self._folders: dict[str, bool] = {}
        self._lists: dict[str, dict[str, Entry]] = {}
        self._free: dict[str, int | None] = {}
        self._told_of: dict[str, Entry | RemoteRefused | None] = {}

    def at(self, items: list[Item]) -> list[RemoteListing]:
        """Returns what is there for each item. What the server refuses to tell of one is that one's error."""
        folders = [self._folder(item) for item in items]
        few = [item for item, folder in zip(items, folders, strict=True) if folders.count(folder) <= _FEW]
        self._ask([*folders, *(name for item in few for name in self._names(item))], folders)
        for folder in set(folders):
            # One listing is one answer for all; for a file or two, asking for each is cheaper. Folders that may be
            # entered but not listed exist: there each is asked for.
            if folders.count(folder) > _FEW:
                with suppress(RemoteRefused):
                    self._list(folder)
        return [self._told(item) for item in items]

    def free_bytes(self, items: list[Item]) -> dict[str, int]:
        """The space left on the disk of each item's folder, or of what is there of the way to it: a folder of models
        may well be a link to a larger disk. Without the folders of which the server tells nothing."""
        free: dict[str, int] = {}
        for item in items:
            with suppress(RemoteRefused):
                left = self._free_bytes(self._folder(item))
                if left is not None:
                    free[item.folder] = left
        return free

    def _ask(self, paths: Iterable[str], folders: Iterable[str]) -> None:
        """Asks about many names, and the disks of their folders, in the time of one question."""
        wanted = list(dict.fromkeys(paths))
        entries, spaces = self._files.stat_and_spaces(wanted, disks := list(dict.fromkeys(folders)))
        self._told_of |= zip(wanted, entries, strict=True)
        for folder, space in zip(disks, spaces, strict=True):
            if not isinstance(space, RemoteRefused):
                self._free[folder] = space.free if space is not None else None

    def _stat(self, path: str) -> Entry | None:
        told = self._told_of[path] if path in self._told_of else self._files.stat(path)
        if isinstance(told, RemoteRefused):
            raise told
        return told

    def _names(self, item: Item) -> tuple[str, str]:
        """The final name and the part file's."""
        folder = self._folder(item)
        part = part_name(item.name, item.artifact.identity)
        return posixpath.join(folder, item.name), posixpath.join(folder, part)

    def _free_bytes(self, path: str) -> int | None:
        while not self._is_folder(path) and path != "/":
            path = posixpath.dirname(path)
        if path not in self._free:
            self._free[path] = self._files.free_bytes(path)
        return self._free[path]

    def _list(self, folder: str) -> None:
        if self._is_folder(folder):
            self._lists[folder] = {entry.name: entry for entry in self._files.list_folder(folder)}

    def _told(self, item: Item) -> RemoteListing:
        try:
            return self._one(item)
        except RemoteRefused as error:
            return RemoteListing(error=error)

    def _folder(self, item: Item) -> str:
        return posixpath.join(self._root, item.folder)

    def _one(self, item: Item) -> RemoteListing:
        missing = self._missing(item.folder)
        if missing:
            return RemoteListing(missing=missing)
        folder = self._folder(item)
        final = self._entry(folder, item.name)
        part = self._entry(folder, part_name(item.name, item.artifact.identity))
        return RemoteListing(
            final=final.size if final else None,
            final_is_folder=final.is_folder if final else False,
            part=part.size if part else None,
            claimed=self._claimed(item) if part else 0,
        )

    def _missing(self, folder: str) -> tuple[str, ...]:
        """The folders that are not there, outermost first; the root as ``""``."""
        if self._is_folder(posixpath.join(self._root, folder)):  # mostly so, and then one question is enough
            return ()
        names = [""]
        for name in folder.split("/"):
            names.append(posixpath.join(names[-1], name))
        return tuple(name for name in names if not self._is_folder(posixpath.join(self._root, name).rstrip("/") or "/"))

    def _is_folder(self, path: str) -> bool:
        if path not in self._folders:
            entry = self._stat(path)
            self._folders[path] = entry is not None and entry.is_folder
        return self._folders[path]

    def _entry(self, folder: str, name: str) -> Entry | None:
        listed = self._lists.get(folder)
        if listed is not None:
            entry = listed.get(name)
            if entry is None or not entry.is_link:
                return entry
        return self._stat(posixpath.join(folder, name))

    def _claimed(self, item: Item) -> int:
        size = item.artifact.size
        if size is None:
            return 0
        with suppress(Busy), self._uploads.claim(self._target, self._files.resolve(item.path)) as record:
            chunks = record.load(item.artifact.identity, size, self._chunk_bytes)
            return ChunkLayout(size, self._chunk_bytes).bytes_of(chunks)
        return 0


def make_folders(connection: Connection, path: str) -> None:
    """Makes a folder and whatever is missing above it. Raises RemoteRefused."""
    files = connection.files
    missing: list[str] = []
    while path != "/" and files.stat(path) is None:
        missing.append(path)
        path = posixpath.dirname(path)
    for folder in reversed(missing):
        files.make_folder(folder)
