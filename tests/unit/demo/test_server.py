from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from tests.servers.embedded import sftp_to, transport_to
from uploader.demo.server import Behaviour, EmbeddedServer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "account"
    folder.mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("no")
    return folder


@pytest.fixture
def server(folder: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(folder) as server:
        yield server


@pytest.fixture
def sftp(server: EmbeddedServer) -> Iterator[paramiko.SFTPClient]:
    with sftp_to(server) as client:
        yield client


def test_what_is_put_is_in_the_folder_and_comes_back(folder: Path, sftp: paramiko.SFTPClient) -> None:
    content = os.urandom(3_000_001)
    with sftp.open("/a.bin", "wb") as file:
        file.set_pipelined(True)
        file.write(content)
    assert (folder / "a.bin").read_bytes() == content
    with sftp.open("a.bin", "rb") as file:
        file.prefetch()
        assert file.read() == content


def test_writes_land_where_they_are_aimed(folder: Path, sftp: paramiko.SFTPClient) -> None:
    (folder / "a").write_bytes(b"0123456789")
    with sftp.open("a", "r+") as file:
        file.seek(4)
        file.write(b"xy")
    with sftp.open("a", "ab") as file:
        file.write(b"end")
    assert (folder / "a").read_bytes() == b"0123xy6789end"


def test_opening_to_write_empties_only_when_asked(folder: Path, sftp: paramiko.SFTPClient) -> None:
    (folder / "a").write_bytes(b"0123456789")
    sftp.open("a", "r+").close()
    assert (folder / "a").stat().st_size == 10
    sftp.open("a", "w").close()
    assert (folder / "a").stat().st_size == 0


def test_exclusive_creation_refuses_a_name_that_is_taken(folder: Path, sftp: paramiko.SFTPClient) -> None:
    (folder / "a").write_bytes(b"1")
    with pytest.raises(OSError, match="Failure"):
        sftp.open("a", "wx")


def test_folders_are_made_listed_and_removed(folder: Path, sftp: paramiko.SFTPClient) -> None:
    sftp.mkdir("models")
    (folder / "models" / "日本 語.safetensors").write_bytes(b"12345")
    assert [(entry.filename, entry.st_size) for entry in sftp.listdir_attr("models")] == [("日本 語.safetensors", 5)]
    with pytest.raises(OSError, match="Failure"):
        sftp.rmdir("models")
    sftp.remove("models/日本 語.safetensors")
    sftp.rmdir("models")
    assert list(folder.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        sftp.listdir("models")


def test_a_plain_rename_never_takes_a_name_that_is_there(folder: Path, sftp: paramiko.SFTPClient) -> None:
    (folder / "a").write_text("a")
    (folder / "b").write_text("b")
    with pytest.raises(OSError, match="Failure"):
        sftp.rename("a", "b")
    assert (folder / "b").read_text() == "b"
    sftp.rename("a", "c")
    assert (folder / "c").read_text() == "a"


def test_posix_rename_replaces(folder: Path, sftp: paramiko.SFTPClient) -> None:
    (folder / "a").write_text("a")
    (folder / "b").write_text("b")
    sftp.posix_rename("a", "b")
    assert [(entry.name, entry.read_text()) for entry in folder.iterdir()] == [("b", "a")]


def test_posix_rename_can_be_withheld(folder: Path) -> None:
    (folder / "a").write_text("a")
    server = EmbeddedServer(folder, behaviour=Behaviour(posix_rename=False))
    with server, sftp_to(server) as client, pytest.raises(OSError, match="unsupported"):
        client.posix_rename("a", "b")


def test_sizes_times_and_modes_can_be_set(folder: Path, sftp: paramiko.SFTPClient) -> None:
    (folder / "a").write_bytes(b"0123456789")
    sftp.truncate("a", 4)
    sftp.utime("a", (1_000_000, 1_000_001))
    with sftp.open("a", "r+") as file:
        assert file.stat().st_size == 4
        file.truncate(2)
    assert (folder / "a").read_bytes() == b"01"
    sftp.utime("a", (1_000_000, 1_000_001))
    assert sftp.stat("a").st_mtime == 1_000_001
    if sys.platform != "win32":
        sftp.chmod("a", 0o600)
        assert (folder / "a").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("path", ["../outside/secret.txt", "/../../outside/secret.txt", "a/../../outside/secret.txt"])
def test_dots_do_not_lead_out(path: str, sftp: paramiko.SFTPClient) -> None:
    with pytest.raises(FileNotFoundError):
        sftp.stat(path)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_links_do_not_lead_out(folder: Path, sftp: paramiko.SFTPClient) -> None:
    (folder / "out").symlink_to(folder.parent / "outside")
    (folder / "file").symlink_to(folder.parent / "outside" / "secret.txt")
    (folder / "new").symlink_to(folder.parent / "outside" / "new.txt")
    (folder / "a").write_text("a")
    for attempt in (
        lambda: sftp.stat("out"),
        lambda: sftp.listdir("out"),
        lambda: sftp.open("file"),
        lambda: sftp.open("new", "w"),
        lambda: sftp.truncate("file", 0),
        lambda: sftp.mkdir("out/x"),
        lambda: sftp.remove("out/secret.txt"),
        lambda: sftp.rename("a", "out/a"),
        lambda: sftp.posix_rename("out/secret.txt", "b"),
        lambda: sftp.lstat("out/secret.txt"),
    ):
        with pytest.raises(PermissionError):
            attempt()
    assert sorted(entry.name for entry in (folder.parent / "outside").iterdir()) == ["secret.txt"]
    sftp.remove("out")
    assert not (folder / "out").is_symlink()


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_links_inside_are_followed(folder: Path, sftp: paramiko.SFTPClient) -> None:
    (folder / "disk").mkdir()
    (folder / "models").symlink_to(folder / "disk")
    sftp.open("models/a", "w").close()
    assert (folder / "disk" / "a").exists()


def test_the_login_folder_is_the_root(sftp: paramiko.SFTPClient) -> None:
    assert sftp.normalize(".") == "/"
    assert sftp.normalize("home//data/../x") == "/home/x"


def test_a_name_with_a_nul_is_refused_and_the_session_lives(sftp: paramiko.SFTPClient) -> None:
    with pytest.raises(OSError, match="Failure"):
        sftp.mkdir("a\0b")
    assert sftp.listdir("/") == []


def test_there_is_no_shell(server: EmbeddedServer) -> None:
    with transport_to(server) as transport:
        transport.auth_password(server.user, server.password.reveal())
        with transport.open_session() as channel, pytest.raises(paramiko.SSHException):
            channel.exec_command("id")
        with pytest.raises(paramiko.ChannelException):
            transport.open_channel("direct-tcpip", ("127.0.0.1", 22), ("127.0.0.1", 1))


@pytest.mark.parametrize("user", ["demo", "root"])
def test_a_wrong_name_or_password_is_refused(user: str, server: EmbeddedServer) -> None:
    word = "wrong" if user == "demo" else server.password.reveal()
    with transport_to(server) as transport, pytest.raises(paramiko.AuthenticationException):
        transport.auth_password(user, word)


def test_an_authorized_key_gets_in_and_another_does_not(folder: Path) -> None:
    mine, other = paramiko.ECDSAKey.generate(), paramiko.ECDSAKey.generate()
    line = f"{mine.get_name()} {mine.get_base64()} me@here"
    with EmbeddedServer(folder, authorized_key=line) as server:
        with transport_to(server) as transport:
            transport.auth_publickey(server.user, mine)
            assert transport.is_authenticated()
        with transport_to(server) as transport, pytest.raises(paramiko.AuthenticationException):
            transport.auth_publickey(server.user, other)


def test_the_fingerprint_is_the_host_keys(server: EmbeddedServer) -> None:
    with transport_to(server) as transport:
        assert transport.get_remote_server_key().fingerprint == server.fingerprint
    assert server.fingerprint.startswith("SHA256:")


def test_the_password_is_new_each_time_and_not_shown(folder: Path) -> None:
    one, two = EmbeddedServer(folder), EmbeddedServer(folder)
    assert one.password != two.password
    assert one.password.reveal() not in repr(one.password)


def test_several_connections_at_once(folder: Path, server: EmbeddedServer) -> None:
    contents = {f"f{index}": os.urandom(300_000) for index in range(4)}

    def put(name: str) -> None:
        with sftp_to(server) as client, client.open(name, "wb") as file:
            file.write(contents[name])

    threads = [threading.Thread(target=put, args=(name,)) for name in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {entry.name: entry.read_bytes() for entry in folder.iterdir()} == contents


def test_closing_ends_open_sessions_and_all_threads(folder: Path) -> None:
    before = set(threading.enumerate())
    with (
        EmbeddedServer(folder) as server,
        sftp_to(server) as client,
        socket.create_connection((server.host, server.port)),
        client.open("a", "w"),
    ):
        server.close()
        with pytest.raises((OSError, EOFError)):
            client.listdir("/")
    assert set(threading.enumerate()) <= before
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((server.host, server.port), timeout=5)


def test_it_starts_again_on_the_port_it_had(folder: Path) -> None:
    server = EmbeddedServer(folder)
    with server:
        port = server.port
    with server, sftp_to(server) as client:
        assert server.port == port
        assert client.listdir("/") == []


def test_a_folder_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        EmbeddedServer(tmp_path / "none")
