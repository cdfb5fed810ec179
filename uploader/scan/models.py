"""The models below a target's root, in the folders of their kinds."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from uploader.artifact import Kind
from uploader.errors import RemoteRefused, UploaderError
from uploader.identify import Identity, identify
from uploader.placement import model_extension
from uploader.remote.interface import Connection
from uploader.scan.filters import Filters
from uploader.scan.remote import Folder, list_level, list_tree
from uploader.scan.tree import RemoteEntry

_DEPTH = 4
"""Levels of folders below a folder of models. Users sort their models; a loop of links has to end."""


@dataclass(frozen=True)
class ModelFile:
    """A model or part file. `path` is below the root, `size` in bytes."""

    path: str
    name: str
    size: int

    @property
    def folder(self) -> str:
        return posixpath.dirname(self.path)


class ModelFolders:
    """The model files of one target. `folders` are those of each kind, below the root."""

    def __init__(self, connection: Connection, root: str, folders: Mapping[Kind, str]) -> None:
        self._connection = connection
        self._root = connection.files.resolve(root)
        self._folders = folders

    def files(self) -> list[ModelFile]:
        """Return all files that are models by their names, or part files, in the order of their paths.

        They lie in the root itself, or below the folders of all kinds and the folder that holds those (`models/`).
        A folder that is missing or may not be listed counts as empty.
        """
        tops = {folder.split("/")[0] if folder.count("/") == 1 else folder for folder in self._folders.values()}
        found: dict[str, ModelFile] = {}
        level, listed = [Folder(path) for path in ("", *sorted(tops))], {""}
        for _ in range(_DEPTH + 1):
            if not level:
                break
            entries, _refused = list_level(self._connection, self._root, level, nested_links=True)
            listed |= {folder.path for folder in level}
            level = []
            for path, entry, linked in entries:
                name = posixpath.basename(path)
                if name.startswith("."):
                    continue
                if not entry.is_folder:
                    if model_extension(name) is not None or name.endswith(".part"):
                        found[path] = ModelFile(path, name, entry.size)
                elif "/" in path and path not in listed:
                    level.append(Folder(path, linked))
        return sorted(found.values(), key=lambda file: ("/" in file.path, file.path.split("/")))

    def kinds_at(self, file: ModelFile) -> tuple[Kind, ...]:
        """Return the kinds whose folder holds a file."""
        return tuple(
            kind
            for kind, folder in self._folders.items()
            if file.folder == folder or file.folder.startswith(f"{folder}/")
        )

    def identity(self, file: ModelFile) -> Identity | UploaderError:
        """Return what a file is by its own bytes, or the error of a server that refuses to read it."""
        path = posixpath.join(self._root, file.path)

        def read(offset: int, length: int) -> bytes:
            return b"".join(self._connection.files.read(path, [(offset, min(length, max(0, file.size - offset)))]))

        try:
            return identify(read, file.size, file.name)
        except RemoteRefused as error:
            return error


def models(connection: Connection, root: str, folders: Iterable[str]) -> dict[str, RemoteEntry]:
    """Return the models in `folders`, which are below the absolute `root`, by absolute path."""
    folders = list(folders)
    outer = [folder for folder in folders if not any(folder.startswith(f"{other}/") for other in folders)]
    tree = list_tree(connection, root, Filters(), outer)
    return {posixpath.join(root, there.path): there for there in tree.files.values() if model_extension(there.path)}
