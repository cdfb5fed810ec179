"""Each faulty server has exactly its fault, and the proxy cuts exactly where it is told to."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest
from paramiko.sftp import CMD_EXTENDED, int64

from tests.servers.embedded import sftp_to, transport_to
from tests.servers.faulty import (
    Banner,
    ChangesByte,
    Crowded,
    Cuts,
    DropsWrites,
    Forbidding,
    Frozen,
    FullDisk,
    HashesFiles,
    NoPosixRename,
    ObservedServer,
    OneTimeCode,
)
from tests.servers.tcp_proxy import Proxy
from uploader.demo.server import EmbeddedServer

CONTENT = bytes(range(256)) * 1000


def put(server: EmbeddedServer, name: str = "a") -> None:
    """Write CONTENT in blocks of 1000 bytes, each acknowledged before the next."""
    with sftp_to(server) as client, client.open(name, "wb") as file:
        for start in range(0, len(CONTENT), 1000):
            file.write(CONTENT[start : start + 1000])


def put_and_fail(server: EmbeddedServer) -> None:
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        put(server)


def test_attempts_to_log_in_are_counted(tmp_path: Path) -> None:
    with ObservedServer(tmp_path) as server:
        with transport_to(server) as transport, pytest.raises(paramiko.AuthenticationException):
            transport.auth_password(server.user, "wrong")
        put(server)
        assert [(attempt.method, attempt.accepted) for attempt in server.attempts] == [
            ("password", False),
            ("password", True),
        ]
        assert server.tries("password") == 2
        assert server.tries("publickey") == 0


def test_without_posix_rename_a_taken_name_is_a_generic_failure(tmp_path: Path) -> None:
    with NoPosixRename(tmp_path) as server:
        put(server, "a")
        put(server, "b")
        with sftp_to(server) as client:
            with pytest.raises(OSError, match="unsupported"):
                client.posix_rename("a", "b")
            with pytest.raises(OSError, match=r"^Failure"):
                client.rename("a", "b")


@pytest.mark.parametrize("forbidden", ["mkdir", "open"])
def test_what_is_forbidden_is_denied_and_the_rest_is_not(tmp_path: Path, forbidden: str) -> None:
    with Forbidding(tmp_path, forbidden) as server, sftp_to(server) as client:

        def make() -> None:
            client.mkdir("x")

        def write() -> None:
            client.open("y", "w").close()

        denied, allowed = (make, write) if forbidden == "mkdir" else (write, make)
        with pytest.raises(PermissionError):
            denied()
        allowed()


def test_full_disk_fails_without_reason_and_session_lives(tmp_path: Path) -> None:
    with FullDisk(tmp_path, after=10_000) as server, sftp_to(server) as client:
        with client.open("a", "wb") as file:
            for _ in range(10):
                file.write(bytes(1000))
            with pytest.raises(OSError, match=r"^Failure"):
                file.write(bytes(1000))
        assert client.stat("a").st_size == 10_000


def test_a_byte_is_changed_on_the_way_to_the_disk(tmp_path: Path) -> None:
    with ChangesByte(tmp_path, offset=123_456) as server:
        put(server)
    stored = (tmp_path / "a").read_bytes()
    assert [place for place, (was, is_) in enumerate(zip(CONTENT, stored, strict=True)) if was != is_] == [123_456]


def test_dropped_writes_are_acknowledged_and_leave_a_short_file(tmp_path: Path) -> None:
    with DropsWrites(tmp_path, offset=100_500) as server:
        put(server)
    assert (tmp_path / "a").read_bytes() == CONTENT[:100_500]


def test_the_connection_is_cut_once_and_taken_again(tmp_path: Path) -> None:
    with Cuts(tmp_path, after=50_000) as server:
        with pytest.raises((OSError, EOFError, paramiko.SSHException)):
            put(server)
        assert (tmp_path / "a").read_bytes() == CONTENT[:49_000]
        put(server)
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_frozen_server_answers_when_it_is_thawed(tmp_path: Path) -> None:
    with Frozen(tmp_path, after=50_000) as server:
        client = threading.Thread(target=put, args=(server,))
        client.start()
        assert server.frozen.wait(10)
        assert (tmp_path / "a").stat().st_size == 50_000
        server.thaw.set()
        client.join(30)
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_frozen_server_can_be_closed(tmp_path: Path) -> None:
    with Frozen(tmp_path, after=0) as server:
        client = threading.Thread(target=put_and_fail, args=(server,))
        client.start()
        assert server.frozen.wait(10)
        server.close()
        client.join(30)
        assert not client.is_alive()


def test_server_closed_ends_its_clients_without_a_poll(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paramiko.Transport, "_active_check_timeout", 300.0)
    server = ObservedServer(tmp_path)
    server.start()
    with transport_to(server) as waiting, sftp_to(server) as client:
        assert client.listdir() == []
        server.close()
        waiting.join(30)
        assert not waiting.is_alive()


def test_a_crowded_server_closes_what_is_too_many(tmp_path: Path) -> None:
    with (
        Crowded(tmp_path, limit=2) as server,
        transport_to(server),
        transport_to(server),
        socket.create_connection((server.host, server.port), timeout=10) as third,
    ):
        assert third.recv(100) == b""


def test_both_answers_of_the_dialogue_are_needed(tmp_path: Path) -> None:
    with OneTimeCode(tmp_path) as server:
        asked: list[tuple[str, bool]] = []
        for answers, right in (([server.password.reveal(), "1"], False), ([server.password.reveal(), "424242"], True)):

            def answer(
                title: str, text: str, prompts: list[tuple[str, bool]], answers: list[str] = answers
            ) -> list[str]:
                asked.extend(prompts)
                return answers

            with transport_to(server) as transport:
                if right:
                    transport.auth_interactive(server.user, answer)
                    assert transport.is_authenticated()
                else:
                    with pytest.raises(paramiko.AuthenticationException):
                        transport.auth_interactive(server.user, answer)
        assert asked[:2] == [("Password: ", False), ("One-time code: ", True)]
        assert [attempt.accepted for attempt in server.attempts] == [False, True]


def test_the_code_can_come_after_the_password(tmp_path: Path) -> None:
    with OneTimeCode(tmp_path, after_password=True) as server, transport_to(server) as transport:
        assert transport.auth_password(server.user, server.password.reveal()) == ["keyboard-interactive"]
        transport.auth_interactive(server.user, lambda title, text, prompts: ["424242"])
        assert transport.is_authenticated()


def test_a_banner_stands_where_the_protocol_should_begin(tmp_path: Path) -> None:
    with Banner(tmp_path, text="Welcome") as server, transport_to(server) as transport:
        transport.auth_password(server.user, server.password.reveal())
        with transport.open_session() as channel:
            channel.invoke_subsystem("sftp")
            assert channel.recv(7) == b"Welcome"


def test_hashes_of_ranges_are_taken_without_a_shell(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(CONTENT)
    with HashesFiles(tmp_path) as server, sftp_to(server) as client:
        ask = client._request  # type: ignore[attr-defined]
        _, reply = ask(CMD_EXTENDED, "check-file-name", "/a", "sha256", int64(1000), int64(5000), 0)
        assert reply.get_text() == "sha256"
        assert reply.get_remainder() == hashlib.sha256(CONTENT[1000:6000]).digest()
        with pytest.raises(OSError, match=r"^Failure"):
            ask(CMD_EXTENDED, "check-file-name", "/a", "sha256", int64(len(CONTENT)), int64(1), 0)
        with pytest.raises(FileNotFoundError):
            ask(CMD_EXTENDED, "check-file-name", "/b", "sha256", int64(0), int64(1), 0)
        assert server.hashed == 1


# the line ---------------------------------------------------------------------------------------------


class Echo:
    """An echo server."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        self.got = 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        while True:
            client, _ = self.listener.accept()
            with client:
                try:
                    while data := client.recv(65536):
                        if data == b"stop":
                            return
                        self.got += len(data)
                        client.sendall(data)
                except ConnectionError:
                    continue

    def close(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port)) as end:
            end.sendall(b"stop")
            self.thread.join()
        self.listener.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    echo = Echo()
    yield echo
    echo.close()


@pytest.fixture
def line(echo: Echo) -> Iterator[Proxy]:
    with Proxy("127.0.0.1", echo.port) as line:
        yield line


def dial(line: Proxy) -> socket.socket:
    return socket.create_connection((line.host, line.port), timeout=10)


def read(end: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size and (chunk := end.recv(size - len(got))):
        got += chunk
    return got


def test_the_line_carries_both_ways_and_counts(line: Proxy) -> None:
    with dial(line) as end:
        end.sendall(b"hello")
        assert read(end, 5) == b"hello"
    assert (line.up, line.down, line.connections) == (5, 5, 1)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_the_line_is_cut_at_the_byte(line: Proxy, echo: Echo, direction: str) -> None:
    with dial(line) as end:
        end.sendall(b"12345")
        assert read(end, 5) == b"12345"
        line.cut_after(100, "up" if direction == "up" else "down")
        end.sendall(bytes(1000))
        with pytest.raises(ConnectionError):
            read(end, 10_000)
    assert line.was_cut.wait(10)
    assert (line.up if direction == "up" else line.down) == 105
    with dial(line) as end:
        end.sendall(bytes(1000))
        assert read(end, 1000) == bytes(1000)


def test_a_cut_now_resets_what_is_open(line: Proxy) -> None:
    with dial(line) as end:
        end.sendall(b"1")
        assert read(end, 1) == b"1"
        line.cut_now()
        with pytest.raises(ConnectionError):
            end.recv(1)


def test_a_frozen_line_hands_on_nothing_until_it_is_thawed(line: Proxy) -> None:
    with dial(line) as end:
        end.sendall(b"1")
        assert read(end, 1) == b"1"
        line.freeze()
        end.sendall(b"2")
        end.settimeout(0.2)
        with pytest.raises(TimeoutError):
            end.recv(1)
        assert (line.up, line.down) == (1, 1)
        end.settimeout(10)
        line.thaw()
        assert read(end, 1) == b"2"


def test_one_direction_alone_can_be_frozen(line: Proxy, echo: Echo) -> None:
    with dial(line) as end:
        line.freeze("down")
        end.sendall(b"x" * 1000)
        assert wait_until(lambda: echo.got == 1000)
        assert line.down == 0
        line.thaw()
        assert read(end, 1000) == b"x" * 1000


def test_proxy_swallowed_direction_is_lost_on_open_connections(line: Proxy, echo: Echo) -> None:
    with dial(line) as old:
        old.sendall(b"before")
        assert read(old, 6) == b"before"
        line.swallow("down")
        old.sendall(b"lost")
        assert wait_until(lambda: echo.got == 10)
        assert line.down == 6
        line.cut_now()
    with dial(line) as new:
        new.sendall(b"whole")
        assert read(new, 5) == b"whole"


def test_proxy_delayed_line_carries_many_bytes_at_once(line: Proxy) -> None:
    line.delay(0.2)
    with dial(line) as end:
        began = time.monotonic()
        sender = threading.Thread(target=end.sendall, args=(bytes(4_000_000),))
        sender.start()
        assert read(end, 4_000_000) == bytes(4_000_000)
        sender.join()
        assert 0.2 <= time.monotonic() - began < 8  # one after another they would take twice that
    assert line.busiest("up", 60) == 4_000_000


def wait_until(true: Callable[[], bool]) -> bool:
    """Wait for what another thread counts; nothing else tells."""
    deadline = time.monotonic() + 10
    while not true() and time.monotonic() < deadline:
        time.sleep(0.005)
    return true()


def test_new_connections_can_be_refused_and_admitted(line: Proxy) -> None:
    line.refuse()
    with pytest.raises(ConnectionError), dial(line) as end:
        end.recv(1)
    line.admit()
    with dial(line) as end:
        end.sendall(b"1")
        assert read(end, 1) == b"1"


def test_the_end_of_one_side_reaches_the_other(line: Proxy) -> None:
    with dial(line) as end:
        end.sendall(b"last")
        end.shutdown(socket.SHUT_WR)
        assert read(end, 100) == b"last"


def test_ssh_survives_the_line_and_dies_with_it(line: Proxy, tmp_path: Path) -> None:
    with (
        ObservedServer(tmp_path) as server,
        Proxy(server.host, server.port) as through,
        transport_to(through) as transport,
    ):
        transport.auth_password(server.user, server.password.reveal())
        client = paramiko.SFTPClient.from_transport(transport)
        assert client is not None
        with client, client.open("a", "wb") as file:
            file.write(CONTENT[:1000])
            through.cut_after(20_000)
            with pytest.raises((OSError, EOFError, paramiko.SSHException)):
                file.write(bytes(100_000))
        assert 1000 <= (tmp_path / "a").stat().st_size <= 100_000
