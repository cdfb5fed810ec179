"""One login on a server over SSH: its files, its shell, its rolling hashes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

import paramiko

from uploader.errors import RemoteRefused
from uploader.remote.abilities import Abilities
from uploader.remote.interface import ConnectionInfo, Copied, Range, RangeLimiter
from uploader.remote.sftp.errors import mapped
from uploader.remote.sftp.files import SftpFiles
from uploader.remote.sftp.protocol import SftpProtocol
from uploader.remote.sftp.rolling_hash import SftpReadBackDigest, SftpRollingDigest
from uploader.remote.sftp.shared_folders import SharedFolders
from uploader.remote.sftp.shell import Shell
from uploader.remote.sftp.shell_probe import Tools
from uploader.remote.sftp.transport import Transport, close_all, close_channel
from uploader.remote.sftp.tunnel import open_tunnel
from uploader.threads import BackgroundCall

T = TypeVar("T")

_CHANNEL_REQUEST = 98
_COPYING = {"copy-data", "hardlink@openssh.com"}


@dataclass(frozen=True)
class ServerIdentity:
    """What the handshake told; the words of ConnectionInfo."""

    software: str
    host_key: str
    key_type: str
    auth: str


class SftpConnection:
    """One login, its SFTP session, and its shell where there is one. What takes time to know is waited for when it is
    asked."""

    def __init__(
        self,
        files: SftpFiles,
        identity: ServerIdentity,
        tools: Tools,
        transports: Sequence[Transport],
        silence_seconds: float,
        marks: set[str],
    ) -> None:
        self.files = files
        self._identity = identity
        self._tools = tools
        self._transports = transports
        self._silence_seconds = silence_seconds
        self._folders = SharedFolders(marks)

    @property
    def round_trip(self) -> float:
        return self.files.round_trip

    @property
    def shell(self) -> Shell | None:
        """Its shell; None where no command runs. Waits until that is known."""
        where = self.files.protocol.where
        tools = self._tools.of(self._transports[-1], where)
        return None if tools is None else Shell(self._transports[-1], where, tools)

    @property
    def facts(self) -> ConnectionInfo:
        commands = self.shell
        return ConnectionInfo(
            **asdict(self._identity),
            home=self.files.home,
            shell=commands is not None,
            tools=commands.tools if commands else (),
            extensions=tuple(sorted(self.files.protocol.extensions)),
            request_bytes=self.files.request_bytes,
        )

    @property
    def settled(self) -> bool:
        return self.files.settled

    @property
    def abilities(self) -> Abilities:
        commands, extensions = self.shell, self.files.protocol.extensions.keys()
        return Abilities(
            shell=commands is not None,
            hash="check-file" in extensions or (commands is not None and commands.hashes_files),
            server_copy=bool(_COPYING & extensions) or commands is not None,
        )

    def hashes(self, path: str, ranges: Sequence[Range]) -> list[str] | None:
        there = self.files.stat(path)
        if there is None:
            return None
        size = there.size
        found = self._by_shell([path], lambda commands: commands.hashes(path, size, ranges))
        if found is not None and self._folders.holds(path):
            return found
        found = []
        for offset, length in ranges:
            digest = self.files.check_file(path, offset, length)
            if digest is None:
                return None
            found.append(digest)
        return found

    def hash_files(self, paths: Sequence[str]) -> list[str | None] | None:
        found = self._by_shell(paths, lambda commands: commands.hash_files(paths))
        if found is None or not any(map(self._folders.holds, paths)):
            return None
        return [hash if self._folders.holds(path) else None for path, hash in zip(paths, found, strict=True)]

    def duplicate(self, source: str, destination: str) -> Copied | None:
        ways: tuple[tuple[str, Copied, Callable[[str, str], None]], ...] = (
            ("copy-data", "copy", self.files.copy),
            ("hardlink@openssh.com", "link", self.files.link),
        )
        for extension, word, way in ways:
            if extension in self.files.protocol.extensions:
                with contextlib.suppress(RemoteRefused):
                    way(source, destination)
                    return word
        if self.sees(source, destination) and (commands := self.shell) is not None:
            return "copy" if commands.copy(source, destination) else None
        return None

    def sees(self, *paths: str) -> bool:
        if (commands := self.shell) is None:
            return False
        with contextlib.suppress(RemoteRefused):
            self._ask(paths, commands, self.files.protocol)
        return all(map(self._folders.holds, paths))

    def _by_shell(self, paths: Sequence[str], call: Callable[[Shell], T | None]) -> T | None:
        """Return what the shell tells of files. Beside it, find out whether it sees their folders."""
        if (commands := self.shell) is None:
            return None
        if self._folders.known(paths):
            return call(commands)
        refused = False
        with BackgroundCall(lambda: call(commands), name="shell") as called:
            try:
                self._ask(paths, commands, self.files.protocol)
            except RemoteRefused:  # a server that allows few channels
                refused = True
        found = called.result()
        if refused and not self.sees(*paths):
            return None
        return call(commands) if found is None and self.shell is not None else found

    def _ask(self, paths: Sequence[str], commands: Shell, protocol: SftpProtocol) -> None:
        self._folders.ask(paths, commands, protocol)
        if self._folders.elsewhere:
            self._tools.distrust()

    def hash_along(self, path: str) -> SftpRollingDigest | None:
        commands = self.shell
        if commands is None or "python3" not in commands.tools or "\n" in path:
            return None
        try:
            digest = SftpRollingDigest(self._transports[-1], self.files.protocol.where, path)
        except RemoteRefused:  # a server that allows few channels
            return None
        try:
            if not self._folders.known([path]):
                self._ask_aside(path, commands)
        except BaseException as error:
            digest.close()
            if isinstance(error, RemoteRefused):
                return None
            raise
        if self._folders.holds(path):
            return digest
        digest.close()
        return None

    def _ask_aside(self, path: str, commands: Shell) -> None:
        """As `_ask`, over an SFTP session of its own: another thread uses the connection's."""
        where = self.files.protocol.where
        channel = sftp_channel(self._transports[-1], where, self._silence_seconds)
        try:
            self._ask([path], commands, SftpProtocol(channel, where))
        finally:
            close_channel(channel)

    def read_along(self, path: str, limited: RangeLimiter = list) -> SftpReadBackDigest | None:
        where = self.files.protocol.where
        try:
            channel = sftp_channel(self._transports[-1], where, self._silence_seconds)
        except RemoteRefused:  # a server that allows few channels
            return None
        try:
            return SftpReadBackDigest(
                SftpFiles(SftpProtocol(channel, where), quirk_bytes=self.files.request_bytes), path, limited
            )
        except BaseException as error:
            close_channel(channel)
            if isinstance(error, RemoteRefused):
                return None
            raise

    def open_tunnel(self, host: str, port: int, seconds: float) -> paramiko.Channel:
        return open_tunnel(self._transports[-1], host, port, seconds, self.files.protocol.where)

    def interrupt(self) -> None:
        for transport in self._transports:
            transport.close()

    def close(self) -> None:
        close_all(self._transports)


def sftp_channel(transport: Transport, where: str, silence_seconds: float) -> paramiko.Channel:
    """Open a channel and ask for the SFTP subsystem on it (RFC 4254, section 6.5), without waiting for the answer.

    A server that has none closes the channel, which the first request on it finds. Raises RemoteRefused when there
    is no further channel, and NetworkError."""
    with mapped(where):
        channel = transport.open_session(timeout=silence_seconds)
        channel.settimeout(silence_seconds)
        request = paramiko.Message()
        request.add_byte(bytes((_CHANNEL_REQUEST,)))
        request.add_int(channel.remote_chanid)
        request.add_string("subsystem")
        request.add_boolean(True)
        request.add_string("sftp")
        transport.send_for_channels(request)
        return channel
