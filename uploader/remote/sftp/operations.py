"""Operations on many names at once: each is a short dialogue with the server, and many dialogues run side by side."""

from __future__ import annotations

import posixpath
import struct
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from uploader.errors import RemoteExists, RemoteMissing, RemoteRefused
from uploader.remote.interface import Entry, SmallFile, Space
from uploader.remote.sftp import protocol as wire
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

if TYPE_CHECKING:
    from uploader.remote.sftp.files import SftpFiles

T = TypeVar("T")

_SIDE_BY_SIDE = 256
_NAMES_SIDE_BY_SIDE = 1000
"""Dialogues about names alone, which open nothing on the server."""
_LISTINGS_AHEAD = 4
_READ, _WRITE_NEW = 0x01, 0x02 | 0x08 | 0x10  # SSH_FXF_WRITE, CREAT, TRUNC


@dataclass(frozen=True)
class Request:
    """One request. `what` says what it tries, for the refusal."""

    kind: int
    parts: tuple[bytes | memoryview, ...]
    what: str


Dialogue = Generator[list[Request], list[Answer], T]
"""Yields requests that go out together, and is given their answers in that order."""


class SftpMany:
    """Fulfils Many over one session."""

    def __init__(self, files: SftpFiles, side_by_side: int = _SIDE_BY_SIDE) -> None:
        self._files = files
        self._wire = files.wire
        self._side_by_side = side_by_side

    def stat(self, paths: Sequence[str]) -> list[Entry | RemoteRefused | None]:
        return self._named(_stat(path) for path in paths)

    def look(
        self, paths: Sequence[str], disks: Sequence[str]
    ) -> tuple[list[Entry | RemoteRefused | None], list[Space | RemoteRefused | None]]:
        asked = disks if "statvfs@openssh.com" in self._wire.extensions else ()
        questions: list[Dialogue[Entry | Space | None]] = [*map(_stat, paths), *map(_space, asked)]
        told = self._held(iter(questions))
        entries = [answer for answer in told[: len(paths)] if not isinstance(answer, Space)]
        spaces = [answer for answer in told[len(paths) :] if not isinstance(answer, Entry)]
        return entries, spaces if asked else [self._files.space(disk) for disk in disks]

    def list_folders(self, paths: Sequence[str]) -> list[list[Entry] | RemoteRefused]:
        return self._held(_list(path) for path in paths)

    def make_folders(self, paths: Sequence[str]) -> list[RemoteRefused | None]:
        return self._named(_make_folder(path) for path in paths)

    def write(self, files: Sequence[SmallFile]) -> list[RemoteRefused | None]:
        done = self._held(_write(file, self._files.request_bytes) for file in files)
        return [
            self._files.explained(fault, file.path) if fault else None for file, fault in zip(files, done, strict=True)
        ]

    def read(self, files: Sequence[tuple[str, int]]) -> list[bytes | RemoteRefused]:
        return self._held(_read(path, size, self._files.request_bytes) for path, size in files)

    def rename(self, pairs: Sequence[tuple[str, str]], *, replace: bool) -> list[RemoteRefused | None]:
        if not replace:
            return self._named(_rename(source, destination) for source, destination in pairs)
        if "posix-rename@openssh.com" in self._wire.extensions:
            return self._named(_posix_rename(source, destination) for source, destination in pairs)
        return [self._replace(source, destination) for source, destination in pairs]

    def set_times(self, times: Sequence[tuple[str, int]]) -> list[RemoteRefused | None]:
        return self._named(_set_time(path, mtime) for path, mtime in times)

    def _replace(self, source: str, destination: str) -> RemoteRefused | None:
        try:
            self._files.replace(source, destination)
        except RemoteRefused as error:
            return error
        return None

    def _held(self, dialogues: Iterator[Dialogue[T]]) -> list[T | RemoteRefused]:
        return _Conversation(self._wire, dialogues, self._side_by_side).run()

    def _named(self, dialogues: Iterator[Dialogue[T]]) -> list[T | RemoteRefused]:
        return _Conversation(self._wire, dialogues, _NAMES_SIDE_BY_SIDE).run()


class _Conversation(Generic[T]):
    """Dialogues held side by side, so many at a time."""

    def __init__(self, session: SftpProtocol, dialogues: Iterator[Dialogue[T]], side_by_side: int) -> None:
        self._wire = session
        self._waiting = enumerate(dialogues)
        self._side_by_side = side_by_side
        self._asked: dict[int, tuple[int, int]] = {}  # request -> (dialogue, which of its requests)
        self._open: dict[int, tuple[Dialogue[T], list[Answer | None]]] = {}
        self._results: dict[int, T | RemoteRefused] = {}

    def run(self) -> list[T | RemoteRefused]:
        self._begin()
        while self._asked:
            number, answer = self._wire.take()
            index, at = self._asked.pop(number, (-1, 0))
            if index < 0:
                continue
            dialogue, answers = self._open[index]
            answers[at] = answer
            if all(answers):
                self._go_on(index, dialogue, [answer for answer in answers if answer is not None])
                self._begin()
        return [self._results[index] for index in range(len(self._results))]

    def _begin(self) -> None:
        while len(self._open) < self._side_by_side and (following := next(self._waiting, None)):
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
            self._asked[self._wire.post(request.kind, *request.parts)] = (index, at)


# the dialogues ----------------------------------------------------------------------------------------


def _stat(path: str) -> Dialogue[Entry | None]:
    request = Request(wire.STAT, (packed(path),), f"look at {path}")
    try:
        answers = yield [request]
        return unpacked_entry(posixpath.basename(path), _fields(answers[0], request, wire.ATTRS))
    except RemoteMissing:
        return None


def _space(path: str) -> Dialogue[Space | None]:
    request = Request(wire.EXTENDED, (string("statvfs@openssh.com"), packed(path)), f"ask for the free space of {path}")
    answers = yield [request]
    return unpacked_space(_fields(answers[0], request))


def _list(path: str) -> Dialogue[list[Entry]]:
    opening = Request(wire.OPENDIR, (packed(path),), f"list {path}")
    answers = yield [opening]
    handle = string(_fields(answers[0], opening, wire.HANDLE).raw())
    reading = Request(wire.READDIR, (handle,), opening.what)
    entries: list[Entry] = []
    fault: RemoteRefused | None = None
    ahead, more = 2, True
    while more:
        answers = yield [reading] * ahead
        for answer in answers:
            try:
                found = list(unpacked_entries(_fields(answer, reading, wire.NAME)))
            except EndOfFile:
                more = False
            except RemoteRefused as error:
                fault, more = error, False
            else:
                entries += found
                more = more and bool(found)  # none at all is not what the draft allows; it would go on for ever
        ahead = min(ahead * 2, 4 * _LISTINGS_AHEAD)
    yield [Request(wire.CLOSE, (handle,), opening.what)]
    if fault is not None:
        raise fault
    return [entry for entry in entries if entry.name not in (".", "..")]


def _make_folder(path: str) -> Dialogue[None]:
    request = Request(wire.MKDIR, (packed(path), NO_ATTRIBUTES), f"make the folder {path}")
    answers = yield [request]
    try:
        _fields(answers[0], request)
    except RemoteRefused:
        there = yield from _stat(path)
        if there is None or not there.is_folder:
            raise


def _write(file: SmallFile, request_bytes: int) -> Dialogue[None]:
    what = f"write to {file.path}"
    opening = Request(wire.OPEN, (packed(file.path), struct.pack(">I", _WRITE_NEW), NO_ATTRIBUTES), what)
    answers = yield [opening]
    handle = string(_fields(answers[0], opening, wire.HANDLE).raw())
    data = memoryview(file.data)
    portions = [(at, data[at : at + request_bytes]) for at in range(0, len(data), request_bytes)]
    requests = [
        Request(wire.WRITE, (handle + struct.pack(">QI", at, len(portion)), portion), what) for at, portion in portions
    ]
    closing = Request(wire.CLOSE, (handle,), f"close {file.path}")
    timing = [] if file.mtime is None else [Request(wire.FSETSTAT, (handle, packed_times(file.mtime)), what)]
    answers = yield [*requests, *timing, closing]
    for request, answer in zip((*requests, closing), (*answers[: len(requests)], answers[-1]), strict=True):
        _fields(answer, request)


def _read(path: str, size: int, request_bytes: int) -> Dialogue[bytes]:
    opening = Request(wire.OPEN, (packed(path), struct.pack(">I", _READ), NO_ATTRIBUTES), f"read {path}")
    answers = yield [opening]
    handle = string(_fields(answers[0], opening, wire.HANDLE).raw())

    def asking(at: int, length: int) -> Request:
        return Request(wire.READ, (handle, struct.pack(">QI", at, length)), opening.what)

    data, fault = bytearray(), None
    while len(data) < size and fault is None:  # a server may give less than asked: what is missing is asked for again
        portions = [(at, min(request_bytes, size - at)) for at in range(len(data), size, request_bytes)]
        answers = yield [asking(*portion) for portion in portions]
        try:
            for (at, length), answer in zip(portions, answers, strict=True):
                data += _fields(answer, opening, wire.DATA).raw()
                if len(data) < at + length:
                    break
        except EndOfFile:
            break
        except RemoteRefused as error:
            fault = error
    yield [Request(wire.CLOSE, (handle,), f"close {path}")]
    if fault is not None:
        raise fault
    return bytes(data)


def _rename(source: str, destination: str) -> Dialogue[None]:
    what = f"rename {posixpath.basename(source)} to {posixpath.basename(destination)}"
    looking = Request(wire.LSTAT, (packed(destination),), what)
    answers = yield [looking]
    with suppress(RemoteMissing):
        _fields(answers[0], looking)
        raise RemoteExists(f"cannot {what}: that name is taken")
    renaming = Request(wire.RENAME, (packed(source), packed(destination)), what)
    answers = yield [renaming]
    _fields(answers[0], renaming)


def _posix_rename(source: str, destination: str) -> Dialogue[None]:
    what = f"put {posixpath.basename(source)} in the place of {posixpath.basename(destination)}"
    parts = (string("posix-rename@openssh.com"), packed(source), packed(destination))
    request = Request(wire.EXTENDED, parts, what)
    answers = yield [request]
    _fields(answers[0], request)


def _set_time(path: str, mtime: int) -> Dialogue[None]:
    request = Request(wire.SETSTAT, (packed(path), packed_times(mtime)), f"set the time of {path}")
    answers = yield [request]
    _fields(answers[0], request)


def _fields(answer: Answer, request: Request, kind: int | None = None) -> Unpacker:
    """An answer's fields. Raises the refusal that a bad status stands for, and one for an answer of another kind."""
    got, payload = answer
    if got == wire.STATUS:
        check(payload, request.what)
        if kind is None:
            return Unpacker(payload)
    if kind is not None and got != kind:
        raise RemoteRefused(f"cannot {request.what}: the server answered with something else")
    return Unpacker(payload)
