"""Opening connections: dial, check the host key, sign in, look once at what the server can do."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import paramiko

from uploader.errors import RemoteRefused, RouteUnavailable
from uploader.events import Observer, silence
from uploader.profile import Quirks, Refusal, Target
from uploader.remote.interface import Range, Secrets, ServerFacts, Trust
from uploader.remote.sftp import shell
from uploader.remote.sftp.auth import Login
from uploader.remote.sftp.config import Address, look_up, parse_hop
from uploader.remote.sftp.faults import mapped
from uploader.remote.sftp.files import SftpFiles
from uploader.remote.sftp.hostkeys import KnownHosts, fingerprint
from uploader.remote.sftp.wire import Wire

_DIAL_SECONDS = 15.0
_SILENCE_SECONDS = 30.0
_CIPHERS = (
    "aes128-gcm@openssh.com",  # with AES in the CPU the fastest by far
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
)
_WINDOW = 16 * 1024 * 1024
_Line = socket.socket | paramiko.Channel | paramiko.ProxyCommand


@dataclass(frozen=True)
class Surroundings:
    """What a connector needs beside its target.

    `hop_secrets` gives the secrets for a jump host by its address: the target's own password is nothing that a jump
    host should ever see. `remember` writes an accepted host key to the file at once; `expected` is the one
    fingerprint (`SHA256:...`) that the target's key may have, whatever was pinned before.
    """

    known_hosts: KnownHosts
    secrets: Secrets
    hop_secrets: Callable[[str], Secrets]
    trust: Trust
    observer: Observer = silence
    remember: bool = False
    expected: str | None = None
    ssh_folder: Path | None = None


class SftpConnector:
    """Opens connections to one target; safe to use from several threads."""

    def __init__(
        self,
        target: Target,
        around: Surroundings,
        *,
        quirks: Quirks | None = None,
        refusal: Callable[[str], Refusal | None] = lambda _host: None,
    ) -> None:
        self._target = target
        self._around = around
        self._quirks = quirks or Quirks()
        self._refusal = refusal
        self._ssh_folder = around.ssh_folder or Path.home() / ".ssh"
        self._shell_known = self._quirks.shell
        self._tools: tuple[str, ...] = ()
        self._asking = threading.Lock()  # one conversation with the user at a time

    def address(self) -> Address:
        """Where this target is, by its own facts and ~/.ssh/config. Raises RouteUnavailable for a host that is
        known not to do SFTP."""
        target = self._target
        found = look_up(
            target.host,
            port=target.port,
            user=target.user,
            identity_file=target.identity_file,
            jump=target.jump,
            config=self._ssh_folder / "config",
        )
        if (refused := self._refusal(found.host)) is not None:
            raise RouteUnavailable(f"{found.host} cannot take files", remedy=refused.reason)
        return found

    def connect(self) -> SftpConnection:
        """Raises NetworkError, HostKeyUnknown, HostKeyChanged, CredentialsMissing, CredentialsRefused, NoSftp."""
        address = self.address()
        hops: list[paramiko.Transport] = []
        try:
            sock = self._through(address, hops)
            with self._asking:
                transport, auth = self._sign_in(sock, address, self._target.name, self._around.secrets)
            hops.append(transport)
            return self._open(transport, hops, address, auth)
        except BaseException:
            _close_all(hops)
            raise

    def _open(
        self, transport: paramiko.Transport, hops: list[paramiko.Transport], address: Address, auth: str
    ) -> SftpConnection:
        where = f"{self._target.name} ({address.known_as})"
        wire = Wire(_sftp_channel(transport, where), where)
        if self._shell_known is None:
            found = shell.probe(transport, where, None)
            self._shell_known, self._tools = found is not None, found.tools if found else ()
        elif self._shell_known and not self._tools:
            found = shell.probe(transport, where, None)
            self._tools = found.tools if found else ()
        commands = shell.Shell(transport, where, self._tools) if self._shell_known else None
        files = SftpFiles(
            wire,
            quirk_bytes=self._quirks.max_request_bytes,
            other_free=commands.free_bytes if commands else None,
        )
        key = transport.get_remote_server_key()
        facts = ServerFacts(
            software=transport.remote_version.removeprefix("SSH-2.0-"),
            host_key=fingerprint(key.asbytes()),
            key_type=key.get_name(),
            auth=auth,
            home=files.home,
            shell=commands is not None,
            tools=self._tools,
            extensions=tuple(sorted(wire.extensions)),
            request_bytes=files.request_bytes,
        )
        return SftpConnection(files, facts, commands, hops)

    def _through(self, address: Address, hops: list[paramiko.Transport]) -> _Line:
        """Dials the server: straight, by a ProxyCommand, or from jump host to jump host (ssh_config(5), ProxyJump)."""
        if not address.jumps:
            return _dial(address)
        for hop in address.jumps:
            host, port, user = parse_hop(hop)
            jump = look_up(host, port=port, user=user, config=self._ssh_folder / "config")
            if not jump.identity_files:
                jump = replace(jump, identity_files=address.identity_files, identities_only=address.identities_only)
            sock = _channel_to(hops[-1], jump) if hops else _dial(jump)
            with self._asking:
                known_name = f"{self._target.name}+{jump.known_as}"
                transport, _ = self._sign_in(sock, jump, known_name, self._around.hop_secrets(jump.known_as))
            hops.append(transport)
        return _channel_to(hops[-1], address)

    def _sign_in(
        self, sock: _Line, address: Address, known_name: str, secrets: Secrets
    ) -> tuple[paramiko.Transport, str]:
        around = self._around
        with mapped(address.known_as):
            try:
                transport = paramiko.Transport(sock, default_window_size=_WINDOW)
            except BaseException:
                sock.close()
                raise
            transport.daemon = True
            try:
                _prefer(transport, around.known_hosts.key_types(known_name, address.known_as))
                transport.start_client(timeout=_DIAL_SECONDS)
                key = transport.get_remote_server_key()
                self._check_key(key, known_name, address)
                transport.set_keepalive(15)
                return transport, Login(transport, address, secrets, around.observer, self._ssh_folder).run()
            except BaseException:
                _close_all([transport])
                raise

    def _check_key(self, key: paramiko.PKey, known_name: str, address: Address) -> None:
        around = self._around
        if around.expected is not None and known_name == self._target.name:
            around.known_hosts.expect(key, known_name, address.known_as, around.expected)
        else:
            around.known_hosts.verify(key, known_name, address.known_as, around.trust)
        if around.remember:
            around.known_hosts.keep(known_name)


class SftpConnection:
    """One login, its SFTP session, and its shell where there is one."""

    def __init__(
        self,
        files: SftpFiles,
        facts: ServerFacts,
        commands: shell.Shell | None,
        transports: Sequence[paramiko.Transport],
    ) -> None:
        self.files = files
        self.facts = facts
        self._shell = commands
        self._transports = transports

    def hashes(self, path: str, ranges: Sequence[Range]) -> list[str] | None:
        there = self.files.stat(path)
        if there is None:
            return None
        if self._shell is not None and (found := self._shell.hashes(path, there.size, ranges)) is not None:
            return found
        found = []
        for offset, length in ranges:
            digest = self.files.check_file(path, offset, length)
            if digest is None:
                return None
            found.append(digest)
        return found

    def interrupt(self) -> None:
        for transport in self._transports:
            transport.close()

    def close(self) -> None:
        _close_all(self._transports)


def _close_all(transports: Sequence[paramiko.Transport]) -> None:
    """Closes the innermost first and waits a moment for each thread, so that no socket is left behind."""
    for transport in reversed(transports):
        transport.close()
        transport.join(timeout=2.0)


def _sftp_channel(transport: paramiko.Transport, where: str) -> paramiko.Channel:
    with mapped(where):
        channel = transport.open_session(timeout=_SILENCE_SECONDS)
        channel.settimeout(_SILENCE_SECONDS)
        try:
            channel.invoke_subsystem("sftp")
        except paramiko.SSHException as error:
            if not transport.is_active():
                raise
            raise RemoteRefused(
                f"{where} lets us in but refuses SFTP",
                remedy="Start the instance with a full SSH server (on RunPod: SSH over exposed TCP).",
            ) from error
        return channel


def _dial(address: Address) -> _Line:
    with mapped(address.known_as):
        if address.proxy_command:
            return paramiko.ProxyCommand(address.proxy_command)
        sock = socket.create_connection((address.host, address.port), timeout=_DIAL_SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if sys.platform == "win32":  # elsewhere a fixed buffer would end the system's own tuning
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * 1024 * 1024)
        return sock


def _channel_to(transport: paramiko.Transport, address: Address) -> paramiko.Channel:
    with mapped(f"{address.known_as} (through the jump host)"):
        return transport.open_channel(
            "direct-tcpip", (address.host, address.port), ("127.0.0.1", 0), timeout=_DIAL_SECONDS
        )


def _prefer(transport: paramiko.Transport, key_types: Sequence[str]) -> None:
    options = transport.get_security_options()
    options.ciphers = [name for name in _CIPHERS if name in options.ciphers]
    # A server has keys of several types: ask for the one that is pinned, or it would look changed.
    wanted = ["rsa-sha2-512" if name == "ssh-rsa" else name for name in key_types]
    first = [name for name in wanted if name in options.key_types]
    options.key_types = [*first, *(name for name in options.key_types if name not in first)]
