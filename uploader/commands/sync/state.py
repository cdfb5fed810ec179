"""The input of a decision: both sides of a sync, the manifest, and what the user allows."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from uploader.artifact import Kind
from uploader.profile import WebUI
from uploader.scan.tree import LocalTree, RemoteEntry, RemoteTree, folded
from uploader.state.manifest import PlacedFile


@dataclass(frozen=True)
class SyncOptions:
    """What the user allows.

    `max_delete` None allows `MOST_DELETED` files, and at most half of those placed from here.
    """

    replace: bool = False
    checksum: bool = False
    delete: bool = False
    trash: bool = False
    max_delete: int | None = None


@dataclass(frozen=True)
class SyncState:
    """Both sides of a sync.

    The keys of both trees are paths below `base`, an absolute folder on the server. `folder` is the absolute local
    folder. `known` is the manifest. `elsewhere` has files that it knows outside of the listing, as they are now.
    `takes` returns True if a path below `folder` takes part. `duplicates` is True if the server can copy a file.
    """

    base: str
    folder: str
    local: LocalTree
    remote: RemoteTree
    known: Mapping[str, PlacedFile]
    elsewhere: Mapping[str, RemoteEntry] = field(default_factory=dict)
    takes: Callable[[str], bool] = lambda _path: True
    duplicates: bool = False

    def there(self, key: str) -> RemoteEntry | None:
        """Return the server's file of a key; None when there is none."""
        found = self.remote.files.get(key)
        if found is None and self.remote.insensitive:
            return self._by_fold.get(folded(key))
        return found

    def path(self, key: str) -> str:
        """Return the absolute path of a key. Existing folders and files are spelled as on the server."""
        found = self.there(key)
        if found is not None:
            return posixpath.join(self.base, found.path)
        *_, name = key.rpartition("/")
        return posixpath.join(self.base, self._folder(key.rpartition("/")[0]), name)

    def folder_there(self, key: str) -> bool:
        """Return True if the server has a folder of that name."""
        return key in self.remote.folders or (self.remote.insensitive and folded(key) in self._folders_by_fold)

    def of_manifest(self, there: RemoteEntry) -> PlacedFile | None:
        """Return what the manifest knows of a server's file; None when the file has changed since."""
        known = self.known.get(posixpath.join(self.base, there.path))
        return known if known is not None and known.is_still(there.size, there.mtime) else None

    def origin(self, known: PlacedFile) -> str | None:
        """Return the path below `folder` that a file came from; None when it came from elsewhere."""
        if known.origin is None:
            return None
        path = Path(known.origin)
        return path.relative_to(self.folder).as_posix() if path.is_relative_to(self.folder) else None

    def is_ours(self, known: PlacedFile) -> bool:
        """Return True if this program placed the file from this folder, and the file still takes part."""
        origin = self.origin(known) if known.placed and known.seen is not None else None
        return origin is not None and self.takes(origin)

    def _folder(self, key: str) -> str:
        if not key:
            return ""
        actual = self.remote.folders.get(key)
        if actual is None and self.remote.insensitive:
            actual = self._folders_by_fold.get(folded(key))
        above, _, name = key.rpartition("/")
        return actual if actual is not None else posixpath.join(self._folder(above), name)

    @cached_property
    def _by_fold(self) -> dict[str, RemoteEntry]:
        return {folded(key): there for key, there in self.remote.files.items()}

    @cached_property
    def _folders_by_fold(self) -> dict[str, str]:
        return {folded(key): actual for key, actual in self.remote.folders.items()}


@dataclass(frozen=True)
class Place:
    """The destination of a sync. `into` is below the root; None sorts by kind, into the folders of `webui`."""

    root: str
    into: str | None
    webui: WebUI
    folders: Mapping[Kind, str]
