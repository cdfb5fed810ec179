"""SFTP servers that lie, fail and stall: the embedded server with one fault each.

    with FullDisk(folder, after=1000) as server: ...
    with Frozen(folder, after=1000) as server:
        ...                                # in a thread
        server.frozen.wait(10)             # it has stopped answering

Every one of them refuses exec and notes each attempt to log in. Byte counts run over all connections.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import paramiko
from paramiko.common import AUTH_FAILED, AUTH_PARTIALLY_SUCCESSFUL, AUTH_SUCCESSFUL
from paramiko.server import InteractiveQuery
from paramiko.sftp import (
    CMD_EXTENDED,
    CMD_EXTENDED_REPLY,
    SFTP_FAILURE,
    SFTP_PERMISSION_DENIED,
)

from uploader.demo.server import Behaviour, DemoSession, EmbeddedServer, Gate
from uploader.demo.tree import Handle, Tree
from uploader.secret import Secret


@dataclass(frozen=True)
class Attempt:
    """One try to log in: `none`, `password`, `publickey` or `keyboard-interactive`."""

    method: str
    user: str
    accepted: bool


class NotingGate(Gate):
    """Notes what was tried. A key is noted once when it is asked about and once when it signs."""

    def noted(self, method: str, user: str, result: int) -> int:
        server = cast(ObservedServer, self.server)
        with server.counting:
            server.attempts.append(Attempt(method, user, result != AUTH_FAILED))
        return result

    def check_auth_none(self, username: str) -> int:
        return self.noted("none", username, super().check_auth_none(username))

    def check_auth_password(self, username: str, password: str) -> int:
        return self.noted("password", username, super().check_auth_password(username, password))

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return self.noted("publickey", username, super().check_auth_publickey(username, key))


class ObservedServer(EmbeddedServer):
    """An honest server that remembers: `attempts` to log in, and `stored` bytes."""

    gate = NotingGate

    def __init__(self, root: Path, **options: Any) -> None:
        super().__init__(root, **options)
        self.attempts: list[Attempt] = []
        self.stored = 0
        self.counting = threading.Lock()

    def tries(self, method: str) -> int:
        """How often this way in was tried."""
        with self.counting:
            return sum(attempt.method == method for attempt in self.attempts)

    def count(self, size: int) -> int:
        """Add to the bytes that were sent to be stored; returns how many there are now."""
        with self.counting:
            self.stored += size
            return self.stored


# names ------------------------------------------------------------------------------------------------


class NoPosixRename(ObservedServer):
    """Knows the plain rename alone, and that fails with a generic failure when the name is taken."""

    def __init__(self, root: Path, **options: Any) -> None:
        super().__init__(root, behaviour=Behaviour(posix_rename=False), **options)


class _ForbiddingTree(Tree):
    def mkdir(self, path: str, attr: paramiko.SFTPAttributes) -> int:
        if "mkdir" in cast(Forbidding, self.server).forbidden:
            return SFTP_PERMISSION_DENIED
        return super().mkdir(path, attr)

    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> paramiko.SFTPHandle | int:
        if "open" in cast(Forbidding, self.server).forbidden:
            return SFTP_PERMISSION_DENIED
        return super().open(path, flags, attr)


class Forbidding(ObservedServer):
    """Denies what is named: `mkdir`, `open`."""

    tree = _ForbiddingTree

    def __init__(self, root: Path, *forbidden: str, **options: Any) -> None:
        super().__init__(root, **options)
        self.forbidden = frozenset(forbidden)


# bytes ------------------------------------------------------------------------------------------------


class _CountingHandle(Handle):
    """Asks its server about every write."""

    def store(self, offset: int, data: bytes) -> int:
        server = cast(WriteFault, self.server)
        verdict = server.verdict(server.count(len(data)), offset, data)
        if isinstance(verdict, int):
            return verdict
        return super().store(offset, data if verdict is None else verdict)


class _CountingTree(Tree):
    handle = _CountingHandle


class WriteFault(ObservedServer):
    """A server whose writes go wrong. `verdict` is a status to answer, other bytes to store, or None."""

    tree = _CountingTree

    def verdict(self, total: int, offset: int, data: bytes) -> int | bytes | None:
        """Judge a write; `total` counts the bytes of all writes up to this one's end."""
        return None


class FullDisk(WriteFault):
    """Answers a generic failure once `after` bytes were written, and has no statvfs to say why."""

    def __init__(self, root: Path, *, after: int, **options: Any) -> None:
        super().__init__(root, **options)
        self.after = after

    def verdict(self, total: int, offset: int, data: bytes) -> int | None:
        return SFTP_FAILURE if total > self.after else None


class ChangesByte(WriteFault):
    """Stores another byte than it was sent at `offset` of every file, and acknowledges it."""

    def __init__(self, root: Path, *, offset: int, **options: Any) -> None:
        super().__init__(root, **options)
        self.offset = offset

    def verdict(self, total: int, offset: int, data: bytes) -> bytes | None:
        place = self.offset - offset
        if not 0 <= place < len(data):
            return None
        return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]


class DropsWrites(WriteFault):
    """Acknowledges all, and stores nothing from `offset` on: files come out short."""

    def __init__(self, root: Path, *, offset: int, **options: Any) -> None:
        super().__init__(root, **options)
        self.offset = offset

    def verdict(self, total: int, offset: int, data: bytes) -> bytes | None:
        return data[: max(0, self.offset - offset)] if offset + len(data) > self.offset else None


class Cuts(WriteFault):
    """Drops every connection once `after` bytes were written, `times` times; each drop starts the count again."""

    def __init__(self, root: Path, *, after: int, times: int = 1, **options: Any) -> None:
        super().__init__(root, **options)
        self.after = after
        self.times = times

    def verdict(self, total: int, offset: int, data: bytes) -> int | None:
        with self.counting:
            due = self.times > 0 and self.stored >= self.after
            if due:
                self.times -= 1
                self.stored = 0
        if not due:
            return None
        self.drop_connections()
        return SFTP_FAILURE


class Frozen(WriteFault):
    """Stops answering writes once `after` bytes were written: `frozen` is set, and it waits for `thaw`."""

    def __init__(self, root: Path, *, after: int, **options: Any) -> None:
        super().__init__(root, **options)
        self.after = after
        self.frozen = threading.Event()
        self.thaw = threading.Event()

    def verdict(self, total: int, offset: int, data: bytes) -> None:
        if total > self.after:
            self.frozen.set()
            self.thaw.wait()

    def close(self) -> None:
        self.thaw.set()
        super().close()


# the way in -------------------------------------------------------------------------------------------


class Crowded(ObservedServer):
    """Takes `limit` connections at once; what comes beyond is closed before it hears a word."""

    def __init__(self, root: Path, *, limit: int, **options: Any) -> None:
        super().__init__(root, behaviour=Behaviour(connections=limit), **options)


class _CodeGate(NotingGate):
    _password_given = False

    def get_allowed_auths(self, username: str) -> str:
        if cast(OneTimeCode, self.server).after_password and not self._password_given:
            return "password"
        return "keyboard-interactive"

    def check_auth_password(self, username: str, password: str) -> int:
        known = cast(OneTimeCode, self.server).after_password and self.knows(username, password)
        self._password_given = self._password_given or known
        return self.noted("password", username, AUTH_PARTIALLY_SUCCESSFUL if known else AUTH_FAILED)

    def check_auth_interactive(self, username: str, submethods: str) -> int | InteractiveQuery:
        server = cast(OneTimeCode, self.server)
        self._user = username
        if not server.after_password:
            return InteractiveQuery("Two steps", "Both are needed.", ("Password: ", False), ("One-time code: ", True))
        if self._password_given:
            return InteractiveQuery("Second step", "", ("One-time code: ", True))
        return self.noted("keyboard-interactive", username, AUTH_FAILED)

    def check_auth_interactive_response(self, responses: list[str]) -> int:
        server = cast(OneTimeCode, self.server)
        wanted = [server.code] if server.after_password else [server.password, server.code]
        right = [Secret(response) for response in responses] == wanted and self._user == server.user
        return self.noted("keyboard-interactive", self._user, AUTH_SUCCESSFUL if right else AUTH_FAILED)


class OneTimeCode(ObservedServer):
    """Asks for the password and a code in one dialogue, or (`after_password`) for the code once the password is in."""

    gate = _CodeGate

    def __init__(self, root: Path, *, after_password: bool = False, **options: Any) -> None:
        super().__init__(root, **options)
        self.after_password = after_password
        self.code = Secret("424242")


# the protocol -----------------------------------------------------------------------------------------


class _BannerSession(DemoSession):
    def start_subsystem(self, name: str, transport: paramiko.Transport, channel: paramiko.Channel) -> None:
        channel.sendall(cast(Banner, self.embedded).text.encode())
        super().start_subsystem(name, transport, channel)


class Banner(ObservedServer):
    """Writes a text into the SFTP stream before the protocol begins, as a login script does."""

    session = _BannerSession

    def __init__(self, root: Path, *, text: str = "Welcome to the pod\n", **options: Any) -> None:
        super().__init__(root, **options)
        self.text = text


class _HashingSession(DemoSession):
    def extensions(self) -> Mapping[str, str]:
        return {**super().extensions(), "check-file": "md5,sha1,sha256"}

    def _process(self, kind: int, number: int, message: paramiko.Message) -> None:
        if kind == CMD_EXTENDED and message.get_remainder()[4:].startswith(b"check-file-name"):
            message.get_text()
            self._hash(number, message)
        else:
            super()._process(kind, number, message)  # type: ignore[misc]

    def _hash(self, number: int, message: paramiko.Message) -> None:
        path, algorithms = message.get_text(), message.get_text().split(",")
        offset, length = message.get_int64(), message.get_int64()
        try:
            with Path(cast(Tree, self.server).local(path)).open("rb") as file:
                file.seek(offset)
                data = file.read(length or -1)
        except OSError as fault:
            self._send_status(number, self.convert_errno(fault.errno or 0))  # type: ignore[attr-defined]
            return
        if "sha256" not in algorithms or (length and len(data) < length):
            self._send_status(number, SFTP_FAILURE)  # type: ignore[attr-defined]
            return
        cast(HashesFiles, self.embedded).hashed += 1
        reply = paramiko.Message()
        reply.add_int(number)
        reply.add_string("sha256")
        reply.add_bytes(hashlib.sha256(data).digest())
        self._send_packet(CMD_EXTENDED_REPLY, reply)  # type: ignore[attr-defined]


class HashesFiles(ObservedServer):
    """Has no shell and takes hashes all the same: `check-file` (draft-ietf-secsh-filexfer-extensions-00).

    A range that the file does not cover is refused. `hashed` counts the answers.
    """

    session = _HashingSession

    def __init__(self, root: Path, **options: Any) -> None:
        super().__init__(root, **options)
        self.hashed = 0


class HashesFilesAndChangesByte(ChangesByte, HashesFiles):
    """Tells the hash of what it really stored, which is not what it was sent."""

    session = _HashingSession
