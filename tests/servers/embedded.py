"""A plain client, with which the tests of the servers themselves speak."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import paramiko

from uploader.demo.server import EmbeddedServer


class Address(Protocol):
    """Where a server listens."""

    host: str
    port: int


@contextmanager
def transport_to(server: Address) -> Iterator[paramiko.Transport]:
    """Give a connection to a server before the login."""
    sock = socket.create_connection((server.host, server.port), timeout=10)
    transport = paramiko.Transport(sock)
    transport.set_log_channel("tests.client")
    try:
        transport.start_client(timeout=10)
        yield transport
    finally:
        with contextlib.suppress(OSError):  # wakes the reader thread, which polls every 0.1 s otherwise
            sock.shutdown(socket.SHUT_RDWR)
        transport.close()
        transport.join(10)


@contextmanager
def sftp_to(server: EmbeddedServer) -> Iterator[paramiko.SFTPClient]:
    """Give an SFTP session, logged in by the server's password. Raises what paramiko raises."""
    with transport_to(server) as transport:
        transport.auth_password(server.user, server.password.reveal())
        client = paramiko.SFTPClient.from_transport(transport)
        assert client is not None
        with client:
            yield client
