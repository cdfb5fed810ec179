"""What a server has of the items of one push, listed in as few round trips as possible."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from uploader.artifact import WebFile
from uploader.commands.push.plan import Item, RemoteListing
from uploader.commands.push.request import PushRequest
from uploader.commands.push.server_route import settle, with_job
from uploader.errors import Busy, RemoteRefused
from uploader.events import Message
from uploader.placement import part_name
from uploader.remote.interface import Connection, Entry
from uploader.session.target import TargetSession
from uploader.state.manifest import Manifest, PlacedFile
from uploader.state.uploads import UploadRecords
from uploader.transfer.chunks import ChunkLayout

_FEW = 2
"""Largest number of files of one folder to stat one by one. For more, one listing of the folder is cheaper."""


@dataclass(frozen=True)
class RemoteState:
    """What one look at a server found: the items with their routes, their listings, and each folder's free bytes.

    `shell`: the server runs commands, and there are links that it could download.
    """

    items: Sequence[Item]
    listings: Sequence[RemoteListing]
    free: Mapping[str, int]
    shell: bool


def look(target: TargetSession, items: Sequence[Item], request: PushRequest, connection: Connection) -> RemoteState:
    """List what the server has of the items. Raises UploaderError when the server answers nothing at all."""
    chunk_bytes = target.transfer.config.chunk_bytes
    remote = RemoteLook(
        connection, target.target.root, target.name, target.transfer.uploads, target.manifest, chunk_bytes
    )
    settled = settle(connection, items, request, target.session)
    routed = [item for item, _ in settled]
    listings = [
        with_job(connection, item, listing) if error is None else RemoteListing(error=error)
        for (item, error), listing in zip(settled, remote.at(routed), strict=True)
    ]
    links = any(isinstance(item.artifact.origin, WebFile) for item in items)
    state = RemoteState(routed, listings, remote.free_bytes(routed), links and connection.abilities.shell)
    facts = connection.facts  # the requests above filled them
    shell = f"a shell ({', '.join(facts.tools)})" if facts.shell else "no shell"
    target.session.observer(Message(f"connected to {target.name}: {facts.software}, {shell}", "debug"))
    return state


class RemoteLook:
    """The server's folders that the items need, each requested once."""

    def __init__(
        self,
        connection: Connection,
        root: str,
        target: str,
        uploads: UploadRecords,
        manifest: Manifest,
        chunk_bytes: int,
    ) -> None:
        self._files = connection.files
        self._root = connection.files.resolve(root)
        self._uploads = uploads
        self._target = target
        self._manifest = manifest
        self._chunk_bytes = chunk_bytes
        self._folders: dict[str, bool] = {}
        self._lists: dict[str, dict[str, Entry]] = {}
        self._free: dict[str, int | None] = {}
        self._told_of: dict[str, Entry | RemoteRefused | None] = {}

    def at(self, items: Sequence[Item]) -> list[RemoteListing]:
        """Return the listing of each item. A refusal about one item is the error of that item only."""
        folders = [self._folder(item) for item in items]
        few = [item for item, folder in zip(items, folders, strict=True) if folders.count(folder) <= _FEW]
        self._ask([*folders, *(name for item in few for name in self._names(item))], folders)
        for folder in set(folders):
            # An account may enter a folder that it may not list; then stat each file.
            if folders.count(folder) > _FEW:
                with suppress(RemoteRefused):
                    self._list(folder)
        return [self._told(item) for item in items]

    def free_bytes(self, items: Sequence[Item]) -> dict[str, int]:
        """Return the free bytes on the disk of each item's folder, else of the nearest folder above it.

        A folder of models may be a link to a larger disk. Folders with unknown free space are left out.
        """
        free: dict[str, int] = {}
        for item in items:
            with suppress(RemoteRefused):
                left = self._free_bytes(self._folder(item))
                if left is not None:
                    free[item.folder] = left
        return free

    def _ask(self, paths: Iterable[str], folders: Iterable[str]) -> None:
        """Request many names, and the disks of their folders, in one round trip."""
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
        """Return the final path and the path of the part file."""
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
            known=self._known(item, final),
            part=part.size if part else None,
            claimed=self._claimed(item) if part else 0,
        )

    def _missing(self, folder: str) -> tuple[str, ...]:
        """Return the missing folders, outermost first, the root as ``""``."""
        if self._is_folder(posixpath.join(self._root, folder)):  # the usual case takes one request
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

    def _known(self, item: Item, final: Entry | None) -> PlacedFile | None:
        """Return the manifest's entry for the file, if the server reports an mtime and it is the recorded one."""
        if final is None or final.mtime is None:
            return None
        known = self._manifest.get(self._files.resolve(item.path))
        return known if known is not None and known.is_still(final.size, final.mtime) else None

    def _claimed(self, item: Item) -> int:
        size = item.artifact.size
        if size is None:
            return 0
        with suppress(Busy), self._uploads.claim(self._target, self._files.resolve(item.path)) as record:
            chunks = record.load(item.artifact.identity, size, self._chunk_bytes)
            return ChunkLayout(size, self._chunk_bytes).bytes_of(chunks)
        return 0
