"""The files of one SFTP session: names, pipelined writing, pipelined reading."""

from __future__ import annotations

import contextlib
import posixpath
import stat as modes
import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from uploader.errors import NetworkError, NoSpace, RemoteExists, RemoteMissing, RemoteRefused, Unsupported
from uploader.remote.interface import Entry, Range
from uploader.remote.sftp import wire
from uploader.remote.sftp.faults import EndOfFile
from uploader.remote.sftp.wire import Unpacker, Wire, check, string

_PLAIN_REQUEST = 32 * 1024
_LARGEST_REQUEST = 255 * 1024
_READ_WINDOW = 4 * 1024 * 1024
_NO_ATTRIBUTES = struct.pack(">I", 0)
_READ_FLAG, _WRITE_FLAG, _CREATE_FLAG, _TRUNCATE_FLAG = 0x01, 0x02, 0x08, 0x10


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
    """Files over one Wire. `quirk_bytes` lowers the largest request; `other_free` asks elsewhere for free space."""

    def __init__(
        self,
        session: Wire,
        *,
        quirk_bytes: int | None = None,
        other_free: Callable[[str], int | None] | None = None,
    ) -> None:
        self.wire = session
        self.open_handles: set[bytes] = set()
        self._other_free = other_free or (lambda _path: None)
        self.request_bytes = self._ask_limits()
        if quirk_bytes is not None:
            self.request_bytes = min(self.request_bytes, quirk_bytes)
        self.home = self._real_path(".")

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
            kind, fields = self.wire.call(wire.STAT, _name(path), what=f"look at {path}")
        except RemoteMissing:
            return None
        if kind != wire.ATTRS:
            raise RemoteRefused(f"the server answered a look at {path} with something else")
        return _entry(posixpath.basename(path), fields)

    def list_folder(self, path: str) -> list[Entry]:
        _, fields = self.wire.call(wire.OPENDIR, _name(path), what=f"list {path}")
        handle = string(fields.raw())
        self.open_handles.add(handle)
        entries: list[Entry] = []
        try:
            while True:
                _, fields = self.wire.call(wire.READDIR, handle, what=f"list {path}")
                found = list(_names(fields))
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
            self.wire.call(wire.MKDIR, _name(path), _NO_ATTRIBUTES, what=f"make the folder {path}")
        except RemoteRefused:
            there = self.stat(path)
            if there is None or not there.is_folder:
                raise

    def rename(self, source: str, destination: str) -> None:
        what = f"rename {posixpath.basename(source)} to {posixpath.basename(destination)}"
        if self._taken(destination):
            raise RemoteExists(f"cannot {what}: that name is taken")
        try:
            self.wire.call(wire.RENAME, _name(source), _name(destination), what=what)
        except RemoteRefused as error:
            if self._taken(destination) and self._taken(source):
                raise RemoteExists(f"cannot {what}: that name was taken in the meantime") from error
            raise

    def replace(self, source: str, destination: str) -> bool:
        what = f"put {posixpath.basename(source)} in the place of {posixpath.basename(destination)}"
        if "posix-rename@openssh.com" in self.wire.extensions:
            try:
                self._extended("posix-rename@openssh.com", _name(source), _name(destination), what=what)
                return True
            except Unsupported:
                pass
        if not self._taken(source):  # looked at first: nothing is removed for a file that is not there
            raise RemoteMissing(f"cannot {what}: there is no such file on the server")
        self.remove(destination)
        self.wire.call(wire.RENAME, _name(source), _name(destination), what=what)
        return False

    def remove(self, path: str) -> None:
        with contextlib.suppress(RemoteMissing):
            self.wire.call(wire.REMOVE, _name(path), what=f"remove {path}")

    def _taken(self, path: str) -> bool:
        """Whether a name is there, be it a link that leads nowhere."""
        try:
            self.wire.call(wire.LSTAT, _name(path), what=f"look at {path}")
        except RemoteMissing:
            return False
        return True

    # bytes --------------------------------------------------------------------------------------------

    def open_writer(self, path: str, *, fresh: bool) -> SftpWriter:
        flags = _WRITE_FLAG | _CREATE_FLAG | (_TRUNCATE_FLAG if fresh else 0)
        try:
            _, fields = self.wire.call(
                wire.OPEN, _name(path), struct.pack(">I", flags), _NO_ATTRIBUTES, what=f"write to {path}"
            )
        except RemoteRefused as error:
            raise self.explained(error, path) from error
        return SftpWriter(self, path, fields.raw())

    def read(self, path: str, ranges: Sequence[Range]) -> Iterator[bytes]:
        _, fields = self.wire.call(
            wire.OPEN, _name(path), struct.pack(">I", _READ_FLAG), _NO_ATTRIBUTES, what=f"read {path}"
        )
        handle = string(fields.raw())
        self.open_handles.add(handle)
        try:
            yield from self._pipelined(path, handle, ranges)
        finally:
            self.close_handle(handle, what=f"close {path}")

    def _pipelined(self, path: str, handle: bytes, ranges: Sequence[Range]) -> Iterator[bytes]:
        """Keeps up to `_READ_WINDOW` bytes of requests under way over all ranges; yields one bytes a range."""
        requests = deque(self._split(ranges))
        flying: deque[tuple[int, int, int, int]] = deque()  # number, range index, offset, length
        asked = 0
        parts: list[bytes] = []
        current = 0
        try:
            while requests or flying:
                while requests and asked < _READ_WINDOW:
                    index, offset, length = requests.popleft()
                    flying.append((self._ask(handle, offset, length), index, offset, length))
                    asked += length
                number, index, offset, length = flying.popleft()
                asked -= length
                while index > current:
                    yield b"".join(parts)
                    parts, current = [], current + 1
                parts += self._whole(number, path, handle, offset, length)
            while current < len(ranges):
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

    def _split(self, ranges: Sequence[Range]) -> Iterator[tuple[int, int, int]]:
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
        if "statvfs@openssh.com" in self.wire.extensions:
            try:
                fields = self._extended("statvfs@openssh.com", _name(path), what=f"ask for the free space of {path}")
            except RemoteRefused:
                return self._other_free(path)
            numbers = [fields.long() for _ in range(5)]
            return numbers[1] * numbers[4]  # f_frsize x f_bavail
        return self._other_free(path)

    def check_file(self, path: str, offset: int, length: int) -> str | None:
        """Asks a server that has `check-file` for a sha256 (draft-ietf-secsh-filexfer-extensions-00, section 3)."""
        if "check-file" not in self.wire.extensions or length == 0:
            return None
        body = _name(path) + string("sha256") + struct.pack(">QQI", offset, length, 0)
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

    def _real_path(self, path: str) -> str:
        _, fields = self.wire.call(wire.REALPATH, _name(path), what="ask for the login folder")
        fields.number()
        return fields.text()

    def _ask_limits(self) -> int:
        if "limits@openssh.com" not in self.wire.extensions:
            return _PLAIN_REQUEST
        try:
            fields = self._extended("limits@openssh.com", what="ask for limits")
        except RemoteRefused:
            return _PLAIN_REQUEST
        _packet, read, write = fields.long(), fields.long(), fields.long()
        return min(read or _PLAIN_REQUEST, write or _PLAIN_REQUEST, _LARGEST_REQUEST)


def _name(path: str) -> bytes:
    """Packs a path. Raises RemoteRefused for one that no server could take as it is."""
    if "\0" in path:
        raise RemoteRefused(f"{path!r} cannot be a name on a server: it holds a NUL")
    try:
        return string(path)
    except UnicodeEncodeError:
        raise RemoteRefused(f"{path!r} cannot be a name on a server: it is no text") from None


def _names(fields: Unpacker) -> Iterator[Entry]:
    for _ in range(fields.number()):
        name = fields.text()
        fields.raw()
        yield _entry(name, fields)


def _entry(name: str, fields: Unpacker) -> Entry:
    """Unpacks ATTRS (section 5 of the draft): each field is there when its flag is."""
    flags = fields.number()
    size = fields.long() if flags & 0x1 else 0
    if flags & 0x2:
        fields.long()
    mode = fields.number() if flags & 0x4 else 0
    mtime = None
    if flags & 0x8:
        fields.number()
        mtime = fields.number()
    if flags & 0x80000000:
        for _ in range(fields.number()):
            fields.raw()
            fields.raw()
    return Entry(name, size, mtime, modes.S_ISDIR(mode), modes.S_ISLNK(mode))
