"""SFTP servers that disobey at a moment that the test chooses."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import paramiko
from paramiko.common import OPEN_FAILED_RESOURCE_SHORTAGE, OPEN_SUCCEEDED
from paramiko.sftp import (
    CMD_CLOSE,
    CMD_FSETSTAT,
    CMD_OPEN,
    CMD_READ,
    CMD_RENAME,
    CMD_SETSTAT,
    CMD_STAT,
    CMD_WRITE,
    SFTP_FAILURE,
)

from tests.servers.faulty import Cuts, NotingGate, ObservedServer, WriteFault
from uploader.demo.server import DemoSession
from uploader.demo.tree import Handle, Tree

REQUESTS = {
    "OPEN": CMD_OPEN,
    "CLOSE": CMD_CLOSE,
    "READ": CMD_READ,
    "WRITE": CMD_WRITE,
    "STAT": CMD_STAT,
    "SETSTAT": CMD_SETSTAT,
    "FSETSTAT": CMD_FSETSTAT,
    "RENAME": CMD_RENAME,
}


class _FailingSession(DemoSession):
    def _process(self, kind: int, number: int, message: paramiko.Message) -> None:
        if cast(Fails, self.embedded).is_due(kind):
            self._send_status(number, SFTP_FAILURE)  # type: ignore[attr-defined]
        else:
            super()._process(kind, number, message)  # type: ignore[misc]


class Fails(ObservedServer):
    """Answers a generic failure to the `at`-th request of one kind after `begin`, and to the `times - 1` that come
    after it; requests are counted over all connections, from 1. `failed` says how often it did."""

    session = _FailingSession

    def __init__(self, root: Path, request: str, *, at: int = 1, times: int = 1, **options: Any) -> None:
        super().__init__(root, **options)
        self._kind = REQUESTS[request]
        self._due = range(at, at + times)
        self._seen: int | None = None
        self.failed = 0

    def begin(self) -> None:
        """Count requests from now on."""
        with self.counting:
            self._seen = 0

    def end(self) -> None:
        """Stop failing."""
        with self.counting:
            self._seen = None

    def is_due(self, kind: int) -> bool:
        """Count a request; whether it is one of those that fail."""
        if kind != self._kind:
            return False
        with self.counting:
            if self._seen is None:
                return False
            self._seen += 1
            due = self._seen in self._due
            self.failed += due
        return due


class _ShortHandle(Handle):
    def read(self, offset: int, length: int) -> bytes | int:
        return super().read(offset, max(1, length * 2 // 3))


class _ShortTree(Tree):
    handle = _ShortHandle


class ShortReads(ObservedServer):
    """Gives two thirds of what a read asks for, as the protocol allows."""

    tree = _ShortTree


class ShortWrite(WriteFault):
    """Stores half of the `at`-th write and acknowledges all of it."""

    def __init__(self, root: Path, *, at: int, **options: Any) -> None:
        super().__init__(root, **options)
        self._left = at

    def verdict(self, total: int, offset: int, data: bytes) -> bytes | None:
        with self.counting:
            self._left -= 1
            return data[: len(data) // 2] if self._left == 0 else None


class _OneChannelGate(NotingGate):
    _open = 0

    def check_channel_request(self, kind: str, chanid: int) -> int:
        verdict = super().check_channel_request(kind, chanid)
        if verdict != OPEN_SUCCEEDED or self._open:
            server = cast(OneChannel, self.server)
            with server.counting:
                server.refused += 1
            return OPEN_FAILED_RESOURCE_SHORTAGE
        self._open += 1
        return verdict

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self._open -= 1  # the client closes it again
        return False


class OneChannel(ObservedServer):
    """Allows one channel over each connection at a time. `refused` counts the further ones."""

    gate = _OneChannelGate

    def __init__(self, root: Path, **options: Any) -> None:
        super().__init__(root, **options)
        self.refused = 0


class _HoldingTree(Tree):
    @property
    def holder(self) -> HoldsPart:
        return cast(HoldsPart, self.server)

    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> paramiko.SFTPHandle | int:
        if flags & (os.O_WRONLY | os.O_RDWR) and self.holder.still_held():
            return SFTP_FAILURE
        return super().open(path, flags, attr)


class _CountingHandle(Handle):
    def store(self, offset: int, data: bytes) -> int:
        server = cast(HoldsPart, self.server)
        verdict = server.verdict(server.count(len(data)), offset, data)
        return verdict if isinstance(verdict, int) else super().store(offset, data)


class HoldsPart(Cuts):
    """Drops its connections once `after` bytes were written. Then refuses `refusals` times to open a file for
    writing, as if a process of the lost connection still had it; `held` counts these refusals."""

    class tree(_HoldingTree):  # noqa: N801 - an attribute of the server
        handle = _CountingHandle

    def __init__(self, root: Path, *, after: int, refusals: int, **options: Any) -> None:
        super().__init__(root, after=after, **options)
        self.refusals = refusals
        self.held = 0

    def still_held(self) -> bool:
        """Whether an open for writing is refused; asked for each."""
        with self.counting:
            holds = self.times == 0 and self.held < self.refusals
            self.held += holds
        return holds
