"""A hash taken on a real server while the file grows."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from pathlib import Path

import pytest

from tests.servers.openssh import OpenSSH, needs_sshd
from tests.unit.remote.visitors import Visitor
from uploader.remote.interface import RollingDigest
from uploader.remote.sftp import SftpConnection

MIB = 1 << 20


def begun(connection: SftpConnection, path: Path, way: str) -> RollingDigest:
    """A hash taken on the server, or of what is read back."""
    along: RollingDigest | None
    along = connection.hash_along(str(path)) if way == "hash" else connection.read_along(str(path), list)
    assert along is not None
    return along


ways = pytest.mark.parametrize("way", ["hash", "read"])


@ways
@pytest.mark.parametrize("name", ["plain", "two words", "it's $(touch pwned)", "-n", "日本語"])
def test_it_is_the_hash_of_what_was_reached_step_by_step(
    server: OpenSSH, connection: SftpConnection, name: str, way: str
) -> None:
    path = server.home / name
    data = os.urandom(5 * MIB)
    path.write_bytes(bytes(len(data)))  # holes, as an upload out of order leaves them
    along = begun(connection, path, way)
    for end in (MIB, 3 * MIB, 3 * MIB + 17, 5 * MIB):
        with path.open("r+b") as file:
            file.write(data[:end])
        along.reached(end)
    along.reached(MIB)
    assert along.finish() == hashlib.sha256(data).hexdigest()
    along.close()
    assert not list(server.home.rglob("pwned"))


@ways
def test_file_that_goes_on_after_what_was_reached_has_no_hash(
    server: OpenSSH, connection: SftpConnection, way: str
) -> None:
    (server.home / "long").write_bytes(b"x" * MIB)
    along = begun(connection, server.home / "long", way)
    along.reached(MIB - 1)
    assert along.finish() is None


@ways
def test_connection_is_free_for_other_uses_while_hashing(server: OpenSSH, connection: SftpConnection, way: str) -> None:
    (server.home / "file").write_bytes(b"x" * MIB)
    along = begun(connection, server.home / "file", way)
    assert connection.files.stat(str(server.home / "file")) is not None
    along.reached(MIB)
    assert b"".join(connection.files.read(str(server.home / "file"), [(0, 10)])) == b"x" * 10
    assert along.finish() == hashlib.sha256(b"x" * MIB).hexdigest()


@ways
def test_a_file_that_is_shorter_than_was_said_has_no_hash(
    server: OpenSSH, connection: SftpConnection, way: str
) -> None:
    (server.home / "short").write_bytes(b"x")
    along = begun(connection, server.home / "short", way)
    along.reached(10)
    assert along.finish() is None


def test_killed_program_has_no_hash_and_raises_nothing(server: OpenSSH, connection: SftpConnection) -> None:
    (server.home / "killed").write_bytes(b"x" * 100)
    along = connection.hash_along(str(server.home / "killed"))
    assert along is not None
    deadline = time.monotonic() + 10
    while not (victims := [int(p.parent.name) for p in Path("/proc").glob("[0-9]*/cmdline") if _hashes(p, server)]):
        assert time.monotonic() < deadline, "the program did not start"
        time.sleep(0.01)
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    along.reached(100)
    assert along.finish() is None
    assert connection.files.stat(str(server.home / "killed")) is not None


def test_an_account_without_a_shell_has_none(tmp_path: Path) -> None:
    needs_sshd("sftp_only")
    with (
        OpenSSH(tmp_path / "only", "sftp_only") as server,
        Visitor(tmp_path).connection(server, identity_file=str(server.identity_file)) as connection,
    ):
        assert connection.hash_along(str(server.home / "file")) is None


def _hashes(cmdline: Path, server: OpenSSH) -> bool:
    """Whether a process is the hashing program of this server's sshd."""
    try:
        words = cmdline.read_bytes()
        parents = []
        at = int(cmdline.parent.name)
        while at > 1:
            parents.append(at)
            at = int(Path(f"/proc/{at}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return False
    return b"exec(eval" in words and b"python3\x00-I" in words and server.pid in parents
