"""The contract of a connection (uploader/remote/interface.py), for each implementation."""

from __future__ import annotations

import hashlib
import os
import random
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.remote_memory import MemoryConnector, MemoryServer
from tests.servers.faulty import NoPosixRename
from tests.servers.openssh import OpenSSH, needs_sshd
from tests.servers.tcp_proxy import Proxy
from tests.unit.remote.visitors import Notes, Somewhere, Visitor, target_on
from uploader.demo.server import EmbeddedServer
from uploader.errors import NetworkError, RemoteExists, RemoteMissing, RemoteRefused, UploaderError
from uploader.remote.interface import Connection, Entry

MEMBERS = (
    "memory",
    "memory with hashes",
    "embedded",
    "embedded without posix-rename",
    "OpenSSH full",
    "OpenSSH sftp_only",
    "OpenSSH chroot",
)
CONTENT = random.Random(7).randbytes(3 * 1024 * 1024 + 12_345)
AWKWARD = (
    "a b.bin",
    "two  blanks ",
    "it's.bin",
    'say "hi".bin',
    "$(touch executed)",
    "`touch executed`",
    ";touch executed;",
    "-rf",
    "モデル ①.safetensors",
    "back\\slash\\n.bin",
    "a*b?[c].bin",
    "#hash",
    "~tilde",
)


@dataclass(frozen=True)
class Member:
    """A server with one implementation of a connection. `through` connects by way of another host and port."""

    name: str
    connect: Callable[[], Connection]
    server: Somewhere | None
    through: Callable[[Proxy], Connection] | None
    hashes: bool
    one_step: bool
    seen_from_here: Path | None

    def __str__(self) -> str:
        return self.name


@pytest.fixture(scope="module", params=MEMBERS)
def member(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Member]:
    name: str = request.param
    folder = tmp_path_factory.mktemp("member")
    with ExitStack() as stack:
        if name.startswith("memory"):
            memory = MemoryServer(hashes=name.endswith("hashes"), space=1 << 30)
            memory.folders.add("/home/user/data")
            yield Member(name, MemoryConnector(memory).connect, None, None, memory.hashes, True, None)
            return
        if name.startswith("embedded"):
            (folder / "root" / "data").mkdir(parents=True)
            kind = NoPosixRename if "without" in name else EmbeddedServer
            embedded: EmbeddedServer = stack.enter_context(kind(folder / "root"))
            yield _by_sftp(name, folder, embedded, Notes(embedded.password.reveal()), folder / "root")
            return
        shape = name.partition(" ")[2]
        assert shape in ("full", "sftp_only", "chroot")
        needs_sshd(shape)  # type: ignore[arg-type]
        sshd = stack.enter_context(OpenSSH(folder / "server", shape))  # type: ignore[arg-type]
        sshd.make_folder("data")
        notes = Notes(sshd.password.reveal() if sshd.password else None)
        yield _by_sftp(name, folder, sshd, notes, sshd.home)


def _by_sftp(name: str, folder: Path, server: EmbeddedServer | OpenSSH, secrets: Notes, seen: Path) -> Member:
    visitor = Visitor(folder / "visitor", secrets)
    key = None if secrets.known or isinstance(server, EmbeddedServer) else str(server.identity_file)
    target = target_on(server, identity_file=key)
    return Member(
        name,
        visitor.connector(target=target).connect,
        server,
        lambda line: visitor.connector(target=target_on(server, identity_file=key, port=line.port)).connect(),
        hashes=name == "OpenSSH full",
        one_step="without posix-rename" not in name,
        seen_from_here=seen,
    )


@pytest.fixture
def connection(member: Member) -> Iterator[Connection]:
    connection = member.connect()
    yield connection
    connection.close()


@pytest.fixture
def folder(connection: Connection) -> str:
    """Return a new folder for each test."""
    path = connection.files.resolve(f"data/{uuid.uuid4().hex}")
    connection.files.make_folder(path)
    return path


def put(connection: Connection, path: str, data: bytes, *, fresh: bool = True) -> None:
    writer = connection.files.open_writer(path, fresh=fresh)
    for at in range(0, len(data), writer.request_bytes):
        writer.send(at, memoryview(data)[at : at + writer.request_bytes])
    while writer.pending:
        writer.reap()
    writer.close()


def get(connection: Connection, path: str) -> bytes:
    there = connection.files.stat(path)
    assert there is not None
    return b"".join(connection.files.read(path, [(0, there.size)]))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# names ------------------------------------------------------------------------------------------------


def test_resolve_relative_path_starts_at_home(connection: Connection) -> None:
    files = connection.files
    assert files.home.startswith("/")
    assert files.resolve("data/x") == files.home.rstrip("/") + "/data/x"
    assert files.resolve(".") == files.home
    assert files.resolve("/a/./b//c") == "/a/b/c"
    assert files.resolve("//a") == "/a"
    assert connection.facts.home == files.home
    assert files.resolve("not there/at all").endswith("/not there/at all")


def test_stat_missing_file_is_none(connection: Connection, folder: str) -> None:
    assert connection.files.stat(f"{folder}/nothing") is None
    assert connection.files.stat(f"{folder}/no/such/folder") is None
    put(connection, f"{folder}/a", b"12345")
    assert connection.files.stat(f"{folder}/nothing") is None


def test_stat_reports_size_and_type(connection: Connection, folder: str) -> None:
    put(connection, f"{folder}/a", b"12345")
    file, here = connection.files.stat(f"{folder}/a"), connection.files.stat(folder)
    assert file is not None
    assert here is not None
    assert (file.name, file.size, file.is_folder) == ("a", 5, False)
    assert here.is_folder
    assert file.mtime is None or file.mtime > 1_600_000_000


def test_list_folder_has_all_entries_and_no_dots(connection: Connection, folder: str) -> None:
    assert connection.files.list_folder(folder) == []
    put(connection, f"{folder}/a", b"12345")
    connection.files.make_folder(f"{folder}/b")
    put(connection, f"{folder}/b/deeper", b"")
    found = {entry.name: entry for entry in connection.files.list_folder(folder)}
    assert sorted(found) == ["a", "b"]
    assert (found["a"].size, found["a"].is_folder) == (5, False)
    assert found["b"].is_folder
    assert isinstance(found["a"], Entry)


def test_list_folder_of_many_files_is_complete(connection: Connection, folder: str) -> None:
    names = {f"model {number:04}.safetensors" for number in range(150)}
    for name in names:
        connection.files.open_writer(f"{folder}/{name}", fresh=True).close()
    assert {entry.name for entry in connection.files.list_folder(folder)} == names


def test_listing_of_nothing_is_missing_and_connection_lives(connection: Connection, folder: str) -> None:
    with pytest.raises(RemoteMissing):
        connection.files.list_folder(f"{folder}/nothing")
    assert connection.files.list_folder(folder) == []


def test_make_folder_twice_succeeds(connection: Connection, folder: str) -> None:
    connection.files.make_folder(f"{folder}/new")
    connection.files.make_folder(f"{folder}/new")
    there = connection.files.stat(f"{folder}/new")
    assert there is not None
    assert there.is_folder


def test_make_folder_without_parent_is_refused(connection: Connection, folder: str) -> None:
    with pytest.raises(RemoteMissing):
        connection.files.make_folder(f"{folder}/no/parent")
    assert connection.files.list_folder(folder) == []


def test_make_folder_at_a_file_is_refused(connection: Connection, folder: str) -> None:
    put(connection, f"{folder}/a", b"12345")
    with pytest.raises(RemoteRefused):
        connection.files.make_folder(f"{folder}/a")
    assert get(connection, f"{folder}/a") == b"12345"


# writing ----------------------------------------------------------------------------------------------


def test_writer_accepts_writes_in_any_order(connection: Connection, folder: str) -> None:
    writer = connection.files.open_writer(f"{folder}/a", fresh=True)
    size = writer.request_bytes
    chunks = [(at, CONTENT[at : at + size]) for at in range(0, len(CONTENT), size)]
    random.Random(1).shuffle(chunks)
    for at, data in chunks:
        writer.send(at, data)
    while writer.pending:
        writer.reap()
    writer.close()
    assert get(connection, f"{folder}/a") == CONTENT


def test_writer_pending_counts_unacknowledged_bytes(connection: Connection, folder: str) -> None:
    writer = connection.files.open_writer(f"{folder}/a", fresh=True)
    assert writer.pending == 0
    assert writer.reap() == []
    assert writer.reap(wait=False) == []
    sent = [(offset, 1000) for offset in range(0, 50_000, 1000)]
    for offset, length in sent:
        writer.send(offset, CONTENT[offset : offset + length])
    assert writer.pending == 50_000
    reaped = writer.reap()
    assert reaped
    while writer.pending:
        assert writer.pending == 50_000 - sum(length for _, length in reaped)
        reaped += writer.reap()
    assert sorted(reaped) == sent
    writer.close()
    assert get(connection, f"{folder}/a") == CONTENT[:50_000]


def test_writer_allows_other_requests_in_between(connection: Connection, folder: str) -> None:
    writer = connection.files.open_writer(f"{folder}/a", fresh=True)
    for number in range(40):
        writer.send(number * 1000, CONTENT[number * 1000 : (number + 1) * 1000])
        assert connection.files.stat(f"{folder}/nothing") is None
    assert writer.pending == 40_000
    done = []
    while writer.pending:
        done += writer.reap()
    assert len(done) == 40
    writer.close()


def test_file_of_20_mib_arrives_in_the_largest_requests(connection: Connection, folder: str) -> None:
    content = random.Random(20).randbytes(20 * 1024 * 1024)
    assert connection.facts.request_bytes >= 32 * 1024
    assert connection.files.open_writer(f"{folder}/a", fresh=True).request_bytes == connection.facts.request_bytes
    put(connection, f"{folder}/a", content)
    digest = hashlib.sha256()
    ranges = [(at, 1024 * 1024) for at in range(0, len(content), 1024 * 1024)]
    for chunk in connection.files.read(f"{folder}/a", ranges):
        assert len(chunk) == 1024 * 1024
        digest.update(chunk)
    assert digest.hexdigest() == sha256(content)


def test_writer_only_fresh_truncates_the_file(connection: Connection, folder: str) -> None:
    put(connection, f"{folder}/a", b"0123456789")
    put(connection, f"{folder}/a", b"ab", fresh=False)
    assert get(connection, f"{folder}/a") == b"ab23456789"
    put(connection, f"{folder}/a", b"ab", fresh=True)
    assert get(connection, f"{folder}/a") == b"ab"


def test_writer_without_writes_creates_an_empty_file(connection: Connection, folder: str) -> None:
    connection.files.open_writer(f"{folder}/empty", fresh=False).close()
    there = connection.files.stat(f"{folder}/empty")
    assert there is not None
    assert (there.size, there.is_folder) == (0, False)
    assert list(connection.files.read(f"{folder}/empty", [(0, 10)])) == [b""]


def test_writer_close_waits_for_all_acknowledgements(connection: Connection, folder: str) -> None:
    writer = connection.files.open_writer(f"{folder}/a", fresh=True)
    writer.send(0, b"12345")
    writer.close()
    assert get(connection, f"{folder}/a") == b"12345"


def test_write_into_missing_folder_or_over_folder_is_refused(connection: Connection, folder: str) -> None:
    with pytest.raises(RemoteMissing):
        connection.files.open_writer(f"{folder}/no/parent", fresh=True)
    connection.files.make_folder(f"{folder}/new")
    with pytest.raises(RemoteRefused):
        connection.files.open_writer(f"{folder}/new", fresh=True)
    assert connection.files.list_folder(folder)[0].is_folder


# reading ----------------------------------------------------------------------------------------------


def test_read_yields_each_range_whole_and_in_order(connection: Connection, folder: str) -> None:
    put(connection, f"{folder}/a", CONTENT)
    chance = random.Random(2)
    ranges = [(chance.randrange(len(CONTENT)), chance.randrange(1, 70_000)) for _ in range(60)]
    ranges += [(0, len(CONTENT)), (5, 0), (len(CONTENT) - 1, 1)]
    assert list(connection.files.read(f"{folder}/a", ranges)) == [CONTENT[at : at + size] for at, size in ranges]


def test_read_range_past_the_end_is_shorter(connection: Connection, folder: str) -> None:
    put(connection, f"{folder}/a", b"0123456789")
    ranges = [(8, 10), (10, 5), (500, 100_000), (0, 300_000), (2, 3)]
    assert list(connection.files.read(f"{folder}/a", ranges)) == [b"89", b"", b"", b"0123456789", b"234"]


def test_read_accepts_an_iterator_of_ranges(connection: Connection, folder: str) -> None:
    put(connection, f"{folder}/slow", CONTENT)
    ranges = [(at, 1000) for at in range(0, 50_000, 7000)] + [(len(CONTENT) - 10, 500)]
    found = list(connection.files.read(f"{folder}/slow", iter(ranges)))
    assert found == [CONTENT[at : at + size] for at, size in ranges]
    assert connection.settled


def test_read_without_ranges_yields_nothing(connection: Connection, folder: str) -> None:
    put(connection, f"{folder}/a", b"0123456789")
    assert list(connection.files.read(f"{folder}/a", [])) == []


def test_read_stopped_early_leaves_a_usable_connection(connection: Connection, folder: str) -> None:
    put(connection, f"{folder}/a", CONTENT)
    for _ in range(3):
        reading = connection.files.read(f"{folder}/a", [(at, 100_000) for at in range(0, len(CONTENT), 100_000)])
        assert next(reading) == CONTENT[:100_000]
        reading.close()  # type: ignore[attr-defined]
    assert get(connection, f"{folder}/a") == CONTENT
    put(connection, f"{folder}/b", b"12345")
    assert get(connection, f"{folder}/b") == b"12345"


def test_read_missing_file_raises_missing(connection: Connection, folder: str) -> None:
    with pytest.raises(RemoteMissing):
        list(connection.files.read(f"{folder}/nothing", [(0, 10)]))
    assert connection.files.list_folder(folder) == []


# renaming and removing --------------------------------------------------------------------------------


def test_rename_moves_to_a_free_name(connection: Connection, folder: str) -> None:
    put(connection, f"{folder}/a", b"12345")
    connection.files.rename(f"{folder}/a", f"{folder}/b")
    assert [entry.name for entry in connection.files.list_folder(folder)] == ["b"]
    assert get(connection, f"{folder}/b") == b"12345"


@pytest.mark.parametrize("what", ["file", "folder"])
def test_rename_refuses_a_taken_name_and_loses_nothing(connection: Connection, folder: str, what: str) -> None:
    put(connection, f"{folder}/a", b"new")
    if what == "file":
        put(connection, f"{folder}/b", b"old")
    else:
        connection.files.make_folder(f"{folder}/b")
    with pytest.raises(RemoteExists):
        connection.files.rename(f"{folder}/a", f"{folder}/b")
    assert get(connection, f"{folder}/a") == b"new"
    if what == "file":
        assert get(connection, f"{folder}/b") == b"old"


def test_rename_refuses_a_name_that_a_broken_link_holds(member: Member, connection: Connection, folder: str) -> None:
    if member.seen_from_here is None:
        return  # the memory server has no links
    put(connection, f"{folder}/a", b"new")
    here = member.seen_from_here / "data" / Path(folder).name
    (here / "b").symlink_to("nowhere")
    with pytest.raises(RemoteExists):
        connection.files.rename(f"{folder}/a", f"{folder}/b")
    assert (here / "b").is_symlink()
    assert get(connection, f"{folder}/a") == b"new"


def test_rename_of_nothing_is_missing(connection: Connection, folder: str) -> None:
    with pytest.raises(RemoteMissing):
        connection.files.rename(f"{folder}/a", f"{folder}/b")


def test_replace_overwrites_the_existing_file(member: Member, connection: Connection, folder: str) -> None:
    put(connection, f"{folder}/a", b"new")
    put(connection, f"{folder}/b", b"old and longer")
    assert connection.files.replace(f"{folder}/a", f"{folder}/b") is member.one_step
    assert [entry.name for entry in connection.files.list_folder(folder)] == ["b"]
    assert get(connection, f"{folder}/b") == b"new"


def test_replace_without_an_existing_file_renames(connection: Connection, folder: str) -> None:
    put(connection, f"{folder}/a", b"new")
    connection.files.replace(f"{folder}/a", f"{folder}/b")
    assert get(connection, f"{folder}/b") == b"new"


def test_replace_by_nothing_loses_nothing(connection: Connection, folder: str) -> None:
    put(connection, f"{folder}/b", b"old")
    with pytest.raises(RemoteMissing):
        connection.files.replace(f"{folder}/a", f"{folder}/b")
    assert get(connection, f"{folder}/b") == b"old"


def test_replace_of_a_folder_is_refused(connection: Connection, folder: str) -> None:
    put(connection, f"{folder}/a", b"new")
    connection.files.make_folder(f"{folder}/b")
    with pytest.raises(RemoteRefused):
        connection.files.replace(f"{folder}/a", f"{folder}/b")
    assert get(connection, f"{folder}/a") == b"new"


def test_remove_of_a_missing_file_succeeds(connection: Connection, folder: str) -> None:
    put(connection, f"{folder}/a", b"12345")
    connection.files.remove(f"{folder}/a")
    connection.files.remove(f"{folder}/a")
    connection.files.remove(f"{folder}/no/such/folder")
    assert connection.files.list_folder(folder) == []


def test_remove_of_a_folder_is_refused(connection: Connection, folder: str) -> None:
    connection.files.make_folder(f"{folder}/new")
    with pytest.raises(RemoteRefused):
        connection.files.remove(f"{folder}/new")
    assert [entry.name for entry in connection.files.list_folder(folder)] == ["new"]


# awkward names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_names_are_names_and_nothing_else(
    member: Member, connection: Connection, folder: str, name: str
) -> None:
    path = f"{folder}/{name}"
    put(connection, path, b"12345")
    assert [entry.name for entry in connection.files.list_folder(folder)] == [name]
    assert get(connection, path) == b"12345"
    assert connection.hashes(path, [(0, 5)]) == ([sha256(b"12345")] if member.hashes else None)
    connection.files.rename(path, f"{path}.b")
    connection.files.replace(f"{path}.b", path)
    connection.files.remove(path)
    assert connection.files.list_folder(folder) == []
    assert connection.files.stat(connection.files.resolve("executed")) is None


@pytest.mark.parametrize("name", ["new\nline", "$(touch executed)\n", "\n-rf", "cr\rname"])
def test_line_ends_in_names_are_refused_or_names(
    member: Member, connection: Connection, folder: str, name: str
) -> None:
    path = f"{folder}/{name}"
    try:
        put(connection, path, b"12345")
    except RemoteRefused:
        assert connection.files.list_folder(folder) == []
        return
    assert connection.hashes(path, [(0, 5)]) in (None, [sha256(b"12345")])
    connection.files.remove(path)
    assert connection.files.list_folder(folder) == []


# hashes and space -------------------------------------------------------------------------------------


def test_hashes_of_file_and_ranges_equal_hashlib(member: Member, connection: Connection, folder: str) -> None:
    put(connection, f"{folder}/a", CONTENT)
    mib = 1024 * 1024
    for ranges in (
        [(0, len(CONTENT))],
        [(0, mib), (mib, mib), (2 * mib, mib), (3 * mib, len(CONTENT) - 3 * mib)],
        [(1, 2), (1000, 100_000), (0, 0)],
        [(2 * mib, 50 * mib), (100 * mib, mib)],
    ):
        expected = [sha256(CONTENT[at : at + size]) for at, size in ranges]
        assert connection.hashes(f"{folder}/a", ranges) == (expected if member.hashes else None)


def test_hashes_of_an_empty_file_are_of_no_bytes(member: Member, connection: Connection, folder: str) -> None:
    put(connection, f"{folder}/a", b"")
    assert connection.hashes(f"{folder}/a", [(0, 0)]) == ([sha256(b"")] if member.hashes else None)


def test_hashes_of_a_missing_file_are_none(connection: Connection, folder: str) -> None:
    assert connection.hashes(f"{folder}/nothing", [(0, 10)]) is None
    assert connection.hashes(folder, [(0, 10)]) is None
    assert connection.files.list_folder(folder) == []


def test_free_space_is_plausible_or_not_told(member: Member, connection: Connection, folder: str) -> None:
    free = connection.files.free_bytes(folder)
    if member.name in ("OpenSSH full", "OpenSSH sftp_only"):
        assert member.seen_from_here is not None
        disk = os.statvfs(member.seen_from_here)
        assert free is not None
        assert abs(free - disk.f_frsize * disk.f_bavail) < 1 << 30
    assert free is None or free > 1024


# the end of a connection ------------------------------------------------------------------------------


def test_two_connections_write_one_file(member: Member, connection: Connection, folder: str) -> None:
    half = len(CONTENT) // 2
    connection.files.open_writer(f"{folder}/a", fresh=True).close()
    other = member.connect()
    try:
        writers = [c.files.open_writer(f"{folder}/a", fresh=False) for c in (connection, other)]
        for at in range(0, half, 30_000):
            size = min(30_000, half - at)
            writers[0].send(at, CONTENT[at : at + size])
            writers[1].send(half + at, CONTENT[half + at : half + at + size])
        writers[1].send(2 * half, CONTENT[2 * half :])
        for writer in writers:
            writer.close()
        assert get(other, f"{folder}/a") == CONTENT
    finally:
        other.close()


def test_interrupt_ends_a_call_that_waits_for_a_silent_server(member: Member, folder: str) -> None:
    caught: list[BaseException] = []
    with ExitStack() as stack:
        if member.server is not None and member.through is not None:
            line = stack.enter_context(Proxy(member.server.host, member.server.port))
            connection = member.through(line)
            line.freeze()
        else:
            connection = member.connect()
            connection.interrupt()  # the memory server never waits

        def ask() -> None:
            try:
                connection.files.stat(folder)
            except UploaderError as error:
                caught.append(error)

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(0.2)
        assert asking.is_alive() == (member.server is not None)
        connection.interrupt()
        asking.join(2)
        assert not asking.is_alive()
        assert isinstance(caught[0], NetworkError)
        connection.close()


def test_interrupted_connection_raises_on_each_call(connection: Connection, folder: str) -> None:
    put(connection, f"{folder}/a", b"12345")
    writer = connection.files.open_writer(f"{folder}/b", fresh=True)
    connection.interrupt()
    files = connection.files
    calls: list[Callable[[], object]] = [
        lambda: files.stat(folder),
        lambda: files.list_folder(folder),
        lambda: files.make_folder(f"{folder}/c"),
        lambda: files.open_writer(f"{folder}/c", fresh=True),
        lambda: list(files.read(f"{folder}/a", [(0, 5)])),
        lambda: files.rename(f"{folder}/a", f"{folder}/c"),
        lambda: files.replace(f"{folder}/a", f"{folder}/c"),
        lambda: files.remove(f"{folder}/a"),
        lambda: connection.hashes(f"{folder}/a", [(0, 5)]),
        lambda: writer.send(0, b"1"),
    ]
    for call in calls:
        with pytest.raises(NetworkError):
            call()
    connection.interrupt()
    connection.close()
    connection.close()


def test_connection_reports_its_facts(member: Member, connection: Connection) -> None:
    facts = connection.facts
    assert facts.host_key.startswith("SHA256:")
    assert facts.software
    assert facts.request_bytes >= 32 * 1024
    assert facts.shell is (member.hashes)
