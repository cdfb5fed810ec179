"""One target during one command: its connections, its root, and what the manifest knows of its files."""

from __future__ import annotations

import posixpath
import threading
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TypeVar

from uploader.artifact import Kind
from uploader.errors import KindUnplaceable, NoSuchRoot, RouteUnavailable, UsageError
from uploader.placement import folder_fault, folder_of, root_fault
from uploader.profile import MOST_CONNECTIONS, Target
from uploader.rate_limit import RateLimiter
from uploader.remote.interface import Connection, Connector
from uploader.remote.limited import limited
from uploader.remote.pool import ConnectionPool
from uploader.retry import ATTEMPTS, Retry
from uploader.scan.models import models
from uploader.scan.tree import RemoteEntry
from uploader.session.placed import tolerant
from uploader.session.session import Session
from uploader.transfer import TransferContext

T = TypeVar("T")


class TargetSession:
    """One target during one command.

    Use it as a context manager: leaving it closes the connections and writes the manifest. No connection opens before
    the first use. `with_connection`, `resolve` and `make_folders` are thread-safe.

    `limit` is in bytes per second. `connections` is how many to use; None means as many as help. `attempts` is how
    often a call is tried. `connector` replaces the SFTP connector of the target.

    Raises RouteUnavailable when the provider has no SFTP. Raises UsageError for an unknown target or an unusable root.
    """

    def __init__(
        self,
        session: Session,
        to: Target | str | None,
        *,
        connections: int | None = None,
        limit: float | None = None,
        attempts: int = ATTEMPTS,
        connector: Connector | None = None,
    ) -> None:
        self.session = session
        self.target = to if isinstance(to, Target) else session.choose_target(to)
        provider, self.webui = session.profiles_of(self.target)
        if not provider.sftp:
            raise RouteUnavailable(provider.reason or f"{provider.name} has no SFTP", remedy=provider.instead)
        if (fault := root_fault(self.target.root)) is not None:
            raise UsageError(f"the root {self.target.root!r} of {self.name} cannot be used: {fault}")
        self.folders = session.folders_of(self.target)
        self.manifest = session.manifests.of(self.name)
        self.cancelled = threading.Event()
        most = min(connections or MOST_CONNECTIONS, provider.quirks.max_connections or MOST_CONNECTIONS)
        up, down = RateLimiter(limit, self.cancelled), RateLimiter(limit, self.cancelled)
        self.pool = ConnectionPool(limited(connector or session.connector(self.target)[0], up, down), most)
        self.transfer = TransferContext(
            self.pool,
            session.uploads,
            session.observer,
            Retry(self.cancelled, session.observer, session.wait, attempts),
            self.cancelled,
            limit=down,
            connections=most if connections else None,
            config=session.config,
        )

    def __enter__(self) -> TargetSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.close()
        tolerant(self.manifest.flush, self.session.observer)

    @property
    def name(self) -> str:
        return self.target.name

    def stop(self) -> None:
        """End all work on the target, from any thread. The bytes that arrived stay."""
        self.cancelled.set()
        self.pool.interrupt()

    def with_connection(self, call: Callable[[Connection], T], progress: Callable[[], int] = int, /) -> T:
        """Lease a connection and run `call`; run it again while its error may pass.

        A retry that follows growing `progress()` counts as the first one.
        """
        return self.transfer.with_connection(call, progress)

    # paths --------------------------------------------------------------------------------------------

    @cached_property
    def root(self) -> str:
        """The absolute root on the server. Raises NoSuchRoot when it is not there."""
        return self.with_connection(self._find_root)

    def resolve(self, path: str) -> str:
        """Return the absolute form of a path that may begin at the login's home folder."""
        return self._resolve(path)

    def below(self, path: str) -> str:
        """Return `path` as an absolute path. Raises UsageError when it leaves the root."""
        bare = path.strip("/")
        if path.startswith("/"):
            if not posixpath.normpath(path).startswith(f"{self.root.rstrip('/')}/"):
                raise UsageError(f"{path} is not below the root {self.root}", remedy="Give a path below the root.")
            bare = posixpath.relpath(posixpath.normpath(path), self.root)
        if (fault := folder_fault(bare)) is not None:
            raise UsageError(f"{path!r} cannot be a path below the root: {fault}", remedy="`uploader ls` lists them.")
        return posixpath.join(self.root, bare)

    def shown(self, path: str) -> str:
        """Return an absolute path relative to the root."""
        return posixpath.relpath(path, self.root)

    def make_folders(self, paths: Iterable[str]) -> None:
        """Make absolute folders and the missing ones above them. Raises RemoteRefused when the server refuses one."""
        wanted: set[str] = set()
        for path in paths:
            while path not in wanted and path != "/":
                wanted.add(path)
                path = posixpath.dirname(path)

        def make(connection: Connection) -> None:
            files, todo = connection.files, sorted(wanted)
            missing = [path for path, entry in zip(todo, files.stat_all(todo), strict=True) if entry is None]
            for depth in sorted({path.count("/") for path in missing}):
                for refused in files.make_folders([path for path in missing if path.count("/") == depth]):
                    if refused is not None:
                        raise refused

        self.with_connection(make)

    # models -------------------------------------------------------------------------------------------

    @cached_property
    def kinds(self) -> dict[str, Kind]:
        """The folders of models below the root, each with the first kind that goes there."""
        kinds: dict[str, Kind] = {}
        for kind in Kind:
            try:
                kinds.setdefault(folder_of(kind, self.webui, self.folders), kind)
            except KindUnplaceable:
                continue
        return kinds

    def models(self) -> dict[str, RemoteEntry]:
        """Return the models in the folders of all kinds, by absolute path."""
        root = self.root
        return self.with_connection(lambda connection: models(connection, root, self.kinds))

    def kind_at(self, path: str) -> Kind | None:
        """Return the kind of the innermost folder of models that holds a path below the root."""
        folder = posixpath.dirname(path)
        while folder:
            if folder in self.kinds:
                return self.kinds[folder]
            folder = posixpath.dirname(folder)
        return None

    @cached_property
    def _resolve(self) -> Callable[[str], str]:
        return self.with_connection(lambda connection: connection.files.resolve)

    def _find_root(self, connection: Connection) -> str:
        root = connection.files.resolve(self.target.root)
        there = connection.files.stat(root)
        if there is None or not there.is_folder:
            raise NoSuchRoot(
                f"the root {self.target.root} is not there", remedy="Is the instance started, and is its root right?"
            )
        return root
