"""A folder, and a server in memory: a whole sync without a connection."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.remote_memory import MemoryConnection, MemoryConnector, MemoryFiles, MemoryServer
from uploader.commands.sync.decide import SyncStep
from uploader.commands.sync.plan import choose_place
from uploader.commands.sync.request import SyncRequest
from uploader.commands.sync.run import Sync
from uploader.errors import NetworkError
from uploader.events import Event
from uploader.profile import Target
from uploader.result import Outcome, Report
from uploader.session.session import Session
from uploader.session.target import TargetSession
from uploader.steps import Plan

ROOT = "/home/user/webui"
NOON = 1_790_000_000
"""A time in the past, in seconds since 1970."""


def at_once(seconds: float) -> bool:
    return False


@dataclass
class Bench:
    """`disk` is the folder to sync. `cuts` has numbers of operations after which a connection is lost."""

    base: Path
    server: MemoryServer = field(default_factory=MemoryServer)
    into: str | None = ""
    cuts: list[int] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.disk = self.base / "disk"
        self.disk.mkdir()
        self.server.make_folders(ROOT)
        self.target = Target("canvas", "generic", "a1111", "host", "webui")

    def write(self, path: str, data: bytes, mtime: float = NOON) -> Path:
        """Write a file into the folder, with the mtime `mtime` (seconds)."""
        file = self.disk / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        os.utime(file, ns=(int(mtime * 1e9), int(mtime * 1e9)))
        return file

    def put(self, path: str, data: bytes, mtime: int = NOON) -> None:
        """Put the file of another person onto the server."""
        whole = f"{ROOT}/{path}"
        self.server.make_folders(os.path.dirname(whole))  # noqa: PTH120 - a path of the server
        self.server.files[whole] = bytearray(data)
        self.server.mtimes[whole] = mtime

    def request(self, **options: Any) -> SyncRequest:
        return SyncRequest(str(self.disk), into=None if options.get("by_kind") else self.into, **options)

    @contextmanager
    def syncing(self, **options: Any) -> Iterator[Sync]:
        session = Session(
            environ={}, prompter=None, observer=self.events.append, state=self.base / "state", wait=at_once
        )
        request = self.request(**options)
        with TargetSession(session, self.target, connector=Cutting(self.server, self.cuts)) as target:
            yield Sync(request, target, choose_place(request, target))

    def plan(self, **options: Any) -> Plan[SyncStep]:
        with self.syncing(**options) as syncing:
            return syncing.plan()

    def actions(self, **options: Any) -> dict[str, str]:
        """Return what a sync would do with each key."""
        return {step.key: str(step.action) for step in self.plan(**options).steps}

    def sync(self, **options: Any) -> Report:
        with self.syncing(**options) as syncing:
            return syncing.carry_out(syncing.plan())

    def outcomes(self, **options: Any) -> dict[str, Outcome]:
        return {outcome.path or "": outcome for outcome in self.sync(**options).outcomes}

    def statuses(self, **options: Any) -> dict[str, str]:
        return {path: outcome.status for path, outcome in self.outcomes(**options).items()}

    @property
    def here(self) -> dict[str, bytes]:
        return {
            path.relative_to(self.disk).as_posix(): path.read_bytes() for path in self.disk.rglob("*") if path.is_file()
        }

    @property
    def there(self) -> dict[str, bytes]:
        """Return the files that the server has below the root."""
        return {
            path.removeprefix(f"{ROOT}/"): bytes(data)
            for path, data in self.server.files.items()
            if path.startswith(f"{ROOT}/")
        }


class Cutting(MemoryConnector):
    """Connections that are lost after a number of operations: each uses the next number of `cuts`."""

    def __init__(self, server: MemoryServer, cuts: list[int]) -> None:
        super().__init__(server)
        self.cuts = cuts

    def connect(self) -> MemoryConnection:
        connection = super().connect()
        if self.cuts:
            connection.check = Fuse(self.cuts.pop(0), connection)  # type: ignore[method-assign]
            connection.files = Late(connection, None)
        return connection


class Late(MemoryFiles):
    """Files of a connection that may also be lost after an operation and before its answer."""

    def replace(self, source: str, destination: str) -> bool:
        done = super().replace(source, destination)
        self.connection.check()
        return done

    def remove(self, path: str) -> None:
        super().remove(path)
        self.connection.check()


class Fuse:
    """A check of a connection that allows a number of operations."""

    def __init__(self, left: int, connection: MemoryConnection) -> None:
        self.left = left
        self.check: Callable[[], None] = connection.check
        self.connection = connection

    def __call__(self) -> None:
        self.left -= 1
        if self.left < 0:
            self.connection.interrupt()
            raise NetworkError("the connection to memory was lost")
        self.check()
