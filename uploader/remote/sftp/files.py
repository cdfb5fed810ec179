"""The files of one SFTP session: names, pipelined writing, pipelined reading."""

from __future__ import annotations

import contextlib
import posixpath
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from uploader.errors import NetworkError, NoSpace, RemoteMissing, RemoteRefused
from uploader.remote.interface import Entry, Files, Range, SmallFile, Space, only
from uploader.remote.sftp import operations
from uploader.remote.sftp import protocol as sftp
from uploader.remote.sftp.attributes import NO_ATTRIBUTES, packed
from uploader.remote.sftp.errors import EndOfFile
from uploader.remote.sftp.operations import CREATE, READ, TRUNCATE, WRITE, Dialogue
from uploader.remote.sftp.protocol import SftpProtocol, Unpacker, check, string

T = TypeVar("T")

_PLAIN_REQUEST = 32 * 1024
_LARGEST_REQUEST = 255 * 1024
_READ_WINDOW = 4 * 1024 * 1024
_FEW_HANDLES, _MANY_HANDLES = 64, 512
_OPENSSHS_OWN = {"posix-rename@openssh.com", "hardlink@openssh.com", "fsync@openssh.com", "lsetstat@openssh.com"}


class SftpWriter:
    """A file open for writes that do not wait for one another."""

    def __init__(self, files: SftpFiles, path: str, handle: bytes) -> None:
        self.request_bytes = files.request_bytes
        self._files = files
        self._protocol = files.protocol
        self._path = path
        self._handle = handle
        self._sent: dict[int, Range] = {}
        self._pending = 0

    @property
    def pending(self) -> int:
        return self._pending

    def send(self, offset: int, data: bytes | memoryview) -> None:
        head = self._handle + struct.pack(">QI", offset, len(data))
        self._sent[self._protocol.post(sftp.WRITE, head, data)] = (offset, len(data))
        self._pending += len(data)

    def reap(self, *, wait: bool = True) -> list[Range]:
        done: list[Range] = []
        while self._sent and (self._protocol.ready() or (wait and not done)):
            number, (kind, payload) = self._protocol.take()
            sent = self._sent.pop(number, None)
            if sent is None:
                continue
            self._pending -= sent[1]
            if kind != sftp.STATUS:
                raise RemoteRefused(f"the server answered a write to {self._path} with something else")
            self._accept(payload)
            done.append(sent)
        return done

    def close(self) -> None:
        fault: RemoteRefused | None = None
        while self._sent:  # what is not taken here would be kept for ever
            try:
                self.reap()
            except RemoteRefused as error:
                fault = fault or error
        self._files.close_handle(self._handle, what=f"close {self._path}")
        if fault is not None:
            raise fault

    def _accept(self, payload: bytes) -> None:
        try:
            check(payload, f"write to {self._path}")
        except RemoteRefused as error:
            raise self._files.explained(error, self._path) from error


class SftpFiles(Files):
    """The files of one SFTP session. `quirk_bytes` lowers the largest request; `other_space` tells of disks otherwise;
    `is_openssh`: the server calls itself so."""

    def __init__(
        self,
        protocol: SftpProtocol,
        *,
        quirk_bytes: int | None = None,
        other_space: Callable[[str], Space | None] | None = None,
        is_openssh: bool = False,
    ) -> None:
        self.protocol = protocol
        self._is_openssh = is_openssh
        self.open_handles: set[bytes] = set()
        self._handles = _FEW_HANDLES
        self._other_space = other_space or (lambda _path: None)
        # Both questions are on their way before the first answer is waited for.
        asked = time.monotonic()
        limits = self._post_limits()
        home = protocol.post(sftp.REALPATH, packed("."))
        self.request_bytes = self._limits(limits)
        if quirk_bytes is not None:
            self.request_bytes = min(self.request_bytes, quirk_bytes)
        self.home = self._home(home)
        self.round_trip = time.monotonic() - asked

    @property
    def settled(self) -> bool:
        """Whether no answer is outstanding and no file is open."""
        return self.protocol.settled and not self.open_handles

    def close_handle(self, handle: bytes, what: str) -> None:
        """Close what is open under a packed handle."""
        self.protocol.call(sftp.CLOSE, handle, what=what)
        self.open_handles.discard(handle)

    # names --------------------------------------------------------------------------------------------

    def stat_all(self, paths: Sequence[str]) -> list[Entry | RemoteRefused | None]:
        return self._named(operations.stat(path) for path in paths)

    def spaces(self, paths: Sequence[str]) -> list[Space | RemoteRefused | None]:
        return self.stat_and_spaces((), paths)[1]

    def stat_and_spaces(
        self, paths: Sequence[str], folders: Sequence[str]
    ) -> tuple[list[Entry | RemoteRefused | None], list[Space | RemoteRefused | None]]:
        asked = folders if "statvfs@openssh.com" in self.protocol.extensions else ()
        questions: list[Dialogue[Entry | Space | None]] = [*map(operations.stat, paths), *map(operations.space, asked)]
        told = self._named(questions)
        entries = [answer for answer in told[: len(paths)] if not isinstance(answer, Space)]
        spaces = [answer for answer in told[len(paths) :] if not isinstance(answer, Entry)] or [None] * len(folders)
        for at, space in enumerate(spaces):
            if not isinstance(space, Space | RemoteMissing):
                spaces[at] = self._other_space(folders[at])
        return entries, spaces

    def list_folders(self, paths: Sequence[str]) -> list[list[Entry] | RemoteRefused]:
        return self._held(operations.list_folder(path) for path in paths)

    def make_folders(self, paths: Sequence[str]) -> list[RemoteRefused | None]:
        return self._named(operations.make_folder(path) for path in paths)

    def rename_all(self, pairs: Sequence[tuple[str, str]]) -> list[RemoteRefused | None]:
        # OpenSSH's own sftp-server gives a file another name by a link, which replaces no name that is there.
        look_first = not (self._is_openssh and self.protocol.extensions.keys() >= _OPENSSHS_OWN)
        return self._named(operations.rename(*pair, look_first=look_first) for pair in pairs)

    def replace_all(self, pairs: Sequence[tuple[str, str]]) -> list[bool | RemoteRefused]:
        in_one_step = "posix-rename@openssh.com" in self.protocol.extensions
        return self._named(operations.replace(*pair, in_one_step=in_one_step) for pair in pairs)

    def remove_all(self, paths: Sequence[str]) -> list[RemoteRefused | None]:
        return self._named(operations.remove(path) for path in paths)

    def set_times(self, times: Sequence[tuple[str, int]]) -> list[RemoteRefused | None]:
        return self._named(operations.set_time(path, mtime) for path, mtime in times)

    def read_links(self, paths: Sequence[str]) -> list[str | RemoteRefused]:
        return self._named(operations.read_link(path) for path in paths)

    def link(self, source: str, destination: str) -> None:
        """Give a file's bytes a second name. Raises Unsupported where the server has no hard links."""
        only(self._named([operations.link(source, destination)]))

    def copy(self, source: str, destination: str) -> None:
        """Have the server copy a file by itself. Raises RemoteRefused."""
        only(self._held([operations.copy(source, destination)]))

    def check_file(self, path: str, offset: int, length: int) -> str | None:
        """Return the server's sha256 (hex) of a range by `check-file`; None when it has none."""
        if "check-file" not in self.protocol.extensions or length == 0:
            return None
        (digest,) = self._named([operations.check_file(path, offset, length)])
        return None if isinstance(digest, RemoteRefused) else digest

    def _named(self, dialogues: Iterable[Dialogue[T]]) -> list[T | RemoteRefused]:
        return operations.run(self.protocol, dialogues, operations.NAMES_AT_ONCE)

    def _held(self, dialogues: Iterable[Dialogue[T]]) -> list[T | RemoteRefused]:
        """As `_named`, for dialogues that hold a file or folder open."""
        return operations.run(self.protocol, dialogues, self._handles)

    # bytes --------------------------------------------------------------------------------------------

    def write_all(self, files: Sequence[SmallFile]) -> list[RemoteRefused | None]:
        done = self._held(operations.write(file, self.request_bytes) for file in files)
        return [self.explained(fault, file.path) if fault else None for file, fault in zip(files, done, strict=True)]

    def read_all(self, files: Sequence[tuple[str, int]]) -> list[bytes | RemoteRefused]:
        return self._held(operations.read(path, size, self.request_bytes) for path, size in files)

    def open_writer(self, path: str, *, fresh: bool) -> SftpWriter:
        try:
            handle = self._open(path, WRITE | CREATE | (TRUNCATE if fresh else 0), f"write to {path}")
        except RemoteRefused as error:
            raise self.explained(error, path) from error
        return SftpWriter(self, path, handle)

    def read(self, path: str, ranges: Iterable[Range]) -> Iterator[bytes]:
        handle = self._open(path, READ, f"read {path}")
        try:
            yield from self._pipelined(path, handle, ranges)
        finally:
            self.close_handle(handle, what=f"close {path}")

    def _open(self, path: str, flags: int, what: str) -> bytes:
        """Open a file and return its packed handle, which `close_handle` closes."""
        _, fields = self.protocol.call(sftp.OPEN, packed(path), struct.pack(">I", flags), NO_ATTRIBUTES, what=what)
        handle = string(fields.raw())
        self.open_handles.add(handle)
        return handle

    def _pipelined(self, path: str, handle: bytes, ranges: Iterable[Range]) -> Iterator[bytes]:
        """Keeps up to `_READ_WINDOW` bytes of requests under way over all ranges; yields one bytes a range."""
        limited = not isinstance(ranges, Sequence)
        count = 0

        def counted() -> Iterator[Range]:
            nonlocal count
            for one in ranges:
                count += 1
                yield one

        requests = self._split(counted())
        more = True
        flying: deque[tuple[int, int, int, int]] = deque()  # number, range index, offset, length
        asked = 0
        parts: list[bytes] = []
        current = 0
        try:
            while more or flying:
                while more and asked < _READ_WINDOW and not (limited and flying and self.protocol.ready()):
                    following = next(requests, None)
                    if following is None:
                        more = False
                    else:
                        index, offset, length = following
                        flying.append((self._ask(handle, offset, length), index, offset, length))
                        asked += length
                if not flying:
                    break
                number, index, offset, length = flying.popleft()
                asked -= length
                while index > current:
                    yield b"".join(parts)
                    parts, current = [], current + 1
                parts += self._whole(number, path, handle, offset, length)
            while current < count:
                yield b"".join(parts)
                parts, current = [], current + 1
        finally:  # a reader that stops early leaves answers on the line: take them, or they would be kept for ever
            with contextlib.suppress(NetworkError):
                for number, *_ in flying:
                    self.protocol.wait(number)

    def _whole(self, number: int, path: str, handle: bytes, offset: int, length: int) -> list[bytes]:
        """Takes one answer; a server may give less than asked, so the rest is asked for before going on."""
        data = self._answer(number, path)
        parts = [data]
        while 0 < len(data) < length:
            offset, length = offset + len(data), length - len(data)
            data = self._answer(self._ask(handle, offset, length), path)
            parts.append(data)
        return parts

    def _split(self, ranges: Iterable[Range]) -> Iterator[tuple[int, int, int]]:
        for index, (start, length) in enumerate(ranges):
            for at in range(start, start + length, self.request_bytes):
                yield index, at, min(self.request_bytes, start + length - at)

    def _ask(self, handle: bytes, offset: int, length: int) -> int:
        return self.protocol.post(sftp.READ, handle, struct.pack(">QI", offset, length))

    def _answer(self, number: int, path: str) -> bytes:
        kind, payload = self.protocol.wait(number)
        if kind == sftp.DATA:
            return Unpacker(payload).raw()
        try:
            check(payload, f"read {path}")
        except EndOfFile:
            return b""
        raise RemoteRefused(f"the server answered a read of {path} with something else")

    def explained(self, error: RemoteRefused, path: str) -> RemoteRefused:
        """A generic failure of a write is a full disk when the disk says so: SFTP 3 has no word for it."""
        if type(error) is not RemoteRefused:
            return error
        free = self.free_bytes(posixpath.dirname(path))
        if free is None or free > 4 * 1024 * 1024:
            return error
        return NoSpace(
            f"the server's disk is full: {free:,} bytes are left for {path}",
            remedy="Remove a model you do not need there, then run the same command again: what arrived is kept.",
        )

    def _home(self, number: int) -> str:
        fields = self.protocol.finish(number, what="ask for the login folder")[1]
        fields.number()
        return fields.text()

    def _post_limits(self) -> int | None:
        if "limits@openssh.com" not in self.protocol.extensions:
            return None
        return self.protocol.post(sftp.EXTENDED, string("limits@openssh.com"))

    def _limits(self, number: int | None) -> int:
        if number is None:
            return _PLAIN_REQUEST
        try:
            fields = self.protocol.finish(number, what="ask for limits")[1]
        except RemoteRefused:
            return _PLAIN_REQUEST
        _packet, read, write = fields.long(), fields.long(), fields.long()
        handles = fields.long()  # 0: it does not say, and few servers have less than what systems allow a process
        self._handles = max(_FEW_HANDLES, min(handles or _MANY_HANDLES, _MANY_HANDLES) // 2)
        return min(read or _PLAIN_REQUEST, write or _PLAIN_REQUEST, _LARGEST_REQUEST)
