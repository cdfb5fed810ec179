"""How a connection ends: its reader threads wake by themselves, on every way to a server."""

from __future__ import annotations

import shlex
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.servers.openssh import OpenSSH, needs_sshd
from tests.unit.remote.test_connect import RELAY
from tests.unit.remote.visitors import Notes, Visitor
from tests.until import until
from uploader.demo.server import EmbeddedServer
from uploader.remote.sftp import SftpConnection
from uploader.remote.sftp.transport import Transport, end_input

WAYS = ("direct", "jump host", "ProxyCommand")


def readers() -> list[Transport]:
    return [thread for thread in threading.enumerate() if isinstance(thread, Transport)]


@contextmanager
def connected(way: str, base: Path) -> Iterator[SftpConnection]:
    if way == "jump host":
        needs_sshd("jump")
        with OpenSSH(base / "target", "sftp_only") as target, OpenSSH(base / "jump", "jump") as jump:
            jump.authorize(target.identity_file.with_suffix(".pub").read_text())
            hop = f"{jump.user}@{jump.host}:{jump.port}"
            yield Visitor(base).connector(target, identity_file=str(target.identity_file), jump=hop).connect()
        return
    (base / "root").mkdir()
    with EmbeddedServer(base / "root") as server:
        visitor = Visitor(base, Notes(server.password.reveal()))
        if way == "ProxyCommand":
            (base / "relay.py").write_text(RELAY)
            command = f"{shlex.quote(sys.executable)} {shlex.quote(str(base / 'relay.py'))} %h %p"
            (visitor.ssh / "config").write_text(f"Host 127.0.0.1\n  ProxyCommand {command}\n")
        yield visitor.connector(server).connect()


@pytest.fixture(autouse=True)
def _no_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that only paramiko's poll ends stays alive past the longest wait of a test."""
    monkeypatch.setattr(Transport, "_active_check_timeout", 300.0)


@pytest.mark.parametrize("way", WAYS)
def test_connection_closed_has_ended_its_readers(way: str, tmp_path: Path) -> None:
    with connected(way, tmp_path) as connection:
        connection.files.list_folder(connection.files.home)
        assert len(readers()) == (2 if way == "jump host" else 1)
        connection.close()
        assert readers() == []


@pytest.mark.parametrize("way", WAYS)
def test_connection_interrupted_ends_its_readers(way: str, tmp_path: Path) -> None:
    with connected(way, tmp_path) as connection:
        before = readers()
        connection.interrupt()
        for reader in before:
            reader.join(30)
        assert readers() == []
        connection.close()


@pytest.mark.parametrize("way", WAYS)
def test_connection_closed_twice_stays_closed(way: str, tmp_path: Path) -> None:
    with connected(way, tmp_path) as connection:
        connection.close()
        connection.close()
        assert readers() == []


def test_nothing_follows_the_close_of_a_channel(server: OpenSSH, tmp_path: Path) -> None:
    """OpenSSH ends the whole connection for an EOF after CLOSE."""
    with Visitor(tmp_path).connection(server, identity_file=str(server.identity_file)) as connection:
        transport: Any = connection.files.protocol._channel.get_transport()
        for _ in range(10):
            channel: Any = transport.open_session(timeout=20)
            channel.exec_command("cat")
            ending = threading.Thread(target=end_input, args=(channel,))
            closing = threading.Thread(target=channel._request_failed, args=(None,))  # as the server's CLOSE
            with transport.clear_to_send_lock:
                ending.start()
                until(partial(getattr, channel, "eof_sent"), "an EOF is made")
                closing.start()
                until(partial(getattr, channel, "closed"), "the channel is closed")
            ending.join(20)
            closing.join(20)
        assert connection.files.stat("/") is not None
    assert "nonexistent channel" not in server.log()


def test_reader_does_not_wait_for_new_keys(server: OpenSSH, tmp_path: Path) -> None:
    """The server closes a channel after we have asked for new keys and before it has answered."""
    with Visitor(tmp_path).connection(server, identity_file=str(server.identity_file)) as connection:
        transport: Any = connection.files.protocol._channel.get_transport()
        for _ in range(30):
            channel = transport.open_session(timeout=20)
            channel.exec_command("exit 0")
            transport.packetizer._trigger_rekey()
            connection.files.stat("/")
            channel.close()
        assert connection.files.stat("/") is not None
