"""What the server in memory can be told to do to its visitors."""

from __future__ import annotations

import pytest

from tests.remote_memory import MemoryConnector, MemoryServer
from uploader.errors import NetworkError, NoPermission, NoSpace


def test_connection_is_cut_after_its_bytes_and_the_next_is_not() -> None:
    server = MemoryServer(cut_after=[2500])
    connector = MemoryConnector(server)
    first = connector.connect()
    writer = first.files.open_writer("/home/user/a", fresh=True)
    writer.send(0, bytes(1000))
    writer.send(1000, bytes(1000))
    with pytest.raises(NetworkError):
        writer.send(2000, bytes(1000))
    with pytest.raises(NetworkError):
        writer.reap()
    second = connector.connect()
    assert len(server.files["/home/user/a"]) == 2000
    writer = second.files.open_writer("/home/user/a", fresh=False)
    writer.send(2000, bytes(1_000_000))
    writer.close()
    assert server.connects == 2


def test_a_full_disk_is_told_by_reap_and_what_fits_is_kept() -> None:
    server = MemoryServer(space=1500)
    files = MemoryConnector(server).connect().files
    writer = files.open_writer("/home/user/a", fresh=True)
    writer.send(0, bytes(1000))
    assert writer.reap() == [(0, 1000)]
    assert files.free_bytes("/home/user") == 500
    writer.send(1000, bytes(1000))
    with pytest.raises(NoSpace):
        writer.reap()
    assert len(server.files["/home/user/a"]) == 1000


def test_what_may_not_be_read_is_denied() -> None:
    server = MemoryServer(readable=False)
    server.files["/home/user/a"] = bytearray(b"12345")
    with pytest.raises(NoPermission):
        list(MemoryConnector(server).connect().files.read("/home/user/a", [(0, 5)]))


def test_folders_are_made_with_all_above_them() -> None:
    server = MemoryServer()
    server.make_folders("/a/b/c")
    files = MemoryConnector(server).connect().files
    assert [entry.name for entry in files.list_folder("/a/b")] == ["c"]
