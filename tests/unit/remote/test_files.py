"""Files on servers that lie, fail or are full: each fault has its name, and the connection lives on."""

from __future__ import annotations

import contextlib
import struct
from functools import partial
from pathlib import Path

import paramiko
import pytest
from paramiko.sftp import SFTP_EOF, SFTP_FAILURE, SFTP_OK

from tests.servers.faulty import Cuts, Forbidding, FullDisk, ObservedServer, WriteFault
from tests.servers.openssh import OpenSSH, Shape, needs_sshd
from tests.unit.remote.visitors import Visitor
from uploader.demo.server import EmbeddedServer
from uploader.demo.tree import Handle, Tree
from uploader.errors import NetworkError, NoPermission, NoSpace, RemoteRefused
from uploader.remote.sftp import SftpConnection
from uploader.remote.sftp.attributes import unpacked_entry
from uploader.remote.sftp.protocol import Unpacker, string


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def visitor(tmp_path: Path) -> Visitor:
    return Visitor(tmp_path)


def by_password(visitor: Visitor, server: EmbeddedServer) -> SftpConnection:
    visitor.secrets.known = server.password.reveal()
    return visitor.connector(server).connect()


def fill(connection: SftpConnection, path: str, size: int) -> None:
    writer = connection.files.open_writer(path, fresh=True)
    data = bytes(writer.request_bytes)
    with contextlib.closing(writer):
        for at in range(0, size, len(data)):
            writer.send(at, data)
            writer.reap(wait=writer.pending > 1024 * 1024)


# full disks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["full", "sftp_only", "chroot"])
def test_a_full_disk_is_named_by_the_servers_own_numbers(tmp_path: Path, visitor: Visitor, shape: Shape) -> None:
    needs_sshd(shape, disk=True)
    with OpenSSH(tmp_path / "server", shape, disk_mib=4) as server:
        server.make_folder("data")
        visitor.secrets.known = server.password.reveal() if server.password else None
        key = None if server.password else str(server.identity_file)
        with visitor.connection(server, identity_file=key) as connection:
            folder = connection.files.resolve("data")
            before = connection.files.free_bytes(folder)
            assert before is not None
            assert 3_000_000 < before <= 4 * 1024 * 1024
            with pytest.raises(NoSpace) as caught:
                fill(connection, f"{folder}/big", 6 * 1024 * 1024)
            assert "full" in caught.value.message
            assert caught.value.remedy
            connection.files.remove(f"{folder}/big")
            fill(connection, f"{folder}/small", 1024 * 1024)


def test_a_disk_that_is_full_and_does_not_say_so_is_suspected(visitor: Visitor, root: Path) -> None:
    with FullDisk(root, after=100_000) as server:
        connection = by_password(visitor, server)
        with pytest.raises(RemoteRefused) as caught:
            fill(connection, "/big", 1_000_000)
        assert type(caught.value) is RemoteRefused
        assert "/big" in caught.value.message
        assert "full disk" in (caught.value.remedy or "")
        assert connection.files.free_bytes("/") is None
        assert connection.files.stat("/big") is not None
        connection.close()


# writes that fail -------------------------------------------------------------------------------------


class _RefusesSome(WriteFault):
    def verdict(self, total: int, offset: int, data: bytes) -> int | None:
        return SFTP_FAILURE if offset % 3000 == 0 else None


def test_close_takes_every_answer_and_raises_the_first_refusal(visitor: Visitor, root: Path) -> None:
    with _RefusesSome(root) as server:
        connection = by_password(visitor, server)
        writer = connection.files.open_writer("/a", fresh=True)
        for at in range(0, 30_000, 1000):
            writer.send(at, bytes(1000))
        with pytest.raises(RemoteRefused):
            writer.close()
        assert writer.pending == 0
        assert not connection.files.protocol.ready()
        again = connection.files.open_writer("/b", fresh=True)
        again.send(1000, b"12345")
        assert again.reap() == [(1000, 5)]
        again.close()
        connection.close()


def test_cut_line_keeps_what_was_acknowledged_before(visitor: Visitor, root: Path) -> None:
    with Cuts(root, after=200_000) as server:
        connection = by_password(visitor, server)
        with pytest.raises(NetworkError):
            fill(connection, "/a", 1_000_000)
        connection.close()
        connection = by_password(visitor, server)
        fill(connection, "/a", 1_000_000)
        assert (root / "a").stat().st_size >= 1_000_000
        connection.close()


@pytest.mark.parametrize("what", ["mkdir", "open"])
def test_what_is_not_permitted_is_named(visitor: Visitor, root: Path, what: str) -> None:
    with Forbidding(root, what) as server:
        connection = by_password(visitor, server)
        files = connection.files
        refused = files.make_folder if what == "mkdir" else partial(files.open_writer, fresh=True)
        with pytest.raises(NoPermission, match="/x"):
            refused("/x")
        assert connection.files.list_folder("/") == []
        connection.close()


@pytest.mark.parametrize("path", ["/nul\0in it", "/\ud800"])
def test_a_name_that_no_server_could_take_is_refused_here(visitor: Visitor, root: Path, path: str) -> None:
    with ObservedServer(root) as server:
        connection = by_password(visitor, server)
        files = connection.files
        for call in (files.stat, files.list_folder, files.make_folder, files.remove):
            with pytest.raises(RemoteRefused):
                call(path)
        with pytest.raises(RemoteRefused):
            files.open_writer(path, fresh=True)
        assert files.list_folder("/") == []
        connection.close()


def test_a_name_that_is_not_utf8_survives_the_round_trip(visitor: Visitor, tmp_path: Path) -> None:
    needs_sshd()
    with OpenSSH(tmp_path / "server") as server:
        (server.home / b"caf\xe9".decode("utf-8", "surrogateescape")).write_bytes(b"12345")
        with visitor.connection(server, identity_file=str(server.identity_file)) as connection:
            path = connection.files.resolve("caf\udce9")
            assert [entry.name for entry in connection.files.list_folder(connection.files.home)] == ["caf\udce9"]
            assert b"".join(connection.files.read(path, [(0, 5)])) == b"12345"
            assert connection.hashes(path, [(0, 0)]) is not None
            connection.files.remove(path)
            assert list(server.home.iterdir()) == []


# reads that come short --------------------------------------------------------------------------------


class _StingyHandle(Handle):
    def read(self, offset: int, length: int) -> bytes | int:
        return super().read(offset, min(length, 777 + offset % 100))


class _StingyTree(Tree):
    handle = _StingyHandle


class _Stingy(ObservedServer):
    tree = _StingyTree


def test_a_server_that_gives_less_than_asked_is_asked_again(visitor: Visitor, root: Path) -> None:
    content = bytes(range(256)) * 500
    (root / "a").write_bytes(content)
    with _Stingy(root) as server:
        connection = by_password(visitor, server)
        ranges = [(0, len(content)), (5, 10_000), (127_000, 50_000)]
        assert list(connection.files.read("/a", ranges)) == [content[at : at + size] for at, size in ranges]
        connection.close()


class _FailingHandle(Handle):
    def read(self, offset: int, length: int) -> bytes | int:
        return super().read(offset, length) if offset < 100_000 else SFTP_FAILURE


class _FailingTree(Tree):
    handle = _FailingHandle


class _Failing(ObservedServer):
    tree = _FailingTree


def test_a_read_that_fails_half_way_leaves_the_connection_usable(visitor: Visitor, root: Path) -> None:
    (root / "a").write_bytes(bytes(1_000_000))
    with _Failing(root) as server:
        connection = by_password(visitor, server)
        reading = connection.files.read("/a", [(0, 50_000), (50_000, 900_000)])
        assert next(reading) == bytes(50_000)
        with pytest.raises(RemoteRefused, match="read /a"):
            next(reading)
        assert not connection.files.protocol.ready()
        assert b"".join(connection.files.read("/a", [(0, 1000)])) == bytes(1000)
        connection.close()


class _Mistaken(Tree):
    def stat(self, path: str) -> paramiko.SFTPAttributes | int:
        return SFTP_OK if path == "/odd" else super().stat(path)

    def list_folder(self, path: str) -> list[paramiko.SFTPAttributes] | int:
        return SFTP_EOF if path == "/odd" else super().list_folder(path)


class _Odd(ObservedServer):
    tree = _Mistaken


def test_an_answer_of_the_wrong_kind_is_refused(visitor: Visitor, root: Path) -> None:
    with _Odd(root) as server:
        connection = by_password(visitor, server)
        with pytest.raises(RemoteRefused):
            connection.files.stat("/odd")
        with pytest.raises(RemoteRefused):
            connection.files.list_folder("/odd")
        assert connection.files.stat("/") is not None
        connection.close()


# attributes -------------------------------------------------------------------------------------------


def test_attributes_are_read_by_their_flags() -> None:
    everything = struct.pack(">IQIIIII", 0x8000000F, 5, 1, 2, 0o040755, 10, 20)
    everything += struct.pack(">I", 1) + string("a") + string("b")
    found = unpacked_entry("x", Unpacker(everything))
    assert (found.size, found.mtime, found.is_folder, found.is_link) == (5, 20, True, False)
    nothing = unpacked_entry("x", Unpacker(struct.pack(">I", 0)))
    assert (nothing.size, nothing.mtime, nothing.is_folder) == (0, None, False)


def test_a_listing_tells_links_and_a_look_follows_them(visitor: Visitor, tmp_path: Path) -> None:
    needs_sshd()
    with OpenSSH(tmp_path / "server") as server:
        (server.home / "real").write_bytes(b"12345")
        (server.home / "link").symlink_to("real")
        with visitor.connection(server, identity_file=str(server.identity_file)) as connection:
            found = {entry.name: entry for entry in connection.files.list_folder(connection.files.home)}
            assert found["link"].is_link
            assert not found["real"].is_link
            there = connection.files.stat(connection.files.resolve("link"))
            assert there is not None
            assert (there.size, there.is_link) == (5, False)
