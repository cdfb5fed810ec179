"""The files below a target's model folders, as far as a WebUI could care for them."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from uploader.artifact import Kind
from uploader.errors import RemoteRefused, UploaderError
from uploader.identify import Identity, identify
from uploader.placement import model_extension
from uploader.remote.interface import Connection, Entry
from uploader.scan.filters import Filters
from uploader.scan.remote import list_tree
from uploader.scan.tree import RemoteEntry

_DEPTH = 4
"""Folders below folders: people sort their models, and nothing on a server may keep us walking."""


@dataclass(frozen=True)
class ModelFile:
    """A file. `path` is below the root, `size` in bytes."""

    path: str
    name: str
    size: int

    @property
    def folder(self) -> str:
        return posixpath.dirname(self.path)


class ModelFolders:
    """The disk of one target. `folders` are where each kind belongs, below the root."""

    def __init__(self, connection: Connection, root: str, folders: Mapping[Kind, str]) -> None:
        self._files = connection.files
        self._root = connection.files.resolve(root)
        self._folders = folders

    def files(self) -> Iterator[ModelFile]:
        """Every file that is a model by its name, or a part of one, once: below the folders of all kinds, below the
        folder that holds those (`models/`), and in the root itself."""
        tops = {folder.split("/")[0] if folder.count("/") == 1 else folder for folder in self._folders.values()}
        seen: set[str] = set()
        for top, depth in [("", 0), *((top, _DEPTH) for top in sorted(tops))]:
            for file in self._walk(top, depth):
                if file.path not in seen:
                    seen.add(file.path)
                    yield file

    def kinds_at(self, file: ModelFile) -> tuple[Kind, ...]:
        """The kinds whose folder a file lies in."""
        return tuple(
            kind
            for kind, folder in self._folders.items()
            if file.folder == folder or file.folder.startswith(f"{folder}/")
        )

    def identity(self, file: ModelFile) -> Identity | UploaderError:
        """What a file is by its own bytes; why it cannot be read, where the server refuses that."""
        path = posixpath.join(self._root, file.path)

        def read(offset: int, length: int) -> bytes:
            return b"".join(self._files.read(path, [(offset, min(length, max(0, file.size - offset)))]))

        try:
            return identify(read, file.size, file.name)
        except RemoteRefused as error:
            return error

    def _walk(self, folder: str, depth: int) -> Iterator[ModelFile]:
        try:
            entries = self._files.list_folder(posixpath.join(self._root, folder) if folder else self._root)
        except RemoteRefused:  # not there, or not ours to look into: then the WebUI's files are not there either
            return
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith("."):
                continue
            path = posixpath.join(folder, entry.name)
            known = self._followed(path, entry)
            if known is None:
                continue
            if not known.is_folder:
                if model_extension(entry.name) is not None or entry.name.endswith(".part"):
                    yield ModelFile(path, entry.name, known.size)
            elif depth > 0:
                yield from self._walk(path, depth - 1)

    def _followed(self, path: str, entry: Entry) -> Entry | None:
        if not entry.is_link:
            return entry
        try:
            return self._files.stat(posixpath.join(self._root, path))
        except RemoteRefused:
            return None


def models(connection: Connection, root: str, folders: Iterable[str]) -> dict[str, RemoteEntry]:
    """The models in `folders` (below the absolute `root`), by absolute path."""
    folders = list(folders)
    outer = [folder for folder in folders if not any(folder.startswith(f"{other}/") for other in folders)]
    tree = list_tree(connection, root, Filters(), outer)
    return {posixpath.join(root, there.path): there for there in tree.files.values() if model_extension(there.path)}
