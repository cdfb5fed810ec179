"""Hashes and free space by a real shell: each tool gives the same, and none of them hashes what it could not read."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.servers.openssh import OpenSSH
from uploader.errors import NetworkError, RemoteRefused
from uploader.remote.sftp import SftpConnection, shell

MIB = 1024 * 1024
CONTENT = bytes(range(256)) * (4096 * 3) + b"tail"
TOOLS = ("python3", "openssl", "sha256sum")


def only(connection: SftpConnection, *tools: str) -> shell.Shell:
    missing = set(tools) - set(connection.facts.tools)
    if missing:
        pytest.skip(f"not installed: {', '.join(sorted(missing))}")
    transport = connection.files.protocol._channel.get_transport()
    return shell.Shell(transport, "box", tools)


def test_the_probe_finds_the_tools(connection: SftpConnection) -> None:
    transport = connection.files.protocol._channel.get_transport()
    found = shell.probe(transport, "box")
    assert found is not None
    assert {"df", "sha256sum"} <= set(found)


@pytest.mark.parametrize("tool", TOOLS)
def test_hashes_by_each_tool_are_of_the_whole_file(server: OpenSSH, connection: SftpConnection, tool: str) -> None:
    file = server.home / "it's $(touch executed) a\\b"
    file.write_bytes(CONTENT)
    whole = [(0, len(CONTENT))]
    assert only(connection, tool).hashes(str(file), len(CONTENT), whole) == [hashlib.sha256(CONTENT).hexdigest()]
    assert not list(server.home.glob("executed*"))


@pytest.mark.parametrize("tool", TOOLS)
def test_hashes_of_what_cannot_be_read_are_none(server: OpenSSH, connection: SftpConnection, tool: str) -> None:
    commands = only(connection, tool)
    (server.home / "folder").mkdir(exist_ok=True)
    for path in (server.home / "nothing", server.home / "folder", Path("/proc/self/mem")):
        assert commands.hashes(str(path), 4, [(0, 4)]) is None
        assert commands.hashes(str(path), MIB, [(0, 4)]) is None


def test_hashes_of_ranges_take_python(server: OpenSSH, connection: SftpConnection) -> None:
    (server.home / "a").write_bytes(CONTENT)
    path, ranges = str(server.home / "a"), [(1, 5), (MIB, 2 * MIB), (3 * MIB, 4), (2 * MIB, 0), (0, len(CONTENT))]
    expected = [hashlib.sha256(CONTENT[at : at + size]).hexdigest() for at, size in ranges]
    assert only(connection, "python3").hashes(path, len(CONTENT), ranges) == expected
    assert only(connection, "sha256sum").hashes(path, len(CONTENT), [(0, MIB)]) is None
    assert only(connection).hashes(path, len(CONTENT), ranges) is None


def test_many_ranges_go_in_one_command(server: OpenSSH, connection: SftpConnection) -> None:
    (server.home / "a").write_bytes(CONTENT)
    ranges = [(at, 1000) for at in range(0, 2_000_000, 500)]
    expected = [hashlib.sha256(CONTENT[at : at + size]).hexdigest() for at, size in ranges]
    assert only(connection, "python3").hashes(str(server.home / "a"), len(CONTENT), ranges) == expected


def test_df_tells_the_space(server: OpenSSH, connection: SftpConnection) -> None:
    space = only(connection, "df").space(str(server.home))
    told = connection.files.space(str(server.home))
    assert space is not None
    assert told is not None
    assert abs(space.free - told.free) < 1 << 30
    assert abs(space.total - told.total) < told.total // 10
    assert only(connection, "df").space(str(server.home / "nothing")) is None
    assert only(connection).space(str(server.home)) is None


def test_shell_copies_a_file_and_hashes_by_each_tool(server: OpenSSH, connection: SftpConnection) -> None:
    (server.home / "it's a file").write_bytes(CONTENT)
    assert only(connection).copy(str(server.home / "it's a file"), str(server.home / "copied"))
    assert (server.home / "copied").read_bytes() == CONTENT
    assert not only(connection).copy(str(server.home / "nothing"), str(server.home / "copied 2"))
    digest = hashlib.sha256(CONTENT).hexdigest()
    names = [str(server.home / name) for name in ("it's a file", "nothing", "copied")]
    for tool in TOOLS:
        if tool in connection.facts.tools:
            assert only(connection, tool).hash_files(names) == [digest, None, digest]
    assert only(connection).hash_files(names) is None


def test_command_that_fails_or_is_silent_is_refused(connection: SftpConnection) -> None:
    transport = connection.files.protocol._channel.get_transport()
    with pytest.raises(RemoteRefused, match="status 3"):
        shell.run(transport, "box", ["sh", "-c", "exit 3"], b"", silence_seconds=10)
    with pytest.raises(NetworkError, match="does not answer"):
        shell.run(transport, "box", ["sleep", "20"], b"", silence_seconds=0.3)
    assert shell.run(transport, "box", ["cat"], b"feed", silence_seconds=10) == "feed"
    assert shell.run(transport, "box", ["true"], bytes(1_000_000), silence_seconds=10) == ""
