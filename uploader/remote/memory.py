"""The reference implementation: a server in memory that keeps every obligation of the interface."""

from __future__ import annotations

import hashlib
import posixpath
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from uploader.errors import NetworkError, NoPermission, NoSpace, RemoteExists, RemoteMissing, RemoteRefused
from uploader.remote.interface import Entry, Range, ServerFacts, Shell

_FACTS = ServerFacts("memory", "SHA256:memory", "none", "none", "/home/user", False, (), (), 32 * 1024)


@dataclass
class MemoryServer:
    """What the server holds, and what it is like. `cut_after` ends a connection after so many written bytes."""

    files: dict[str, bytearray] = field(default_factory=dict)
    folders: set[str] = field(default_factory=lambda: {"/", "/home", "/home/user"})
    facts: ServerFacts = _FACTS
    hashes: bool = False
    readable: bool = True
    space: int | None = None
    cut_after: list[int] = field(default_factory=list)
    connects: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)

    def make_folders(self, path: str) -> None:
        """Makes a folder and all above it."""
        while path not in self.folders:
            self.folders.add(path)
            path = posixpath.dirname(path)

    def free(self) -> int | None:
        """What is left of `space`, in bytes."""
        return None if self.space is None else self.space - sum(map(len, self.files.values()))


class MemoryConnector:
    """Opens connections to a MemoryServer; each takes the next of its `cut_after`."""

    def __init__(self, server: MemoryServer) -> None:
        self.server = server

    def connect(self) -> MemoryConnection:
        with self.server.lock:
            self.server.connects += 1
            cut = self.server.cut_after.pop(0) if self.server.cut_after else None
        return MemoryConnection(self.server, cut)


class MemoryConnection:
    """One login on the server in memory."""

    def __init__(self, server: MemoryServer, cut: int | None) -> None:
        self.server = server
        self.facts = replace(server.facts, shell=server.hashes)
        self.files = MemoryFiles(self, cut)
        self.alive = True
        self.writers: set[MemoryWriter] = set()

    @property
    def settled(self) -> bool:
        return not self.writers

    @property
    def shell(self) -> Shell | None:
        """It hashes, and runs nothing else."""
        return None

    def hashes(self, path: str, ranges: Sequence[Range]) -> list[str] | None:
        self.check()
        if not self.server.hashes or path not in self.server.files:
            return None
        data = self.server.files[path]
        return [hashlib.sha256(data[offset : offset + length]).hexdigest() for offset, length in ranges]

    def hash_along(self, path: str) -> MemoryAlong | None:
        self.check()
        return MemoryAlong(self, path) if self.server.hashes else None

    def interrupt(self) -> None:
        self.alive = False

    def close(self) -> None:
        self.alive = False

    def check(self) -> None:
        """Raises NetworkError once the connection has ended."""
        if not self.alive:
            raise NetworkError("the connection to memory was lost")


class MemoryAlong:
    """Hashes what was reached when it is asked for."""

    def __init__(self, connection: MemoryConnection, path: str) -> None:
        self._connection = connection
        self._path = path
        self._reached = 0

    def reached(self, size: int) -> None:
        self._reached = max(self._reached, size)

    def finish(self) -> str | None:
        held = self._connection.server.files.get(self._path, bytearray())
        if not self._connection.alive or len(held) < self._reached:
            return None
        return hashlib.sha256(held[: self._reached]).hexdigest()

    def close(self) -> None:
        """Nothing goes on in between."""


class MemoryFiles:
    """The files of one connection."""

    def __init__(self, connection: MemoryConnection, cut: int | None) -> None:
        self.connection = connection
        self.server = connection.server
        self.home = self.server.facts.home
        self.left = cut

    def resolve(self, path: str) -> str:
        absolute = posixpath.normpath(posixpath.join(self.home, path))
        return absolute.removeprefix("/") if absolute.startswith("//") else absolute

    def stat(self, path: str) -> Entry | None:
        self.connection.check()
        if path in self.server.folders:
            return Entry(posixpath.basename(path), 0, None, is_folder=True)
        data = self.server.files.get(path)
        return None if data is None else Entry(posixpath.basename(path), len(data), None, is_folder=False)

    def list_folder(self, path: str) -> list[Entry]:
        self.connection.check()
        if path not in self.server.folders:
            raise RemoteMissing(f"cannot list {path}: there is no such folder")
        inside = [name for name in (*self.server.folders, *self.server.files) if posixpath.dirname(name) == path]
        return [entry for name in inside if name != path and (entry := self.stat(name)) is not None]

    def make_folder(self, path: str) -> None:
        self._parent(path)
        if path in self.server.files:
            raise RemoteRefused(f"cannot make the folder {path}: a file has that name")
        self.server.folders.add(path)

    def open_writer(self, path: str, *, fresh: bool) -> MemoryWriter:
        self._parent(path)
        if path in self.server.folders:
            raise RemoteRefused(f"cannot write to {path}: it is a folder")
        with self.server.lock:
            if fresh or path not in self.server.files:
                self.server.files[path] = bytearray()
        return MemoryWriter(self, path)

    def read(self, path: str, ranges: Sequence[Range]) -> Iterator[bytes]:
        self.connection.check()
        if path not in self.server.files:
            raise RemoteMissing(f"cannot read {path}: there is no such file")
        if not self.server.readable:
            raise NoPermission(f"cannot read {path}: the server does not permit it")
        for offset, length in ranges:
            self.connection.check()
            yield bytes(self.server.files[path][offset : offset + length])

    def rename(self, source: str, destination: str) -> None:
        if self.stat(destination) is not None:
            raise RemoteExists(f"cannot rename to {destination}: that name is taken")
        self.replace(source, destination)

    def replace(self, source: str, destination: str) -> bool:
        self.connection.check()
        self._parent(destination)
        if destination in self.server.folders:
            raise RemoteRefused(f"cannot rename to {destination}: it is a folder")
        with self.server.lock:
            if source not in self.server.files:
                raise RemoteMissing(f"cannot rename {source}: there is no such file")
            self.server.files[destination] = self.server.files.pop(source)
        return True

    def remove(self, path: str) -> None:
        self.connection.check()
        if path in self.server.folders:
            raise RemoteRefused(f"cannot remove {path}: it is a folder")
        self.server.files.pop(path, None)

    def free_bytes(self, path: str) -> int | None:  # noqa: ARG002 - one disk for all
        self.connection.check()
        return self.server.free()

    def _parent(self, path: str) -> None:
        self.connection.check()
        if posixpath.dirname(path) not in self.server.folders:
            raise RemoteMissing(f"cannot use {path}: its folder is not there")


class MemoryWriter:
    """A file open for writing; a write is acknowledged when it is reaped."""

    request_bytes = 32 * 1024

    def __init__(self, files: MemoryFiles, path: str) -> None:
        self._files = files
        self._path = path
        self._sent: list[Range] = []
        self._full = False
        files.connection.writers.add(self)

    @property
    def pending(self) -> int:
        return sum(length for _, length in self._sent)

    def send(self, offset: int, data: bytes | memoryview) -> None:
        files, server = self._files, self._files.server
        files.connection.check()
        if files.left is not None:
            files.left -= len(data)
            if files.left < 0:
                files.connection.interrupt()
                files.connection.check()
        with server.lock:
            held = server.files[self._path]
            free = server.free()
            if free is not None and max(0, offset + len(data) - len(held)) > free:
                self._full = True
            else:
                held.extend(bytes(max(0, offset - len(held))))
                held[offset : offset + len(data)] = data
        self._sent.append((offset, len(data)))

    def reap(self, *, wait: bool = True) -> list[Range]:  # noqa: ARG002 - here all is there at once
        self._files.connection.check()
        if self._full:
            raise NoSpace(f"the server's disk is full: {self._path}")
        done, self._sent = self._sent, []
        return done

    def close(self) -> None:
        self._files.connection.writers.discard(self)
        self.reap()
