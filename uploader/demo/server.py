"""An SFTP server inside this process, on loopback, over one folder; made of paramiko's own server half."""

from __future__ import annotations

import contextlib
import logging
import secrets
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import paramiko
from paramiko.common import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    OPEN_SUCCEEDED,
)
from paramiko.sftp import CMD_VERSION

from uploader.demo.tree import Tree
from uploader.secret import Secret

HOST = "127.0.0.1"
_LOG = "uploader.demo.server"
_WINDOW_BYTES = 4 * 1024 * 1024
_PACKET_BYTES = 256 * 1024

# paramiko logs every lost client as an error; without a handler of its own that would end on the user's terminal.
logging.getLogger(_LOG).addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Behaviour:
    """What a server grants. `connections` is how many may be open at once; further ones are closed unanswered."""

    posix_rename: bool = True
    connections: int = 64


HONEST = Behaviour()


class DemoSession(paramiko.SFTPServer):
    """One SFTP session, in a thread of its own."""

    def __init__(
        self, channel: paramiko.Channel, name: str, gate: paramiko.ServerInterface, tree: type[Tree] = Tree
    ) -> None:
        super().__init__(channel, name, gate, tree)
        self.embedded = cast(Gate, gate).server
        cast(Gate, gate).sessions.append(self)

    def extensions(self) -> Mapping[str, str]:
        """The extensions that this server announces."""
        return {"posix-rename@openssh.com": "1"} if self.embedded.behaviour.posix_rename else {}

    def _send_server_version(self) -> None:
        # paramiko announces nothing of what it can do, but its hashes of files, md5 and sha1.
        self._read_packet()  # type: ignore[attr-defined]
        message = paramiko.Message()
        message.add_int(3)
        for pair in self.extensions().items():
            for text in pair:
                message.add_string(text)
        self._send_packet(CMD_VERSION, message)  # type: ignore[attr-defined]

    def finish_subsystem(self) -> None:
        for handle in self.file_table.values():
            handle.close()
        super().finish_subsystem()


class Gate(paramiko.ServerInterface):
    """Who may come in, and for what: one account, for SFTP alone."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.server = server
        self.sessions: list[DemoSession] = []

    def get_allowed_auths(self, username: str) -> str:  # noqa: ARG002 - paramiko's signature
        return "publickey,password" if self.server.authorized_key else "password"

    def check_auth_password(self, username: str, password: str) -> int:
        return AUTH_SUCCESSFUL if self.knows(username, password) else AUTH_FAILED

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        known = (self.server.authorized_key or "").split()
        same = len(known) > 1 and [key.get_name(), key.get_base64()] == known[:2]
        return AUTH_SUCCESSFUL if same and username == self.server.user else AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:  # noqa: ARG002 - paramiko's signature
        return OPEN_SUCCEEDED if kind == "session" else OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED

    def knows(self, username: str, password: object) -> bool:
        """Whether that is the account's name and password (bytes stand for what is no UTF-8)."""
        return username == self.server.user and isinstance(password, str) and Secret(password) == self.server.password


class EmbeddedServer:
    """A server that lives as long as its `with` block; what it holds is a plain folder.

    `authorized_key` is one line as in `authorized_keys`; `port` 0 takes a free one. The class attributes are
    the places where a test puts a server's lies.
    """

    gate: type[Gate] = Gate
    session: type[DemoSession] = DemoSession
    tree: type[Tree] = Tree

    def __init__(
        self,
        root: Path,
        *,
        behaviour: Behaviour = HONEST,
        authorized_key: str | None = None,
        host_key: paramiko.PKey | None = None,
        port: int = 0,
    ) -> None:
        self.root = root.resolve(strict=True)
        self.behaviour = behaviour
        self.authorized_key = authorized_key
        self.host_key = host_key or paramiko.ECDSAKey.generate()
        self.host = HOST
        self.port = port
        self.user = "demo"
        self.password = Secret(secrets.token_urlsafe(12))
        self.renaming = threading.Lock()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._listener: socket.socket | None = None
        self._acceptor: threading.Thread | None = None
        self._connections: dict[threading.Thread, tuple[paramiko.Transport, socket.socket]] = {}

    @property
    def fingerprint(self) -> str:
        """The host key's, `SHA256:...`."""
        return self.host_key.fingerprint

    def start(self) -> None:
        """Begins to listen. A server that was closed starts again on the port it had."""
        self._closing.clear()
        self._listener = socket.create_server((self.host, self.port))
        self.port = int(self._listener.getsockname()[1])
        self._acceptor = threading.Thread(target=self._accept, args=(self._listener,), name="sftp-accept", daemon=True)
        self._acceptor.start()

    def close(self) -> None:
        """Ends every connection, joins every thread and closes every socket."""
        listener, self._listener = self._listener, None
        if listener is None or self._acceptor is None:
            return
        self._closing.set()
        with contextlib.suppress(OSError):  # wakes the accept; nothing else does on every system
            socket.create_connection((self.host, self.port), timeout=1).close()
        self._acceptor.join()
        listener.close()
        self.drop_connections()
        with self._lock:
            threads = list(self._connections)
        for thread in threads:
            thread.join()

    def drop_connections(self) -> None:
        """Cuts the connections there are; new ones are taken."""
        with self._lock:
            connections = list(self._connections.values())
        for transport, client in connections:
            with contextlib.suppress(OSError):  # a transport that has not begun yet does not close its socket
                client.shutdown(socket.SHUT_RDWR)
            transport.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except ConnectionError:
                continue
            with self._lock:
                crowded = len(self._connections) >= self.behaviour.connections
            if self._closing.is_set() or crowded:
                client.close()
            else:
                self._admit(client)
            if self._closing.is_set():
                return

    def _admit(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport = paramiko.Transport(client, default_window_size=_WINDOW_BYTES, default_max_packet_size=_PACKET_BYTES)
        transport.set_log_channel(_LOG)
        transport.add_server_key(self.host_key)
        transport.set_subsystem_handler("sftp", self.session, self.tree)
        thread = threading.Thread(target=self._serve, args=(transport,), name="sftp-serve", daemon=True)
        with self._lock:
            self._connections[thread] = (transport, client)
        thread.start()

    def _serve(self, transport: paramiko.Transport) -> None:
        gate = self.gate(self)
        try:
            transport.start_server(server=gate)
        except (paramiko.SSHException, EOFError, OSError):
            transport.close()
        transport.join()
        for session in gate.sessions:
            session.join()
        transport.close()
        with self._lock:
            self._connections.pop(threading.current_thread(), None)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
