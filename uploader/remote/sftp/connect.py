"""Opening connections: dial, check the host key, sign in, look once at what the server can do."""

from __future__ import annotations

import contextlib
import shlex
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import paramiko

from uploader.errors import HostKeyChanged, HostKeyUnknown, NetworkError, NoSftp, RemoteRefused, RouteUnavailable
from uploader.events import Message, Observer, silence
from uploader.profile import Quirks, Refusal, Target
from uploader.remote.interface import HostKeyPolicy, Secrets
from uploader.remote.sftp.auth import Login, SignInMethod
from uploader.remote.sftp.connection import ServerIdentity, SftpConnection, sftp_channel
from uploader.remote.sftp.errors import NothingInCommon, mapped
from uploader.remote.sftp.files import SftpFiles
from uploader.remote.sftp.known_hosts import KnownHosts, fingerprint
from uploader.remote.sftp.protocol import SftpProtocol
from uploader.remote.sftp.proxy_command import ProxySocket
from uploader.remote.sftp.shell_probe import Tools
from uploader.remote.sftp.ssh_config import Address, look_up, parse_hop
from uploader.remote.sftp.transport import Transport, close_all, shake_hands

_KEY_FAMILIES = (
    ("ssh-ed25519",),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    ("ssh-rsa",),
)
_FREED_SECONDS = (0.05, 0.1, 0.2)
_Line = socket.socket | paramiko.Channel


@dataclass(frozen=True)
class SshEnvironment:
    """What a connector needs beside its target.

    `hop_secrets` gives the secrets for a jump host by its address: the target's own password is nothing that a jump
    host should ever see. `remember` writes an accepted host key to the file at once; `expected` is the one
    fingerprint (`SHA256:...`) that the target's key may have, also when another was pinned before.
    """

    known_hosts: KnownHosts
    secrets: Secrets
    hop_secrets: Callable[[str], Secrets]
    trust: HostKeyPolicy
    observer: Observer = silence
    remember: bool = False
    expected: str | None = None
    ssh_folder: Path | None = None


class SftpConnector:
    """Opens connections to one target; safe to use from several threads.

    `dial_seconds` is what reaching a server and agreeing on keys may take, each; `silence_seconds` how long it may
    stay silent after that before the line counts as lost.
    """

    def __init__(
        self,
        target: Target,
        around: SshEnvironment,
        *,
        quirks: Quirks | None = None,
        refusal: Callable[[str], Refusal | None] = lambda _host: None,
        dial_seconds: float = 15.0,
        silence_seconds: float = 30.0,
    ) -> None:
        self._target = target
        self._around = around
        self._quirks = quirks or Quirks()
        self._refusal = refusal
        self._dial_seconds = dial_seconds
        self._silence_seconds = silence_seconds
        self._ssh_folder = around.ssh_folder or Path.home() / ".ssh"
        self._tools = Tools(self._quirks.shell)
        self._asking = threading.Lock()  # one conversation with the user at a time
        # Whom our secrets have opened, and how: a line that ends there is worth another try.
        self._ways: dict[str, SignInMethod | None] = {}
        self._told: set[str] = set()
        self._marks: set[str] = set()  # see SharedFolders
        self.signed_in = threading.Event()
        self.round_trip = 0.0

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
            tell=self._tell_once,
        )
        if (refused := self._refusal(found.host)) is not None:
            raise RouteUnavailable(f"{found.host} cannot take files", remedy=refused.reason)
        return found

    def _tell_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._around.observer(Message(text, "debug"))

    def connect(self) -> SftpConnection:
        """Raises NetworkError, HostKeyUnknown, HostKeyChanged, CredentialsMissing, CredentialsRefused, NoSftp."""
        try:
            return self._connect()
        except HostKeyChanged as error:
            # The fingerprint that a provider shows may be of another type of key than the one we agreed on.
            for key_types in _KEY_FAMILIES if self._around.expected is not None else ():
                with contextlib.suppress(HostKeyChanged, NothingInCommon):
                    return self._connect(key_types)
            raise error from None

    def _connect(self, only: Sequence[str] = ()) -> SftpConnection:
        address = self.address()
        hops: list[Transport] = []
        try:
            sock = self._through(address, hops)
            transport, auth = self._sign_in(sock, address, self._target.name, self._around.secrets, only)
            hops.append(transport)
            return self._open(transport, hops, address, auth)
        except BaseException:
            close_all(hops)
            raise

    def _open(self, transport: Transport, hops: list[Transport], address: Address, auth: str) -> SftpConnection:
        where = f"{self._target.name} ({address.known_as})"
        # It goes on beside all else: it takes several round trips, and the way is long.
        self._tools.begin(transport, where)
        session = self._session(transport, where)
        files = SftpFiles(
            session,
            quirk_bytes=self._quirks.max_request_bytes,
            other_space=lambda path: commands.space(path) if (commands := connection.shell) else None,
            is_openssh="OpenSSH" in transport.remote_version,
        )
        with mapped(where):
            key = transport.get_remote_server_key()
        identity = ServerIdentity(
            software=transport.remote_version.removeprefix("SSH-2.0-"),
            host_key=fingerprint(key.asbytes()),
            key_type=key.get_name(),
            auth=auth,
        )
        connection = SftpConnection(files, identity, self._tools, hops, self._silence_seconds, self._marks)
        return connection

    def _session(self, transport: Transport, where: str) -> SftpProtocol:
        try:
            return SftpProtocol(sftp_channel(transport, where, self._silence_seconds), where)
        except RemoteRefused:
            if not transport.is_active():
                raise
            self._tools.of(transport, where)  # the question may have had the only channel that this server allows
        for pause in _FREED_SECONDS:  # and the server may take a moment to see that it is free again
            try:
                return SftpProtocol(sftp_channel(transport, where, self._silence_seconds), where)
            except NoSftp:
                raise
            except RemoteRefused:
                time.sleep(pause)
        return SftpProtocol(sftp_channel(transport, where, self._silence_seconds), where)

    def _through(self, address: Address, hops: list[Transport]) -> _Line:
        """Dials the server: straight, by a ProxyCommand, or from jump host to jump host (ssh_config(5), ProxyJump)."""
        for jump in self._jumps(address, {address.known_as}):
            sock = self._channel_to(hops[-1], jump) if hops else self._dial(jump)
            known_name = f"{self._target.name}+{jump.known_as}"
            transport, _ = self._sign_in(sock, jump, known_name, self._around.hop_secrets(jump.known_as))
            hops.append(transport)
        return self._channel_to(hops[-1], address) if hops else self._dial(address)

    def _jumps(self, address: Address, seen: set[str]) -> list[Address]:
        """The jump hosts on the way, first one first. The first may have jump hosts of its own; one that
        `Host *` sends to itself is dialled straight."""
        jumps: list[Address] = []
        for hop in address.jumps:
            host, port, user = parse_hop(hop)
            config = self._ssh_folder / "config"
            jump = look_up(host, port=port, user=user, config=config, tell=self._tell_once)
            if jump.known_as in seen:
                return jumps
            if not jump.identity_files:
                jump = replace(
                    jump,
                    identity_files=address.identity_files,
                    identities_only=address.identities_only,
                    own_key=address.own_key,
                )
            if not jumps:
                seen.add(jump.known_as)
                jumps += self._jumps(jump, seen)
            jumps.append(jump)
        return jumps

    def _dial(self, address: Address) -> _Line:
        with mapped(address.known_as):
            if address.proxy_command:
                return ProxySocket(address.proxy_command)
            began = time.monotonic()
            sock = socket.create_connection((address.host, address.port), timeout=self._dial_seconds)
            self.round_trip = time.monotonic() - began  # of a jump host, which is a part of the way
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if sys.platform == "win32":  # elsewhere a fixed buffer would end the system's own tuning
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * 1024 * 1024)
            return sock

    def _channel_to(self, transport: Transport, address: Address) -> paramiko.Channel:
        with mapped(f"{address.known_as} (through the jump host)"):
            there = (address.host, address.port)
            return transport.open_channel("direct-tcpip", there, ("127.0.0.1", 0), timeout=self._dial_seconds)

    def _sign_in(
        self, sock: _Line, address: Address, known_name: str, secrets: Secrets, only: Sequence[str] = ()
    ) -> tuple[Transport, str]:
        # The first login may need a person's answers; the later ones use the same, and need not wait for one another.
        turn = contextlib.nullcontext() if known_name in self._ways else self._asking
        try:
            with turn, mapped(address.known_as):
                return self._signed_in(sock, address, known_name, secrets, only)
        except NetworkError as error:
            if isinstance(sock, ProxySocket):
                raise sock.explained(error, address.known_as) from error
            raise

    def _signed_in(
        self, sock: _Line, address: Address, known_name: str, secrets: Secrets, only: Sequence[str]
    ) -> tuple[Transport, str]:
        around = self._around
        try:
            transport = Transport(sock, self._silence_seconds)
        except BaseException:
            sock.close()
            raise
        try:
            key_types = around.known_hosts.key_types(known_name, address.known_as)
            key = shake_hands(transport, key_types, self._dial_seconds, only=only)
            self._check_key(key, known_name, address)
            transport.set_keepalive(15)
            transport.auth_timeout = self._silence_seconds
            login = Login(transport, address, secrets, around.observer, self._ssh_folder)
            auth = login.run(proven=known_name in self._ways, way=self._ways.get(known_name))
            self._ways[known_name] = login.way
            if known_name == self._target.name:
                self.signed_in.set()
            return transport, auth
        except BaseException:
            close_all([transport])
            raise

    def _check_key(self, key: paramiko.PKey, known_name: str, address: Address) -> None:
        around = self._around
        if known_name != self._target.name:
            self._check_jump_key(key, known_name, address)
        elif around.expected is not None:
            around.known_hosts.expect(key, known_name, address.known_as, around.expected)
        else:
            around.known_hosts.verify(key, known_name, address.known_as, around.trust)
        if around.remember:
            around.known_hosts.keep(known_name)

    def _check_jump_key(self, key: paramiko.PKey, known_name: str, address: Address) -> None:
        """As any key, but --host-key is the target's alone, so the ways out are others."""
        try:
            self._around.known_hosts.verify(key, known_name, address.known_as, self._around.trust)
        except HostKeyUnknown as error:
            raise HostKeyUnknown(
                f"{error.message} (a jump host)",
                remedy=f"Compare it with what its owner shows, then sign in there once with `ssh -p {address.port} "
                f"{address.user}@{address.host}`, which writes it to ~/.ssh/known_hosts, or use --accept-new-host-key "
                "at login.",
            ) from error
        except HostKeyChanged as error:
            raise HostKeyChanged(
                f"{error.message} (a jump host)",
                remedy="Compare the offered key with what its owner shows. If it is right, `uploader logout "
                f"{shlex.quote(self._target.name)}` and `ssh-keygen -R '{address.known_as}'` forget the old one; then "
                "try again.",
            ) from error
