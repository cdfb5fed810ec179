"""The SFTP operations, each a short dialogue with the server. Many dialogues run side by side over one session.

A dialogue yields the requests that it sends together and is given their answers in that order:

    names = run(protocol, (stat(path) for path in paths), NAMES_AT_ONCE)
"""

from __future__ import annotations

import posixpath
import struct
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from uploader.errors import RemoteExists, RemoteMissing, RemoteRefused, Unsupported
from uploader.remote.interface import Entry, SmallFile, Space
from uploader.remote.sftp import protocol as sftp
from uploader.remote.sftp.attributes import (
    NO_ATTRIBUTES,
    packed,
    packed_times,
    unpacked_entries,
    unpacked_entry,
    unpacked_space,
)
from uploader.remote.sftp.errors import EndOfFile
from uploader.remote.sftp.protocol import Answer, SftpProtocol, Unpacker, check, string

T = TypeVar("T")

NAMES_AT_ONCE = 1000
"""Dialogues side by side that open nothing on the server."""
READ, WRITE, CREATE, TRUNCATE = 0x01, 0x02, 0x08, 0x10
_NEW_FILE = WRITE | CREATE | TRUNCATE
_MOST_LISTINGS = 16
"""READDIR requests sent together; each answers some 100 names."""
_COPY_BYTES = 64 * 1024 * 1024
"""Bytes of one `copy-data` request. Small enough that the server is never silent for long."""


@dataclass(frozen=True)
class Request:
    """One request. `what` says what it tries, for the refusal."""

    kind: int
    parts: tuple[bytes | memoryview, ...]
    what: str


Dialogue = Generator[list[Request], list[Answer], T]


def run(protocol: SftpProtocol, dialogues: Iterable[Dialogue[T]], at_once: int) -> list[T | RemoteRefused]:
    """Return the result of each dialogue in order, or its refusal. Raises NetworkError when the line is lost."""
    return _Conversation(protocol, dialogues, at_once).run()


class _Conversation(Generic[T]):
    """Dialogues held side by side, at most `at_once` of them."""

    def __init__(self, protocol: SftpProtocol, dialogues: Iterable[Dialogue[T]], at_once: int) -> None:
        self._protocol = protocol
        self._waiting = enumerate(dialogues)
        self._at_once = at_once
        self._asked: dict[int, tuple[int, int]] = {}  # request -> (dialogue, which of its requests)
        self._open: dict[int, tuple[Dialogue[T], list[Answer | None]]] = {}
        self._results: dict[int, T | RemoteRefused] = {}

    def run(self) -> list[T | RemoteRefused]:
        self._begin()
        while self._asked:
            number = next(iter(self._asked))
            index, at = self._asked.pop(number)
            dialogue, answers = self._open[index]
            # Answers to other requests of the session, such as an open writer's, stay with the protocol.
            answers[at] = self._protocol.wait(number)
            if all(answers):
                self._go_on(index, dialogue, [answer for answer in answers if answer is not None])
                self._begin()
        return [self._results[index] for index in range(len(self._results))]

    def _begin(self) -> None:
        while len(self._open) < self._at_once and (following := next(self._waiting, None)):
            self._go_on(*following, None)

    def _go_on(self, index: int, dialogue: Dialogue[T], answers: list[Answer] | None) -> None:
        self._open.pop(index, None)
        try:
            requests = next(dialogue) if answers is None else dialogue.send(answers)
            while not requests:
                requests = dialogue.send([])
        except StopIteration as end:
            self._results[index] = end.value
            return
        except RemoteRefused as refused:
            self._results[index] = refused
            return
        self._open[index] = (dialogue, [None] * len(requests))
        for at, request in enumerate(requests):
            self._asked[self._protocol.post(request.kind, *request.parts)] = (index, at)


# names ------------------------------------------------------------------------------------------------


def stat(path: str) -> Dialogue[Entry | None]:
    request = Request(sftp.STAT, (packed(path),), f"look at {path}")
    try:
        return unpacked_entry(posixpath.basename(path), (yield from _ask(request, sftp.ATTRS)))
    except RemoteMissing:
        return None


def list_folder(path: str) -> Dialogue[list[Entry]]:
    def entries(handle: bytes) -> Dialogue[list[Entry]]:
        reading = Request(sftp.READDIR, (handle,), f"list {path}")
        found: list[Entry] = []
        together = 2
        while True:
            for answer in (yield [reading] * together):
                try:
                    more = list(unpacked_entries(_fields(answer, reading, sftp.NAME)))
                except EndOfFile:
                    return found
                if not more:  # the draft does not allow that; without this it would go on for ever
                    return found
                found += [entry for entry in more if entry.name not in (".", "..")]
            together = min(together * 2, _MOST_LISTINGS)

    return (yield from _opened(Request(sftp.OPENDIR, (packed(path),), f"list {path}"), entries))


def make_folder(path: str) -> Dialogue[None]:
    try:
        yield from _ask(Request(sftp.MKDIR, (packed(path), NO_ATTRIBUTES), f"make the folder {path}"))
    except RemoteRefused:
        there = yield from stat(path)
        if there is None or not there.is_folder:
            raise


def rename(source: str, destination: str, *, look_first: bool) -> Dialogue[None]:
    """`look_first`: the server's own RENAME may replace a name that is there."""
    what = f"rename {posixpath.basename(source)} to {posixpath.basename(destination)}"
    if look_first and (yield from _is_taken(destination)):
        raise RemoteExists(f"cannot {what}: that name is taken")
    try:
        yield from _ask(Request(sftp.RENAME, (packed(source), packed(destination)), what))
    except RemoteRefused as error:
        if (yield from _is_taken(destination)) and (yield from _is_taken(source)):
            raise RemoteExists(f"cannot {what}: that name was taken in the meantime") from error
        raise


def replace(source: str, destination: str, *, in_one_step: bool) -> Dialogue[bool]:
    """Return whether the server did it in one step. `in_one_step`: it announces that it can."""
    what = f"put {posixpath.basename(source)} in the place of {posixpath.basename(destination)}"
    if in_one_step:
        with suppress(Unsupported):
            yield from _extended("posix-rename@openssh.com", packed(source), packed(destination), what=what)
            return True
    if not (yield from _is_taken(source)):  # nothing is removed for a file that is not there
        raise RemoteMissing(f"cannot {what}: there is no such file on the server")
    yield from remove(destination)
    yield from _ask(Request(sftp.RENAME, (packed(source), packed(destination)), what))
    return False


def remove(path: str) -> Dialogue[None]:
    with suppress(RemoteMissing):
        yield from _ask(Request(sftp.REMOVE, (packed(path),), f"remove {path}"))


def set_time(path: str, mtime: int) -> Dialogue[None]:
    yield from _ask(Request(sftp.SETSTAT, (packed(path), packed_times(mtime)), f"set the time of {path}"))


def read_link(path: str) -> Dialogue[str]:
    fields = yield from _ask(Request(sftp.READLINK, (packed(path),), f"read the link {path}"), sftp.NAME)
    fields.number()
    return fields.text()


def link(source: str, destination: str) -> Dialogue[None]:
    """Give a file's bytes a second name."""
    what = f"link {posixpath.basename(destination)} to {posixpath.basename(source)}"
    yield from _extended("hardlink@openssh.com", packed(source), packed(destination), what=what)


def space(path: str) -> Dialogue[Space]:
    fields = yield from _extended("statvfs@openssh.com", packed(path), what=f"ask for the free space of {path}")
    return unpacked_space(fields)


# bytes ------------------------------------------------------------------------------------------------


def write(file: SmallFile, request_bytes: int) -> Dialogue[None]:
    what = f"write to {file.path}"
    handle = string((yield from _ask(_opening(file.path, _NEW_FILE, what), sftp.HANDLE)).raw())
    data = memoryview(file.data)
    portions = [(at, data[at : at + request_bytes]) for at in range(0, len(data), request_bytes)]
    requests = [
        Request(sftp.WRITE, (handle + struct.pack(">QI", at, len(portion)), portion), what) for at, portion in portions
    ]
    closing = Request(sftp.CLOSE, (handle,), f"close {file.path}")
    timing = [] if file.mtime is None else [Request(sftp.FSETSTAT, (handle, packed_times(file.mtime)), what)]
    answers = yield [*requests, *timing, closing]
    for request, answer in zip((*requests, closing), (*answers[: len(requests)], answers[-1]), strict=True):
        _fields(answer, request)


def read(path: str, size: int, request_bytes: int) -> Dialogue[bytes]:
    """Return the first `size` bytes."""
    return read_range(path, 0, size, request_bytes)


def read_range(path: str, start: int, size: int, request_bytes: int) -> Dialogue[bytes]:
    """Return `size` bytes, less at the end. A server may give less than asked; then the rest is asked for again."""

    def reading(handle: bytes, at: int, length: int) -> Request:
        return Request(sftp.READ, (handle, struct.pack(">QI", start + at, length)), f"read {path}")

    def content(handle: bytes) -> Dialogue[bytes]:
        data = bytearray()
        while len(data) < size:
            portions = [(at, min(request_bytes, size - at)) for at in range(len(data), size, request_bytes)]
            requests = [reading(handle, *portion) for portion in portions]
            answers = yield requests
            for (at, length), request, answer in zip(portions, requests, answers, strict=True):
                try:
                    data += _fields(answer, request, sftp.DATA).raw()
                except EndOfFile:
                    return bytes(data)
                if len(data) < at + length:
                    break
        return bytes(data)

    return (yield from _opened(_opening(path, READ, f"read {path}"), content))


def copy(source: str, destination: str) -> Dialogue[None]:
    """Have the server copy a file by itself (OpenSSH's PROTOCOL, `copy-data`)."""
    what = f"copy {posixpath.basename(source)} to {posixpath.basename(destination)}"
    there = yield from stat(source)
    if there is None:
        raise RemoteMissing(f"cannot {what}: there is no such file on the server")
    size = there.size

    def into(reading: bytes, writing: bytes) -> Dialogue[None]:
        for at in range(0, size, _COPY_BYTES):
            span = struct.pack(">QQ", at, min(_COPY_BYTES, size - at))
            yield from _extended("copy-data", reading, span, writing, struct.pack(">Q", at), what=what)

    def from_source(reading: bytes) -> Dialogue[None]:
        yield from _opened(_opening(destination, _NEW_FILE, what), lambda writing: into(reading, writing))

    yield from _opened(_opening(source, READ, what), from_source)


def check_file(path: str, offset: int, length: int) -> Dialogue[str | None]:
    """Return the server's sha256 of a range (draft-ietf-secsh-filexfer-extensions-00, section 3)."""
    span = struct.pack(">QQI", offset, length, 0)
    fields = yield from _extended("check-file-name", packed(path), string("sha256"), span, what=f"hash {path}")
    name = fields.text()
    if name == "check-file":  # the early drafts repeat the extension's name, the later ones do not
        name = fields.text()
    digest = fields.rest()
    return digest.hex() if name == "sha256" and len(digest) == 32 else None


# their parts ------------------------------------------------------------------------------------------


def _opening(path: str, flags: int, what: str) -> Request:
    """Return the request that opens a file."""
    return Request(sftp.OPEN, (packed(path), struct.pack(">I", flags), NO_ATTRIBUTES), what)


def _ask(request: Request, kind: int | None = None) -> Dialogue[Unpacker]:
    answers = yield [request]
    return _fields(answers[0], request, kind)


def _extended(name: str, *parts: bytes, what: str) -> Dialogue[Unpacker]:
    return (yield from _ask(Request(sftp.EXTENDED, (string(name), *parts), what)))


def _opened(request: Request, inner: Callable[[bytes], Dialogue[T]]) -> Dialogue[T]:
    """Open a file or folder, hold the inner dialogue with its handle, and close it in any case."""
    handle = string((yield from _ask(request, sftp.HANDLE)).raw())
    closing = Request(sftp.CLOSE, (handle,), request.what)
    try:
        result = yield from inner(handle)
    except RemoteRefused:
        yield [closing]
        raise
    yield from _ask(closing)
    return result


def _is_taken(path: str) -> Dialogue[bool]:
    """Return whether a name is there, also as a link that leads nowhere."""
    try:
        yield from _ask(Request(sftp.LSTAT, (packed(path),), f"look at {path}"))
    except RemoteMissing:
        return False
    return True


def _fields(answer: Answer, request: Request, kind: int | None = None) -> Unpacker:
    """Return an answer's fields. Raises the refusal of a bad status; RemoteRefused for another kind."""
    got, payload = answer
    if got == sftp.STATUS:
        check(payload, request.what)
        if kind is None:
            return Unpacker(payload)
    if kind is not None and got != kind:
        raise RemoteRefused(f"cannot {request.what}: the server answered with something else")
    return Unpacker(payload)
