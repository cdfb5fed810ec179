"""The contract for batches and copies (uploader/remote/interface.py), for each implementation of a connection."""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

from tests.contract.test_remote import AWKWARD, Member, connection, folder, member
from uploader.errors import RemoteExists, RemoteMissing, RemoteRefused
from uploader.remote.interface import Connection, Entry, SmallFile

__all__ = ["connection", "folder", "member"]

LATER = 1_700_000_123


def whole(folder: str, name: str, size: int, mtime: int | None = None) -> SmallFile:
    return SmallFile(f"{folder}/{name}", random.Random(name).randbytes(size), mtime)


def test_write_all_sets_bytes_and_times(connection: Connection, folder: str) -> None:
    remote = connection.files
    files = [whole(folder, f"{number} {name}", number * 7001, LATER + number) for number, name in enumerate(AWKWARD)]
    files.append(whole(folder, "larger than a request", 700_000, LATER))
    assert remote.write_all(files) == [None] * len(files)
    assert connection.settled
    assert remote.read_all([(file.path, len(file.data)) for file in files]) == [file.data for file in files]
    found = remote.stat_all([file.path for file in files])
    assert [entry and not isinstance(entry, RemoteRefused) and (entry.size, entry.mtime) for entry in found] == [
        (len(file.data), file.mtime) for file in files
    ]
    assert connection.settled


def test_write_all_truncates_an_existing_file(connection: Connection, folder: str) -> None:
    remote = connection.files
    remote.write_all([SmallFile(f"{folder}/again", b"long before")])
    remote.write_all([SmallFile(f"{folder}/again", b"now")])
    assert remote.read_all([(f"{folder}/again", 99)]) == [b"now"]


def test_write_all_one_refusal_stops_no_other_file(connection: Connection, folder: str) -> None:
    remote = connection.files
    first, refused, last = remote.write_all(
        [whole(folder, "x", 10), whole(f"{folder}/nowhere", "y", 10), whole(folder, "z", 10)]
    )
    assert (first, last) == (None, None)
    assert isinstance(refused, RemoteMissing)
    data, missing, empty = remote.read_all([(f"{folder}/x", 10), (f"{folder}/nothing", 10), (f"{folder}/z", 0)])
    assert (len(data) if isinstance(data, bytes) else data, empty) == (10, b"")
    assert isinstance(missing, RemoteMissing)
    assert remote.stat_all([f"{folder}/nothing"]) == [None]
    listed, gone = remote.list_folders([folder, f"{folder}/nothing"])
    assert isinstance(listed, list)
    assert isinstance(gone, RemoteMissing)
    (untimed,) = remote.set_times([(f"{folder}/nothing", LATER)])
    assert isinstance(untimed, RemoteMissing)
    assert connection.settled


def test_hundreds_of_files_in_many_folders_are_listed_at_once(connection: Connection, folder: str) -> None:
    remote = connection.files
    folders = [f"{folder}/many{number}" for number in range(12)]
    assert remote.make_folders(folders) == [None] * 12
    assert remote.make_folders(folders) == [None] * 12
    files = [whole(at, f"file {number}", number % 5) for at in folders for number in range(60)]
    assert set(remote.write_all(files)) == {None}
    for listed in remote.list_folders(folders):
        assert isinstance(listed, list)
        assert sorted(entry.name for entry in listed) == sorted(f"file {number}" for number in range(60))
        assert {entry.size for entry in listed} == set(range(5))
    assert connection.settled


def test_files_renamed_together_replace_no_name(member: Member, connection: Connection, folder: str) -> None:
    remote = connection.files
    remote.write_all([SmallFile(f"{folder}/{name}", name.encode()) for name in ("r1", "r2", "r3", "there")])
    pairs = [(f"{folder}/r1", f"{folder}/n1"), (f"{folder}/r2", f"{folder}/there"), (f"{folder}/no", f"{folder}/n3")]
    done, taken, missing = remote.rename_all(pairs)
    assert done is None
    assert isinstance(taken, RemoteExists)
    assert isinstance(missing, RemoteRefused)
    assert remote.replace_all([(f"{folder}/r2", f"{folder}/there")]) == [member.one_step]
    assert remote.read_all([(f"{folder}/n1", 9), (f"{folder}/there", 9)]) == [b"r1", b"r2"]


def test_files_are_hashed_by_one_command_where_there_is_a_shell(
    member: Member, connection: Connection, folder: str
) -> None:
    files = [whole(folder, name, 5000) for name in AWKWARD]
    connection.files.write_all(files)
    found = connection.hash_files([*(file.path for file in files), f"{folder}/no such file"])
    if not member.hashes:
        assert found is None
        return
    assert found == [*(hashlib.sha256(file.data).hexdigest() for file in files), None]


def test_server_copies_a_file_without_being_sent_it(connection: Connection, folder: str) -> None:
    source = whole(folder, "source of a copy", 300_000, LATER)
    connection.files.write_all([source])
    way = connection.duplicate(source.path, f"{folder}/copied $(x)")
    if not connection.abilities.server_copy:
        assert way is None
        return
    assert way in ("copy", "link")
    assert connection.files.read_all([(f"{folder}/copied $(x)", 300_001)]) == [source.data]
    assert connection.duplicate(f"{folder}/nothing", f"{folder}/copied from nothing") is None
    assert connection.settled


def test_link_tells_where_it_leads_and_file_how_many_names(member: Member, connection: Connection, folder: str) -> None:
    if member.seen_from_here is None or member.name.startswith("embedded"):
        return  # the memory server has no links
    seen = member.seen_from_here / Path(folder).relative_to(connection.files.home)
    (seen / "linked.bin").write_bytes(b"x")
    (seen / "shortcut").symlink_to("linked.bin")
    os.link(seen / "linked.bin", seen / "other name.bin")
    assert connection.files.read_link(f"{folder}/shortcut") == "linked.bin"
    entries = {entry.name: entry for entry in connection.files.list_folder(folder)}
    assert entries["linked.bin"].links == 2
    assert entries["shortcut"].is_link
    for name in ("linked.bin", "shortcut", "other name.bin"):
        (seen / name).unlink()


def test_disk_reports_its_size(connection: Connection, folder: str) -> None:
    space = connection.files.space(folder)
    if space is not None:
        assert 0 < space.free <= space.total
    assert isinstance(connection.files.stat(folder), Entry)


def test_files_beside_an_open_writer_lose_no_answer(connection: Connection, folder: str) -> None:
    files = connection.files
    writer = files.open_writer(f"{folder}/open", fresh=True)
    for at in range(0, 5000, 1000):
        writer.send(at, bytes(1000))
    assert files.stat_all([folder, f"{folder}/nothing"])[1] is None
    assert [entry.name for entry in files.list_folder(folder) if entry.name == "open"] == ["open"]
    done: list[tuple[int, int]] = []
    while writer.pending:
        done += writer.reap()
    writer.close()
    assert sorted(done) == [(at, 1000) for at in range(0, 5000, 1000)]
    assert connection.settled


def test_files_removed_together_may_be_missing(connection: Connection, folder: str) -> None:
    files = connection.files
    files.write_all([SmallFile(f"{folder}/{name}", b"x") for name in ("gone1", "gone2")])
    paths = [f"{folder}/{name}" for name in ("gone1", "nothing", "gone2")]
    assert files.remove_all(paths) == [None] * 3
    assert files.stat_all(paths) == [None] * 3
    (refused,) = files.read_links([f"{folder}/nothing"])
    assert isinstance(refused, RemoteRefused)
