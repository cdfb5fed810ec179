"""A plain client for the embedded servers: what the tests of the servers themselves speak with."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import paramiko

from uploader.demo.server import EmbeddedServer


@contextmanager
def transport_to(server: EmbeddedServer) -> Iterator[paramiko.Transport]:
    """Gives a connection on which nobody has logged in yet."""
    transport = paramiko.Transport(socket.create_connection((server.host, server.port), timeout=10))
    transport.set_log_channel("tests.client")
    try:
        transport.start_client(timeout=10)
        yield transport
    finally:
        transport.close()
        transport.join(10)


@contextmanager
def sftp_to(server: EmbeddedServer) -> Iterator[paramiko.SFTPClient]:
    """Gives an SFTP session, logged in by the server's password. Raises whatever paramiko raises."""
    with transport_to(server) as transport:
        transport.auth_password(server.user, server.password.reveal())
        client = paramiko.SFTPClient.from_transport(transport)
        assert client is not None
        with client:
            yield client
