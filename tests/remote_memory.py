"""The reference implementation: a server in memory that keeps every obligation of the interface."""

from __future__ import annotations

import hashlib
import posixpath
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from uploader.errors import NetworkError, NoPermission, NoSpace, RemoteExists, RemoteMissing, RemoteRefused
from uploader.remote.abilities import Abilities
from uploader.remote.interface import (
    Channel,
    ConnectionInfo,
    Copied,
    Entry,
    Files,
    Range,
    RangeLimiter,
    Shell,
    SmallFile,
    Space,
)

T = TypeVar("T")
_FACTS = ConnectionInfo("memory", "SHA256:memory", "none", "none", "/home/user", False, (), (), 32 * 1024)


@dataclass
class MemoryServer:
    """What the server holds, and what it is like. `sessions` are the SFTP sessions that one line may have; `cut_after`
    ends a connection after that number of written bytes; `clock` gives the server's time, in seconds."""

    files: dict[str, bytearray] = field(default_factory=dict)
    folders: set[str] = field(default_factory=lambda: {"/", "/home", "/home/user"})
    facts: ConnectionInfo = _FACTS
    hashes: bool = False
    copies: Copied | None = None
    mtimes: dict[str, int] = field(default_factory=dict)
    readable: bool = True
    space: int | None = None
    sessions: int = 10
    cut_after: list[int] = field(default_factory=list)
    connects: int = 0
    clock: Callable[[], float] = time.time
    lock: threading.RLock = field(default_factory=threading.RLock)
    ports: dict[tuple[str, int], Callable[[], Channel]] = field(default_factory=dict)
    """What listens where, as the server knows it."""

    def make_folders(self, path: str) -> None:
        """Makes a folder and all above it."""
        while path not in self.folders:
            self.folders.add(path)
            path = posixpath.dirname(path)

    def touch(self, path: str) -> None:
        """Record that a file was changed now."""
        self.mtimes[path] = int(self.clock())

    def free(self) -> int | None:
        """What is left of `space`, in bytes."""
        return None if self.space is None else self.space - sum(map(len, self.files.values()))


class MemoryConnector:
    """Opens connections to a MemoryServer; each takes the next of its `cut_after`."""

    def __init__(self, server: MemoryServer) -> None:
        self.server = server
        self.signed_in = threading.Event()
        self.round_trip = 0.0

    def connect(self) -> MemoryConnection:
        self.signed_in.set()
        with self.server.lock:
            self.server.connects += 1
            cut = self.server.cut_after.pop(0) if self.server.cut_after else None
        return MemoryConnection(self.server, cut)


class MemoryConnection:
    """One login on the server in memory."""

    def __init__(self, server: MemoryServer, cut: int | None) -> None:
        self.server = server
        self.facts = replace(server.facts, shell=server.hashes)
        self.round_trip = 0.0
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

    @property
    def abilities(self) -> Abilities:
        return Abilities(hash=self.server.hashes, server_copy=self.server.copies is not None)

    def hashes(self, path: str, ranges: Sequence[Range]) -> list[str] | None:
        self.check()
        if not self.server.hashes or path not in self.server.files:
            return None
        data = self.server.files[path]
        return [hashlib.sha256(data[offset : offset + length]).hexdigest() for offset, length in ranges]

    def hash_files(self, paths: Sequence[str]) -> list[str | None] | None:
        self.check()
        if not self.server.hashes:
            return None
        held = [self.server.files.get(path) for path in paths]
        return [None if data is None else hashlib.sha256(data).hexdigest() for data in held]

    def duplicate(self, source: str, destination: str) -> Copied | None:
        self.check()
        if self.server.copies is None or source not in self.server.files:
            return None
        self.server.files[destination] = bytearray(self.server.files[source])
        shared = self.server.copies == "link"
        self.server.mtimes[destination] = self.server.mtimes[source] if shared else int(self.server.clock())
        return self.server.copies

    def sees(self, *paths: str) -> bool:
        return False

    def hash_along(self, path: str) -> MemoryRollingDigest | None:
        self.check()
        return MemoryRollingDigest(self, path) if self.server.hashes else None

    def open_tunnel(self, host: str, port: int, seconds: float) -> Channel:
        self.check()
        if (host, port) not in self.server.ports:
            raise RemoteRefused(f"nothing listens at port {port} of memory")
        return self.server.ports[host, port]()

    def read_along(self, path: str, limited: RangeLimiter = list) -> MemoryRollingDigest | None:
        self.check()
        return MemoryRollingDigest(self, path, limited) if self.server.sessions > 1 and self.server.readable else None

    def interrupt(self) -> None:
        self.alive = False

    def close(self) -> None:
        self.alive = False

    def check(self) -> None:
        """Raises NetworkError once the connection has ended."""
        if not self.alive:
            raise NetworkError("the connection to memory was lost")


class MemoryRollingDigest:
    """Hashes what was reached when it is asked for."""

    def __init__(self, connection: MemoryConnection, path: str, limited: RangeLimiter = list) -> None:
        self._connection = connection
        self._path = path
        self._paced = limited
        self._reached = 0

    def reached(self, size: int) -> None:
        self._reached = max(self._reached, size)

    def finish(self) -> str | None:
        held = self._connection.server.files.get(self._path, bytearray())
        if not self._connection.alive or len(held) != self._reached:
            return None
        digest = hashlib.sha256()
        for offset, length in self._paced([(0, self._reached)]):
            digest.update(held[offset : offset + length])
        return digest.hexdigest()

    def close(self) -> None:
        """Nothing goes on in between."""


class MemoryFiles(Files):
    """The files of one connection. Its batch forms follow from the single ones, which a test may override."""

    def __init__(self, connection: MemoryConnection, cut: int | None) -> None:
        self.connection = connection
        self.server = connection.server
        self.home = self.server.facts.home
        self.left = cut

    def stat_all(self, paths: Sequence[str]) -> list[Entry | RemoteRefused | None]:
        return [_or_refusal(self.stat, path) for path in paths]

    def spaces(self, paths: Sequence[str]) -> list[Space | RemoteRefused | None]:
        return [_or_refusal(self.space, path) for path in paths]

    def list_folders(self, paths: Sequence[str]) -> list[list[Entry] | RemoteRefused]:
        return [_or_refusal(self.list_folder, path) for path in paths]

    def make_folders(self, paths: Sequence[str]) -> list[RemoteRefused | None]:
        return [_or_refusal(self.make_folder, path) for path in paths]

    def write_all(self, files: Sequence[SmallFile]) -> list[RemoteRefused | None]:
        return [_or_refusal(self._write, file) for file in files]

    def read_all(self, files: Sequence[tuple[str, int]]) -> list[bytes | RemoteRefused]:
        return [_or_refusal(lambda path=path, size=size: next(self.read(path, [(0, size)]))) for path, size in files]

    def rename_all(self, pairs: Sequence[tuple[str, str]]) -> list[RemoteRefused | None]:
        return [_or_refusal(self.rename, *pair) for pair in pairs]

    def replace_all(self, pairs: Sequence[tuple[str, str]]) -> list[bool | RemoteRefused]:
        return [_or_refusal(self.replace, *pair) for pair in pairs]

    def remove_all(self, paths: Sequence[str]) -> list[RemoteRefused | None]:
        return [_or_refusal(self.remove, path) for path in paths]

    def set_times(self, times: Sequence[tuple[str, int]]) -> list[RemoteRefused | None]:
        return [_or_refusal(self._set_time, *pair) for pair in times]

    def read_links(self, paths: Sequence[str]) -> list[str | RemoteRefused]:
        self.connection.check()
        return [RemoteRefused(f"cannot read the link {path}: there are no links here") for path in paths]

    def open_writer(self, path: str, *, fresh: bool) -> MemoryWriter:
        self._parent(path)
        if path in self.server.folders:
            raise RemoteRefused(f"cannot write to {path}: it is a folder")
        with self.server.lock:
            if fresh or path not in self.server.files:
                self.server.files[path] = bytearray()
                self.server.touch(path)
        return MemoryWriter(self, path)

    def read(self, path: str, ranges: Iterable[Range]) -> Iterator[bytes]:
        self.connection.check()
        if path not in self.server.files:
            raise RemoteMissing(f"cannot read {path}: there is no such file")
        if not self.server.readable:
            raise NoPermission(f"cannot read {path}: the server does not permit it")
        for offset, length in ranges:
            self.connection.check()
            yield bytes(self.server.files[path][offset : offset + length])

    def stat(self, path: str) -> Entry | None:
        self.connection.check()
        if path in self.server.folders:
            return Entry(posixpath.basename(path), 0, None, is_folder=True)
        data = self.server.files.get(path)
        if data is None:
            return None
        mtime = self.server.mtimes.get(path)
        return Entry(posixpath.basename(path), len(data), mtime, is_folder=False, links=1)

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

    def _write(self, file: SmallFile) -> None:
        writer = self.open_writer(file.path, fresh=True)
        for at in range(0, len(file.data), writer.request_bytes):
            writer.send(at, file.data[at : at + writer.request_bytes])
        writer.close()
        if file.mtime is not None:
            self._set_time(file.path, file.mtime)

    def rename(self, source: str, destination: str) -> None:
        if self.stat(destination) is not None:
            raise RemoteExists(f"cannot rename to {destination}: that name is taken")
        self.replace(source, destination)

    def replace(self, source: str, destination: str) -> bool:
        self._parent(destination)
        if destination in self.server.folders:
            raise RemoteRefused(f"cannot rename to {destination}: it is a folder")
        with self.server.lock:
            if source not in self.server.files:
                raise RemoteMissing(f"cannot rename {source}: there is no such file")
            self.server.files[destination] = self.server.files.pop(source)
            self.server.mtimes[destination] = self.server.mtimes.pop(source, int(self.server.clock()))
        return True

    def remove(self, path: str) -> None:
        self.connection.check()
        if path in self.server.folders:
            raise RemoteRefused(f"cannot remove {path}: it is a folder")
        self.server.files.pop(path, None)
        self.server.mtimes.pop(path, None)

    def free_bytes(self, path: str) -> int | None:
        self.connection.check()
        return self.server.free()

    def space(self, path: str) -> Space | None:
        free = self.free_bytes(path)
        return None if free is None or self.server.space is None else Space(free, self.server.space)

    def _set_time(self, path: str, mtime: int) -> None:
        if self.stat(path) is None:
            raise RemoteMissing(f"cannot set the time of {path}: there is no such file")
        self.server.mtimes[path] = mtime

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
                server.touch(self._path)
        self._sent.append((offset, len(data)))

    def reap(self, *, wait: bool = True) -> list[Range]:
        self._files.connection.check()
        if self._full:
            raise NoSpace(f"the server's disk is full: {self._path}")
        done, self._sent = self._sent, []
        return done

    def close(self) -> None:
        self._files.connection.writers.discard(self)
        self.reap()


def _or_refusal(call: Callable[..., T], *arguments: object) -> T | RemoteRefused:
    try:
        return call(*arguments)
    except RemoteRefused as error:
        return error
