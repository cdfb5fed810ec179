"""The way to a server: straight, through jump hosts, through a command; every failure is named, bounded and closed."""

from __future__ import annotations

import contextlib
import gc
import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import paramiko
import pytest
from paramiko.common import OPEN_FAILED_CONNECT_FAILED

from tests.servers.faulty import Banner, Crowded, HashesFiles, NotingGate, ObservedServer
from tests.servers.openssh import OpenSSH, needs_sshd
from tests.servers.tcp_proxy import Proxy
from tests.unit.remote.visitors import Doorman, Notes, Visitor, target_on
from uploader.demo.server import DemoSession
from uploader.errors import (
    ConfigurationError,
    CredentialsRefused,
    HostKeyChanged,
    HostKeyUnknown,
    NetworkError,
    NoSftp,
    RemoteRefused,
    RouteUnavailable,
    UploaderError,
)
from uploader.profile import Quirks, Refusal
from uploader.remote.sftp import SftpConnector


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    """Every socket that is not closed shows as a ResourceWarning when it is collected; threads end by themselves."""
    yield
    gc.collect()
    names = [thread.name for thread in threading.enumerate() if thread.name.startswith("proxy-")]
    assert names == []


@contextmanager
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


class Nowhere:
    """An address without a server."""

    def __init__(self, host: str = "127.0.0.1", port: int = 22) -> None:
        self.host, self.port, self.user = host, port, "me"


def failure(connector: SftpConnector) -> UploaderError:
    with pytest.raises(UploaderError) as caught:
        connector.connect()
    return caught.value


# no server there ---------------------------------------------------------------------------------------


def test_port_without_a_listener_refuses(tmp_path: Path) -> None:
    with listener() as gone:
        port = int(gone.getsockname()[1])
    error = failure(Visitor(tmp_path).connector(Nowhere(port=port)))
    assert isinstance(error, NetworkError)
    assert f"[127.0.0.1]:{port} refuses the connection" in error.message


@pytest.mark.parametrize("host", ["nowhere.invalid", "a..invalid", "x" * 70 + ".invalid"])
def test_a_name_that_is_not_known_is_named(tmp_path: Path, host: str) -> None:
    error = failure(Visitor(tmp_path).connector(Nowhere(host)))
    assert isinstance(error, NetworkError)
    assert f"the name of {host} is not known" in error.message


def test_a_server_that_says_nothing_is_given_up_on(tmp_path: Path) -> None:
    with listener() as silent:
        began = time.monotonic()
        error = failure(Visitor(tmp_path).connector(Nowhere(port=silent.getsockname()[1]), dial_seconds=0.5))
        assert time.monotonic() - began < 5
        assert isinstance(error, NetworkError)
        assert "does not answer" in error.message


@pytest.mark.parametrize(
    "words", [b"", b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", b"SSH-1.5-old\r\n", b"\xff" * 300]
)
def test_server_that_speaks_no_ssh_is_a_network_error(tmp_path: Path, words: bytes) -> None:
    with listener() as other:

        def speak() -> None:
            with other.accept()[0] as client:
                client.sendall(words)
                client.recv(100)

        speaking = threading.Thread(target=speak)
        speaking.start()
        error = failure(Visitor(tmp_path).connector(Nowhere(port=other.getsockname()[1]), dial_seconds=3))
        speaking.join()
        assert isinstance(error, NetworkError if b"1.5" not in words else RemoteRefused)


def test_a_server_that_is_full_is_the_networks_fault_and_passes(tmp_path: Path, root: Path) -> None:
    with Crowded(root, limit=1) as server:
        visitor = Visitor(tmp_path, Notes(server.password.reveal()))
        with visitor.connection(server):
            error = failure(visitor.connector(server))
            assert isinstance(error, NetworkError)
            assert error.retryable


def test_a_line_that_freezes_after_the_login_is_given_up_on(tmp_path: Path, root: Path) -> None:
    with ObservedServer(root) as server, Proxy(server.host, server.port) as line:
        visitor = Visitor(tmp_path, Notes(server.password.reveal()))
        connection = visitor.connector(
            target=target_on(server, port=line.port), silence_seconds=0.5, quirks=Quirks(shell=False)
        ).connect()
        line.freeze()
        with pytest.raises(NetworkError, match="does not answer"):
            connection.files.stat("/")
        connection.close()


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_line_cut_anywhere_on_the_way_in_is_the_networks_fault(tmp_path: Path, root: Path, direction: str) -> None:
    with ObservedServer(root) as server, Proxy(server.host, server.port) as line:
        for after in (0, 10, 100, 500, 1000, 1500, 1800, 2000, 2200, 2400, 2600):
            visitor = Visitor(tmp_path, Notes(server.password.reveal()))
            line.cut_after(after, direction)  # type: ignore[arg-type]
            with contextlib.suppress(NetworkError):  # any other fault fails the test
                visitor.connector(target=target_on(server, port=line.port)).connect().close()
            line.was_cut.clear()


# host keys --------------------------------------------------------------------------------------------


def test_a_new_key_is_refused_before_any_secret_is_shown(tmp_path: Path, root: Path) -> None:
    with ObservedServer(root) as server:
        visitor = Visitor(tmp_path, Notes(server.password.reveal()), trust=Doorman(trusts=False))
        error = failure(visitor.connector(server))
        assert isinstance(error, HostKeyUnknown)
        assert server.fingerprint in error.message
        assert server.attempts == []
        assert not visitor.known_hosts.file.exists()


def test_key_other_than_given_is_refused_before_any_secret(tmp_path: Path, root: Path) -> None:
    with ObservedServer(root) as server:
        visitor = Visitor(tmp_path, Notes(server.password.reveal()))
        error = failure(visitor.connector(server, around=visitor.surroundings(expected="SHA256:" + "A" * 43)))
        assert isinstance(error, HostKeyChanged)
        assert server.attempts == []


def test_an_accepted_key_is_remembered_where_that_is_asked_for(tmp_path: Path, root: Path) -> None:
    with ObservedServer(root) as server:
        visitor = Visitor(tmp_path, Notes(server.password.reveal()))
        with visitor.connection(server):
            assert not visitor.known_hosts.file.exists()
        with visitor.connection(server, around=visitor.surroundings(remember=True)):
            assert visitor.known_hosts.file.read_text().startswith(f"box,[127.0.0.1]:{server.port} ")


def test_broken_known_hosts_is_named_and_nothing_stays_open(tmp_path: Path, root: Path) -> None:
    with ObservedServer(root) as server:
        visitor = Visitor(tmp_path, Notes(server.password.reveal()))
        visitor.known_hosts.file.parent.mkdir()
        visitor.known_hosts.file.write_text("broken\n")
        assert isinstance(failure(visitor.connector(server)), ConfigurationError)
        assert server.attempts == []


# no SFTP ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["Welcome to the pod\n", "Hi", "=== 日本 ===\n\nTwo lines\n", "x" * 70_000])
def test_a_text_in_the_sftp_stream_is_shown_with_the_cure(tmp_path: Path, root: Path, text: str) -> None:
    with Banner(root, text=text) as server:
        error = failure(Visitor(tmp_path, Notes(server.password.reveal())).connector(server))
        assert isinstance(error, NoSftp)
        shown = error.message.partition("stream: ")[2]
        assert shown == repr(" ".join(text.split())[:200])
        assert ".bashrc" in (error.remedy or "")


def test_a_login_script_of_a_real_server_is_shown(tmp_path: Path) -> None:
    needs_sshd("banner")
    with OpenSSH(tmp_path / "server", "banner", banner="Welcome to the pod's disk") as server:
        error = failure(Visitor(tmp_path).connector(server, identity_file=str(server.identity_file)))
        assert isinstance(error, NoSftp)
        assert "Welcome to the pod's disk" in error.message


def test_account_with_nologin_is_told_as_such(tmp_path: Path) -> None:
    needs_sshd()
    said = "This account is currently not available."
    with OpenSSH(tmp_path / "server", extra=[f"ForceCommand echo {said}; exit 1"]) as server:
        error = failure(Visitor(tmp_path).connector(server, identity_file=str(server.identity_file)))
    assert isinstance(error, NoSftp)
    assert "nologin" in (error.remedy or "")
    assert said in error.message


def test_a_server_whose_sftp_ends_at_once_says_so(tmp_path: Path) -> None:
    needs_sshd()
    with OpenSSH(tmp_path / "server", extra=["ForceCommand exit 0"]) as server:
        error = failure(Visitor(tmp_path).connector(server, identity_file=str(server.identity_file)))
        assert isinstance(error, NoSftp)
        assert "lets us in" in error.message


class _NoSubsystem(NotingGate):
    def check_channel_subsystem_request(self, channel: paramiko.Channel, name: str) -> bool:
        return False


class _RefusesSftp(ObservedServer):
    gate = _NoSubsystem


def test_a_server_that_refuses_sftp_says_so(tmp_path: Path, root: Path) -> None:
    with _RefusesSftp(root) as server:
        error = failure(Visitor(tmp_path, Notes(server.password.reveal())).connector(server))
        assert isinstance(error, NoSftp)
        assert "has no SFTP" in error.message


def test_a_jump_host_as_a_target_has_no_sftp(tmp_path: Path) -> None:
    needs_sshd("jump")
    with OpenSSH(tmp_path / "jump", "jump") as server:
        error = failure(Visitor(tmp_path).connector(server, identity_file=str(server.identity_file)))
        assert isinstance(error, NoSftp)


class _CutsAtStart(DemoSession):
    def start_subsystem(self, name: str, transport: paramiko.Transport, channel: paramiko.Channel) -> None:
        self.embedded.drop_connections()


class _LostAtStart(ObservedServer):
    session = _CutsAtStart


def test_line_lost_while_sftp_begins_is_a_network_error(tmp_path: Path, root: Path) -> None:
    with _LostAtStart(root) as server:
        error = failure(Visitor(tmp_path, Notes(server.password.reveal())).connector(server))
        assert type(error) is NetworkError


def test_a_host_that_is_known_not_to_do_sftp_is_not_dialled(tmp_path: Path) -> None:
    visitor = Visitor(tmp_path)
    (visitor.ssh / "config").write_text("Host pod\n  HostName ssh.runpod.io\n")
    refusal = Refusal("ssh.runpod.io", "This proxy has no SFTP.")
    connector = SftpConnector(
        target_on(Nowhere("pod")),
        visitor.surroundings(),
        refusal=lambda host: refusal if host == refusal.host else None,
    )
    error = failure(connector)
    assert isinstance(error, RouteUnavailable)
    assert error.remedy == "This proxy has no SFTP."


# what is there ----------------------------------------------------------------------------------------


def test_whether_there_is_a_shell_is_asked_once(tmp_path: Path) -> None:
    needs_sshd()
    with OpenSSH(tmp_path / "server") as server:
        visitor = Visitor(tmp_path)
        connector = visitor.connector(server, identity_file=str(server.identity_file))
        first, second = connector.connect(), connector.connect()
        assert first.facts == second.facts
        assert first.facts.shell
        assert {"sha256sum", "df"} <= set(first.facts.tools)
        assert first.facts.request_bytes == 255 * 1024
        assert "limits@openssh.com" in first.facts.extensions
        assert first.facts.host_key == server.fingerprint
        assert "OpenSSH" in first.facts.software
        first.close()
        second.close()
        with visitor.connection(
            server, identity_file=str(server.identity_file), quirks=Quirks(shell=False, max_request_bytes=16 * 1024)
        ) as third:
            assert not third.facts.shell
            assert third.facts.request_bytes == 16 * 1024
            assert third.hashes(third.files.resolve("x"), [(0, 1)]) is None


def test_a_server_with_check_file_takes_hashes_without_a_shell(tmp_path: Path, root: Path) -> None:
    import hashlib

    content = bytes(range(256)) * 1000
    (root / "a").write_bytes(content)
    with (
        HashesFiles(root) as server,
        Visitor(tmp_path, Notes(server.password.reveal())).connection(server) as connection,
    ):
        ranges = [(0, len(content)), (1000, 5000)]
        expected = [hashlib.sha256(content[at : at + size]).hexdigest() for at, size in ranges]
        assert connection.hashes("/a", ranges) == expected
        assert server.hashed == 2
        assert connection.hashes("/a", [(0, len(content) + 1)]) is None
        assert connection.hashes("/nothing", [(0, 1)]) is None


# jump hosts -------------------------------------------------------------------------------------------


class _ForwardingGate(NotingGate):
    """Lets through to anywhere on this machine."""

    def check_channel_direct_tcpip_request(self, chanid: int, origin: object, destination: object) -> int:
        address = cast(tuple[str, int], destination)
        cast(_Bastion, self.server).wanted.append(address)
        return int(OPEN_FAILED_CONNECT_FAILED)


class _Bastion(ObservedServer):
    gate = _ForwardingGate

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.wanted: list[tuple[str, int]] = []


def test_jump_host_has_its_key_pinned_beside_the_targets(tmp_path: Path) -> None:
    needs_sshd("jump")
    with OpenSSH(tmp_path / "target", "sftp_only") as server, OpenSSH(tmp_path / "jump", "jump") as jump:
        jump.authorize(server.identity_file.with_suffix(".pub").read_text())
        visitor = Visitor(tmp_path)
        facts: dict[str, Any] = {
            "identity_file": str(server.identity_file),
            "jump": f"{jump.user}@{jump.host}:{jump.port}",
        }
        with visitor.connection(server, around=visitor.surroundings(remember=True), **facts) as connection:
            assert connection.facts.host_key == server.fingerprint
            assert connection.files.list_folder(connection.files.home) == []
        assert jump.wait_for_log(f"target {server.host} port {server.port}")
        names = [line.split(",")[0] for line in visitor.known_hosts.file.read_text().splitlines()]
        assert sorted(names) == ["box", f"box+[127.0.0.1]:{jump.port}"]
        jump.stop()
        jump.start(new_host_key=True)
        error = failure(Visitor(tmp_path).connector(server, **facts))
        assert isinstance(error, HostKeyChanged)
        assert jump.fingerprint in error.message


def test_jump_host_key_unknown_to_ssh_has_its_own_remedy(tmp_path: Path) -> None:
    needs_sshd("jump")
    with OpenSSH(tmp_path / "target", "sftp_only") as server, OpenSSH(tmp_path / "jump", "jump") as jump:
        jump.authorize(server.identity_file.with_suffix(".pub").read_text())
        visitor = Visitor(tmp_path, trust=Doorman(trusts=False))
        connector = visitor.connector(
            server,
            around=visitor.surroundings(expected=server.fingerprint),
            identity_file=str(server.identity_file),
            jump=f"{jump.user}@{jump.host}:{jump.port}",
        )
        error = failure(connector)
        assert isinstance(error, HostKeyUnknown)
        assert jump.fingerprint in error.message
        assert "--host-key" not in (error.remedy or "").replace("--accept-new-host-key", "")
        (visitor.ssh / "known_hosts").write_text(f"[127.0.0.1]:{jump.port} {jump.host_key}\n")
        connector.connect().close()


def test_chain_of_jump_hosts_is_dialled_in_order(tmp_path: Path) -> None:
    needs_sshd("jump")
    with (
        OpenSSH(tmp_path / "target") as server,
        OpenSSH(tmp_path / "one", "jump") as one,
        OpenSSH(tmp_path / "two", "jump") as two,
    ):
        visitor = Visitor(tmp_path)
        (visitor.ssh / "config").write_text(
            f"Host one\n  HostName 127.0.0.1\n  Port {one.port}\n  IdentityFile {one.identity_file}\n"
            f"Host two\n  HostName 127.0.0.1\n  Port {two.port}\n  IdentityFile {two.identity_file}\n"
            "Host box\n  HostName 127.0.0.1\n  ProxyJump one,two\n"
            f"Host nested\n  HostName 127.0.0.1\n  Port {two.port}\n  IdentityFile {two.identity_file}\n"
            "  ProxyJump one\n"
        )
        facts = {"identity_file": str(server.identity_file)}
        for target in (
            target_on(server, host="box", **facts),
            target_on(server, jump="nested", **facts),
        ):
            with visitor.connection(server, target=target) as connection:
                assert connection.facts.host_key == server.fingerprint
        for log, there in ((one, two.port), (two, server.port)):
            assert log.wait_for_log(f"target 127.0.0.1 port {there}")
        assert one.log().count("Accepted publickey") == 2
        with visitor.connection(server, target=target_on(server, host="box", jump="none", **facts)):
            assert one.log().count("Accepted publickey") == 2


def test_jump_host_of_every_host_is_itself_dialled_directly(tmp_path: Path) -> None:
    needs_sshd("jump")
    with OpenSSH(tmp_path / "target") as server, OpenSSH(tmp_path / "jump", "jump") as jump:
        jump.authorize(server.identity_file.with_suffix(".pub").read_text())
        visitor = Visitor(tmp_path)
        (visitor.ssh / "config").write_text(
            f"Host *\n  ProxyJump 127.0.0.1:{jump.port}\n  IdentityFile {server.identity_file}\n"
        )
        with visitor.connection(server) as connection:
            assert connection.facts.host_key == server.fingerprint


def test_a_jump_host_is_never_shown_the_targets_password(tmp_path: Path, root: Path) -> None:
    with _Bastion(root) as jump, ObservedServer(root) as server:
        asked: list[str] = []

        def hop_secrets(address: str) -> Notes:
            asked.append(address)
            return Notes(jump.password.reveal())

        visitor = Visitor(tmp_path, Notes("the target's own"), hop_secrets=hop_secrets)
        error = failure(visitor.connector(server, jump=f"{jump.user}@127.0.0.1:{jump.port}"))
        assert isinstance(error, RemoteRefused)
        assert "through the jump host" in error.message
        assert asked == [f"[127.0.0.1]:{jump.port}"]
        assert [(attempt.method, attempt.accepted) for attempt in jump.attempts if attempt.method != "none"] == [
            ("password", True)
        ]
        assert jump.wanted == [("127.0.0.1", server.port)]
        assert visitor.secrets.asked == []
        jump.attempts.clear()
        without = Visitor(tmp_path, Notes(jump.password.reveal()))
        assert not isinstance(failure(without.connector(server, jump=f"demo@127.0.0.1:{jump.port}")), NetworkError)
        assert jump.tries("password") == 0


def test_a_jump_host_that_cannot_reach_the_target_is_named(tmp_path: Path) -> None:
    needs_sshd("jump")
    with OpenSSH(tmp_path / "jump", "jump") as jump:
        with listener() as gone:
            port = int(gone.getsockname()[1])
        error = failure(
            Visitor(tmp_path).connector(
                Nowhere(port=port), identity_file=str(jump.identity_file), jump=f"{jump.user}@127.0.0.1:{jump.port}"
            )
        )
        assert isinstance(error, RemoteRefused | NetworkError)
        assert f"[127.0.0.1]:{port} (through the jump host)" in error.message


# ProxyCommand -----------------------------------------------------------------------------------------

RELAY = """
import os, socket, sys, threading
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def up():
    while data := os.read(0, 65536): s.sendall(data)
    s.shutdown(socket.SHUT_WR)
threading.Thread(target=up, daemon=True).start()
while data := s.recv(65536):
    while data: data = data[os.write(1, data):]
"""


def test_a_proxy_command_is_run_and_ends_with_the_connection(tmp_path: Path, root: Path) -> None:
    relay = tmp_path / "relay it.py"
    relay.write_text(RELAY + f"open({str(tmp_path / 'ended')!r}, 'w').close()\n")
    with ObservedServer(root) as server:
        visitor = Visitor(tmp_path, Notes(server.password.reveal()))
        command = f"{shlex.quote(sys.executable)} {shlex.quote(str(relay))} %h %p"
        (visitor.ssh / "config").write_text(f"Host 127.0.0.1\n  ProxyCommand {command}\n")
        content = bytes(range(256)) * 8192
        with visitor.connection(server) as connection:
            writer = connection.files.open_writer("/a", fresh=True)
            for at in range(0, len(content), writer.request_bytes):
                writer.send(at, content[at : at + writer.request_bytes])
            writer.close()
            assert b"".join(connection.files.read("/a", [(0, len(content))])) == content
        assert (root / "a").read_bytes() == content


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("false", ""),
        ("sh -c 'echo no way >&2; exit 3'", "no way"),
        ("uploader-has-no-such-command", "uploader-has-no-such-command"),
        ("cat /dev/null", ""),
    ],
)
def test_a_proxy_command_that_fails_is_named_with_its_own_words(tmp_path: Path, command: str, said: str) -> None:
    visitor = Visitor(tmp_path)
    (visitor.ssh / "config").write_text(f"Host *\n  ProxyCommand {command}\n")
    began = time.monotonic()
    error = failure(visitor.connector(Nowhere()))
    assert time.monotonic() - began < 5
    assert isinstance(error, NetworkError)
    assert "ProxyCommand" in error.message
    assert said in error.message


def test_silent_proxy_command_is_given_up_and_ended(tmp_path: Path) -> None:
    visitor = Visitor(tmp_path)
    mark = f"uploader-test-{tmp_path.name}"
    (visitor.ssh / "config").write_text(f"Host *\n  ProxyCommand sh -c 'while :; do sleep 1; done' {mark}\n")
    error = failure(visitor.connector(Nowhere(), dial_seconds=0.5))
    assert isinstance(error, NetworkError)
    assert "does not answer" in error.message
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=False).stdout
    assert mark not in running


def test_a_proxy_commands_server_may_still_refuse(tmp_path: Path, root: Path) -> None:
    with ObservedServer(root) as server:
        relay = tmp_path / "relay.py"
        relay.write_text(RELAY)
        visitor = Visitor(tmp_path, Notes("wrong"))
        (visitor.ssh / "config").write_text(f"Host *\n  ProxyCommand {sys.executable} {relay} %h %p\n")
        assert isinstance(failure(visitor.connector(server)), CredentialsRefused)


def test_connections_after_the_first_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with ObservedServer(tmp_path) as server:
        connector = Visitor(tmp_path, Notes(known=server.password.reveal())).connector(server)
        connector.connect().close()
    with socket.create_server((server.host, server.port)) as silent, ThreadPoolExecutor(3) as threads:
        silent.settimeout(10)
        opening = [threads.submit(connector.connect) for _ in range(3)]
        lines = [silent.accept()[0] for _ in range(3)]
        for line in lines:
            line.settimeout(5)
            assert line.recv(8) == b"SSH-2.0-"  # each begins to talk, though none gets an answer
        for line in lines:
            line.close()
        for connection in opening:
            assert isinstance(connection.exception(30), NetworkError)
