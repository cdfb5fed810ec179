"""Lines through a server to its own ports: by a real sshd, and in the reference implementation."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.remote_memory import MemoryConnector, MemoryServer
from tests.servers.openssh import OpenSSH, needs_sshd
from tests.unit.remote.visitors import Visitor
from uploader.demo.server import EmbeddedServer
from uploader.errors import NetworkError, RemoteRefused
from uploader.remote.interface import Connection


@pytest.fixture(scope="module")
def forwarding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSSH]:
    needs_sshd()
    with OpenSSH(tmp_path_factory.mktemp("sshd") / "s", extra=("AllowTcpForwarding yes",)) as server:
        yield server


@pytest.fixture
def echo() -> Iterator[int]:
    """A port that says everything twice, to one visitor."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        line, _ = listener.accept()
        with line:
            while data := line.recv(1000):
                line.sendall(data * 2)

    thread = threading.Thread(target=serve)
    thread.start()
    yield int(listener.getsockname()[1])
    socket.create_connection(listener.getsockname()).close()
    thread.join(10)
    listener.close()


def speak(connection: Connection, port: int) -> bytes:
    line = connection.open_tunnel("127.0.0.1", port, 5.0)
    line.settimeout(5.0)
    line.sendall(b"hello")
    heard = b""
    while len(heard) < 10:
        heard += line.recv(100)
    line.close()
    return heard


def test_a_port_of_the_server_is_reached_through_ssh(tmp_path: Path, forwarding: OpenSSH, echo: int) -> None:
    with Visitor(tmp_path).connection(forwarding, identity_file=str(forwarding.identity_file)) as connection:
        assert speak(connection, echo) == b"hellohello"
        assert connection.settled
        assert connection.files.list_folder(connection.files.home) is not None


def test_a_line_that_hears_nothing_times_out_as_a_sockets_does(tmp_path: Path, forwarding: OpenSSH, echo: int) -> None:
    with Visitor(tmp_path).connection(forwarding, identity_file=str(forwarding.identity_file)) as connection:
        line = connection.open_tunnel("127.0.0.1", echo, 5.0)
        line.settimeout(0.05)
        with pytest.raises(TimeoutError):
            line.recv(1)
        line.close()


def test_port_without_listener_is_refused_and_connection_lives(tmp_path: Path, forwarding: OpenSSH) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with Visitor(tmp_path).connection(forwarding, identity_file=str(forwarding.identity_file)) as connection:
        with pytest.raises(RemoteRefused, match="nothing listens at port"):
            connection.open_tunnel("127.0.0.1", port, 5.0)
        assert connection.files.list_folder(connection.files.home) is not None


def test_a_server_that_forwards_nothing_is_named(tmp_path: Path, server: OpenSSH, echo: int) -> None:
    with (
        Visitor(tmp_path).connection(server, identity_file=str(server.identity_file)) as connection,
        pytest.raises(RemoteRefused, match="does not let connections through"),
    ):
        connection.open_tunnel("127.0.0.1", echo, 5.0)


def test_the_embedded_server_forwards_nothing(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    visitor = Visitor(tmp_path)
    with EmbeddedServer(tmp_path / "root") as server:
        visitor.secrets.known = server.password.reveal()
        with visitor.connection(server) as connection, pytest.raises(RemoteRefused):
            connection.open_tunnel("127.0.0.1", 1, 5.0)


def test_a_lost_connection_opens_no_line(tmp_path: Path, forwarding: OpenSSH, echo: int) -> None:
    with Visitor(tmp_path).connection(forwarding, identity_file=str(forwarding.identity_file)) as connection:
        connection.interrupt()
        with pytest.raises(NetworkError):
            connection.open_tunnel("127.0.0.1", echo, 5.0)


def test_the_reference_keeps_the_same_promise(echo: int) -> None:
    server = MemoryServer()
    server.ports["127.0.0.1", echo] = lambda: socket.create_connection(("127.0.0.1", echo))
    connection = MemoryConnector(server).connect()
    assert speak(connection, echo) == b"hellohello"
    with pytest.raises(RemoteRefused):
        connection.open_tunnel("127.0.0.1", 1, 5.0)
    connection.interrupt()
    with pytest.raises(NetworkError):
        connection.open_tunnel("127.0.0.1", echo, 5.0)
