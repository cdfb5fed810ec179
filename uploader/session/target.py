"""A visit to one target by a verb that looks and tidies: its connection, its root, its folders of models."""

from __future__ import annotations

import posixpath
import threading
from collections.abc import Callable
from typing import TypeVar

from uploader.artifact import Kind
from uploader.errors import KindUnplaceable, NoSuchRoot, RouteUnavailable, UsageError
from uploader.placement import folder_fault, folder_of, root_fault
from uploader.profile import MOST_CONNECTIONS, Target
from uploader.remote.interface import Connection
from uploader.remote.pool import ConnectionPool
from uploader.retry import Retry
from uploader.scan.models import models
from uploader.scan.tree import RemoteEntry
from uploader.session.session import Session

T = TypeVar("T")


class TargetSession:
    """Connections to one target as long as a `with` block lasts. Raises UsageError, RouteUnavailable."""

    def __init__(self, session: Session, to: str | None) -> None:
        self.session = session
        self.target: Target = session.choose_target(to)
        provider, self.webui = session.profiles_of(self.target)
        if not provider.sftp:
            raise RouteUnavailable(provider.reason or f"{provider.name} has no SFTP", remedy=provider.instead)
        if (fault := root_fault(self.target.root)) is not None:
            raise UsageError(f"the root {self.target.root!r} of {self.target.name} cannot be used: {fault}")
        folders = session.folders_of(self.target)
        self.kinds: dict[str, Kind] = {}
        """The folders of models below the root, each with the first kind that goes there."""
        for kind in Kind:
            try:
                self.kinds.setdefault(folder_of(kind, self.webui, folders), kind)
            except KindUnplaceable:
                continue
        self.manifest = session.manifests.of(self.target.name)
        self.cancelled = threading.Event()
        self.retry = Retry(self.cancelled, session.observer, session.wait)
        self.pool = ConnectionPool(
            session.connector(self.target)[0], provider.quirks.max_connections or MOST_CONNECTIONS
        )
        self._root: str | None = None

    def __enter__(self) -> TargetSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.close()
        self.manifest.flush()

    def using(self, call: Callable[[Connection], T], /) -> T:
        """Runs a call with a connection, again when the line fails."""

        def attempt() -> T:
            with self.pool.lease() as connection:
                return call(connection)

        return self.retry(attempt)

    @property
    def root(self) -> str:
        """The target's root as the server resolves it. Raises NoSuchRoot when it is not there."""
        if self._root is None:
            self._root = self.using(self._look_for_root)
        return self._root

    def below(self, path: str) -> str:
        """The absolute path of one below the root. Raises UsageError for one that would lead out of it."""
        bare = path.strip("/")
        if path.startswith("/"):
            if not posixpath.normpath(path).startswith(f"{self.root.rstrip('/')}/"):
                raise UsageError(f"{path} is not below the root {self.root}", remedy="Give a path below the root.")
            bare = posixpath.relpath(posixpath.normpath(path), self.root)
        if (fault := folder_fault(bare)) is not None:
            raise UsageError(f"{path!r} cannot be a path below the root: {fault}", remedy="`uploader ls` lists them.")
        return posixpath.join(self.root, bare)

    def shown(self, path: str) -> str:
        """A path as it is below the root."""
        return posixpath.relpath(path, self.root)

    def models(self) -> dict[str, RemoteEntry]:
        """The models in the folders of all kinds, by absolute path."""
        root = self.root
        return self.using(lambda connection: models(connection, root, self.kinds))

    def kind_at(self, path: str) -> Kind | None:
        """The kind of the folder, below the root, that a path below the root lies in: the innermost."""
        folder = posixpath.dirname(path)
        while folder:
            if folder in self.kinds:
                return self.kinds[folder]
            folder = posixpath.dirname(folder)
        return None

    def _look_for_root(self, connection: Connection) -> str:
        root = connection.files.resolve(self.target.root)
        there = connection.files.stat(root)
        if there is None or not there.is_folder:
            raise NoSuchRoot(
                f"the root {self.target.root} is not there", remedy="Is the instance started, and is its root right?"
            )
        return root
