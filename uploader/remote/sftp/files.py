"""The files of one SFTP session: names, pipelined writing, pipelined reading."""

from __future__ import annotations

import contextlib
import posixpath
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from uploader.errors import NetworkError, NoSpace, RemoteExists, RemoteMissing, RemoteRefused, Unsupported
from uploader.remote.interface import Entry, Range, Space
from uploader.remote.sftp import protocol as wire
from uploader.remote.sftp.attributes import NO_ATTRIBUTES, packed, unpacked_entries, unpacked_entry, unpacked_space
from uploader.remote.sftp.errors import EndOfFile
from uploader.remote.sftp.operations import SftpMany
from uploader.remote.sftp.protocol import SftpProtocol, Unpacker, check, string

_PLAIN_REQUEST = 32 * 1024
_LARGEST_REQUEST = 255 * 1024
_READ_WINDOW = 4 * 1024 * 1024
_FEW_HANDLES, _MANY_HANDLES = 64, 512
_READ_FLAG, _WRITE_FLAG, _CREATE_FLAG, _TRUNCATE_FLAG = 0x01, 0x02, 0x08, 0x10
_NEW_FLAGS = _WRITE_FLAG | _CREATE_FLAG | _TRUNCATE_FLAG
_OPENSSHS_OWN = {"posix-rename@openssh.com", "hardlink@openssh.com", "fsync@openssh.com", "lsetstat@openssh.com"}
_COPY_PIECE = 64 * 1024 * 1024


class SftpWriter:
    """A file open for writes that do not wait for one another."""

    def __init__(self, files: SftpFiles, path: str, handle: bytes) -> None:
        self.request_bytes = files.request_bytes
        self._files = files
        self._wire = files.wire
        self._path = path
        self._handle = string(handle)
        files.open_handles.add(self._handle)
        self._sent: dict[int, Range] = {}
        self._pending = 0

    @property
    def pending(self) -> int:
        return self._pending

    def send(self, offset: int, data: bytes | memoryview) -> None:
        head = self._handle + struct.pack(">QI", offset, len(data))
        self._sent[self._wire.post(wire.WRITE, head, data)] = (offset, len(data))
        self._pending += len(data)

    def reap(self, *, wait: bool = True) -> list[Range]:
        done: list[Range] = []
        while self._sent and (self._wire.ready() or (wait and not done)):
            number, (kind, payload) = self._wire.take()
            sent = self._sent.pop(number, None)
            if sent is None:
                continue
            self._pending -= sent[1]
            if kind != wire.STATUS:
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


class SftpFiles:
    """Files over one Wire. `quirk_bytes` lowers the largest request; `other_space` tells of disks otherwise;
    `is_openssh`: the server calls itself so."""

    def __init__(
        self,
        session: SftpProtocol,
        *,
        quirk_bytes: int | None = None,
        other_space: Callable[[str], Space | None] | None = None,
        is_openssh: bool = False,
    ) -> None:
        self.wire = session
        self._is_openssh = is_openssh
        self.open_handles: set[bytes] = set()
        self._handles = _FEW_HANDLES
        self._other_space = other_space or (lambda _path: None)
        # Both questions are on their way before the first answer is waited for.
        asked = time.monotonic()
        limits = self._post_limits()
        home = session.post(wire.REALPATH, packed("."))
        self.request_bytes = self._limits(limits)
        if quirk_bytes is not None:
            self.request_bytes = min(self.request_bytes, quirk_bytes)
        self.home = self._home(home)
        self.round_trip = time.monotonic() - asked
        self.many = SftpMany(self, self._handles)

    @property
    def settled(self) -> bool:
        """Whether no answer is outstanding and no file or folder is open."""
        return self.wire.settled and not self.open_handles

    def close_handle(self, handle: bytes, what: str) -> None:
        """Closes what is open under a handle, packed as on the wire."""
        self.wire.call(wire.CLOSE, handle, what=what)
        self.open_handles.discard(handle)

    # names --------------------------------------------------------------------------------------------

    def resolve(self, path: str) -> str:
        absolute = posixpath.normpath(posixpath.join(self.home, path))
        return absolute.removeprefix("/") if absolute.startswith("//") else absolute

    def stat(self, path: str) -> Entry | None:
        try:
            kind, fields = self.wire.call(wire.STAT, packed(path), what=f"look at {path}")
        except RemoteMissing:
            return None
        if kind != wire.ATTRS:
            raise RemoteRefused(f"the server answered a look at {path} with something else")
        return unpacked_entry(posixpath.basename(path), fields)

    def list_folder(self, path: str) -> list[Entry]:
        _, fields = self.wire.call(wire.OPENDIR, packed(path), what=f"list {path}")
        handle = string(fields.raw())
        self.open_handles.add(handle)
        entries: list[Entry] = []
        try:
            while True:
                _, fields = self.wire.call(wire.READDIR, handle, what=f"list {path}")
                found = list(unpacked_entries(fields))
                if not found:  # not what the draft allows; it would go on for ever
                    break
                entries += found
        except EndOfFile:
            pass
        finally:
            self.close_handle(handle, what=f"list {path}")
        return [entry for entry in entries if entry.name not in (".", "..")]

    def make_folder(self, path: str) -> None:
        try:
            self.wire.call(wire.MKDIR, packed(path), NO_ATTRIBUTES, what=f"make the folder {path}")
        except RemoteRefused:
            there = self.stat(path)
            if there is None or not there.is_folder:
                raise

    def rename(self, source: str, destination: str) -> None:
        what = f"rename {posixpath.basename(source)} to {posixpath.basename(destination)}"
        if not self._renames_safely and self._taken(destination):
            raise RemoteExists(f"cannot {what}: that name is taken")
        try:
            self.wire.call(wire.RENAME, packed(source), packed(destination), what=what)
        except RemoteRefused as error:
            if self._taken(destination) and self._taken(source):
                raise RemoteExists(f"cannot {what}: that name was taken in the meantime") from error
            raise

    @property
    def _renames_safely(self) -> bool:
        """Whether this is OpenSSH's own sftp-server: it gives a file another name by a link, which no name that is
        there gives way to, and needs no look beforehand."""
        return self._is_openssh and self.wire.extensions.keys() >= _OPENSSHS_OWN

    def replace(self, source: str, destination: str) -> bool:
        what = f"put {posixpath.basename(source)} in the place of {posixpath.basename(destination)}"
        if "posix-rename@openssh.com" in self.wire.extensions:
            try:
                self._extended("posix-rename@openssh.com", packed(source), packed(destination), what=what)
                return True
            except Unsupported:
                pass
        if not self._taken(source):  # looked at first: nothing is removed for a file that is not there
            raise RemoteMissing(f"cannot {what}: there is no such file on the server")
        self.remove(destination)
        self.wire.call(wire.RENAME, packed(source), packed(destination), what=what)
        return False

    def remove(self, path: str) -> None:
        with contextlib.suppress(RemoteMissing):
            self.wire.call(wire.REMOVE, packed(path), what=f"remove {path}")

    def read_link(self, path: str) -> str:
        _, fields = self.wire.call(wire.READLINK, packed(path), what=f"read the link {path}")
        fields.number()
        return fields.text()

    def link(self, source: str, destination: str) -> None:
        """Gives a file's bytes a second name. Raises Unsupported where the server has no hard links."""
        what = f"link {posixpath.basename(destination)} to {posixpath.basename(source)}"
        self._extended("hardlink@openssh.com", packed(source), packed(destination), what=what)

    def copy(self, source: str, destination: str) -> None:
        """Has the server copy a file, in pieces, so that it is never silent for long. Raises RemoteRefused."""
        what = f"copy {posixpath.basename(source)} to {posixpath.basename(destination)}"
        there = self.stat(source)
        if there is None:
            raise RemoteMissing(f"cannot {what}: there is no such file on the server")
        with self._opened(source, _READ_FLAG) as reading, self._opened(destination, _NEW_FLAGS) as writing:
            for at in range(0, there.size, _COPY_PIECE):
                length = struct.pack(">QQ", at, min(_COPY_PIECE, there.size - at))
                self._extended("copy-data", reading, length, writing, struct.pack(">Q", at), what=what)

    @contextlib.contextmanager
    def _opened(self, path: str, flags: int) -> Iterator[bytes]:
        """Yields an open file's handle, packed as on the wire."""
        parts = (packed(path), struct.pack(">I", flags), NO_ATTRIBUTES)
        _, fields = self.wire.call(wire.OPEN, *parts, what=f"open {path}")
        handle = string(fields.raw())
        self.open_handles.add(handle)
        try:
            yield handle
        finally:
            self.close_handle(handle, what=f"close {path}")

    def _taken(self, path: str) -> bool:
        """Whether a name is there, be it a link that leads nowhere."""
        try:
            self.wire.call(wire.LSTAT, packed(path), what=f"look at {path}")
        except RemoteMissing:
            return False
        return True

    # bytes --------------------------------------------------------------------------------------------

    def open_writer(self, path: str, *, fresh: bool) -> SftpWriter:
        flags = _WRITE_FLAG | _CREATE_FLAG | (_TRUNCATE_FLAG if fresh else 0)
        try:
            _, fields = self.wire.call(
                wire.OPEN, packed(path), struct.pack(">I", flags), NO_ATTRIBUTES, what=f"write to {path}"
            )
        except RemoteRefused as error:
            raise self.explained(error, path) from error
        return SftpWriter(self, path, fields.raw())

    def read(self, path: str, ranges: Iterable[Range]) -> Iterator[bytes]:
        _, fields = self.wire.call(
            wire.OPEN, packed(path), struct.pack(">I", _READ_FLAG), NO_ATTRIBUTES, what=f"read {path}"
        )
        handle = string(fields.raw())
        self.open_handles.add(handle)
        try:
            yield from self._pipelined(path, handle, ranges)
        finally:
            self.close_handle(handle, what=f"close {path}")

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
                while more and asked < _READ_WINDOW and not (limited and flying and self.wire.ready()):
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
                    self.wire.wait(number)

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
        return self.wire.post(wire.READ, handle, struct.pack(">QI", offset, length))

    def _answer(self, number: int, path: str) -> bytes:
        kind, payload = self.wire.wait(number)
        if kind == wire.DATA:
            return Unpacker(payload).raw()
        try:
            check(payload, f"read {path}")
        except EndOfFile:
            return b""
        raise RemoteRefused(f"the server answered a read of {path} with something else")

    # extensions ---------------------------------------------------------------------------------------

    def free_bytes(self, path: str) -> int | None:
        space = self.space(path)
        return space.free if space else None

    def space(self, path: str) -> Space | None:
        if "statvfs@openssh.com" in self.wire.extensions:
            try:
                fields = self._extended("statvfs@openssh.com", packed(path), what=f"ask for the free space of {path}")
            except RemoteRefused:
                return self._other_space(path)
            return unpacked_space(fields)
        return self._other_space(path)

    def check_file(self, path: str, offset: int, length: int) -> str | None:
        """Asks a server that has `check-file` for a sha256 (draft-ietf-secsh-filexfer-extensions-00, section 3)."""
        if "check-file" not in self.wire.extensions or length == 0:
            return None
        body = packed(path) + string("sha256") + struct.pack(">QQI", offset, length, 0)
        try:
            fields = self._extended("check-file-name", body, what=f"hash {path}")
        except RemoteRefused:
            return None
        name = fields.text()
        if name == "check-file":  # the early drafts repeat the extension's name, the later ones do not
            name = fields.text()
        digest = fields.rest()
        return digest.hex() if name == "sha256" and len(digest) == 32 else None

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

    def _extended(self, name: str, *parts: bytes, what: str) -> Unpacker:
        return self.wire.call(wire.EXTENDED, string(name), *parts, what=what)[1]

    def _home(self, number: int) -> str:
        fields = self.wire.finish(number, what="ask for the login folder")[1]
        fields.number()
        return fields.text()

    def _post_limits(self) -> int | None:
        if "limits@openssh.com" not in self.wire.extensions:
            return None
        return self.wire.post(wire.EXTENDED, string("limits@openssh.com"))

    def _limits(self, number: int | None) -> int:
        if number is None:
            return _PLAIN_REQUEST
        try:
            fields = self.wire.finish(number, what="ask for limits")[1]
        except RemoteRefused:
            return _PLAIN_REQUEST
        _packet, read, write = fields.long(), fields.long(), fields.long()
        handles = fields.long()  # 0: it does not say, and few servers have less than what systems allow a process
        self._handles = max(_FEW_HANDLES, min(handles or _MANY_HANDLES, _MANY_HANDLES) // 2)
        return min(read or _PLAIN_REQUEST, write or _PLAIN_REQUEST, _LARGEST_REQUEST)
