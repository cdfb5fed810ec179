"""Connections are used again, dropped when they die, and ended all at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import cast

import pytest

from tests.servers.faulty import FullDisk, ObservedServer
from tests.unit.remote.visitors import Notes, Visitor
from uploader.errors import Interrupted, NetworkError, NoSpace, RemoteMissing, RemoteRefused
from uploader.profile import Quirks
from uploader.remote.interface import Connection
from uploader.remote.memory import MemoryConnection, MemoryConnector, MemoryServer
from uploader.remote.pool import Pool


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer()


@pytest.fixture
def pool(server: MemoryServer) -> Pool:
    return Pool(MemoryConnector(server))


def ask_after(event: Callable[[], None], connection: Connection) -> None:
    event()
    connection.files.stat("/")


def leave_a_write(connection: Connection) -> None:
    connection.files.open_writer("/home/user/a", fresh=True).send(0, b"unanswered")
    raise NoSpace("full")


def fill(connection: Connection) -> None:
    """Leaves at the first write that is refused, with others unanswered."""
    writer = connection.files.open_writer("/a", fresh=True)
    for at in range(0, 20 * 32_768, 32_768):
        writer.send(at, bytes(32_768))
    while writer.pending:
        writer.reap()


def test_an_idle_connection_is_used_again(pool: Pool, server: MemoryServer) -> None:
    with pool.lease() as first:
        pass
    with pool.lease() as second:
        assert second is first
        with pool.lease() as third:
            assert third is not first
    assert server.connects == 2


def test_a_lost_connection_is_not_handed_out_again(pool: Pool, server: MemoryServer) -> None:
    with pytest.raises(NetworkError), pool.lease() as first:
        ask_after(first.interrupt, first)
    with pool.lease() as second:
        assert second.files.stat("/") is not None
    assert server.connects == 2


def test_a_connection_that_somebody_left_in_the_middle_is_not_handed_out_again(
    pool: Pool, server: MemoryServer
) -> None:
    with pytest.raises(NoSpace), pool.lease() as first:
        leave_a_write(first)
    assert isinstance(first, MemoryConnection)
    assert not first.alive
    with pytest.raises(KeyboardInterrupt), pool.lease():
        raise KeyboardInterrupt
    with pool.lease():
        pass
    assert server.connects == 3


def test_a_refusal_costs_no_new_login(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "there").write_bytes(b"x" * 100)
    with ObservedServer(tmp_path / "root") as server:
        pool = Pool(Visitor(tmp_path, Notes(server.password.reveal())).connector(server, quirks=Quirks(shell=False)))
        for _ in range(3):
            with pytest.raises(RemoteMissing), pool.lease() as connection:
                list(connection.files.read("/nothing", [(0, 10)]))
        with pool.lease() as connection:
            assert list(connection.files.read("/there", [(0, 10), (90, 20)])) == [b"x" * 10, b"x" * 10]
        assert server.tries("password") == 1
        pool.close()


def test_answers_left_by_a_refused_write_are_never_read_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    with FullDisk(tmp_path / "root", after=100_000) as server:
        pool = Pool(Visitor(tmp_path, Notes(server.password.reveal())).connector(server, quirks=Quirks(shell=False)))
        with pytest.raises(RemoteRefused), pool.lease() as first:
            fill(first)
        with pool.lease() as second:
            assert second is not first
            assert second.files.stat("/a") is not None
        assert server.tries("password") == 2
        pool.close()


def test_a_file_that_was_left_open_is_nothing_the_next_one_meets(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "there").write_bytes(b"x" * 100)
    with ObservedServer(tmp_path / "root") as server:
        pool = Pool(Visitor(tmp_path, Notes(server.password.reveal())).connector(server, quirks=Quirks(shell=False)))
        with pool.lease() as first:
            reading = cast(Generator[bytes], first.files.read("/there", [(0, 10), (10, 10)]))
            assert next(reading) == b"x" * 10
            assert not first.settled
        with pool.lease() as second:
            assert second is not first
        with pytest.raises(NetworkError):
            reading.close()
        pool.close()


def test_interrupt_ends_every_connection_and_hands_out_none(pool: Pool, server: MemoryServer) -> None:
    with pool.lease():
        pass
    with pytest.raises(Interrupted), pool.lease() as leased:
        ask_after(pool.interrupt, leased)
    with pytest.raises(Interrupted), pool.lease():
        raise AssertionError
    assert server.connects == 1
    pool.close()


def test_a_connection_that_opens_while_all_are_ended_is_ended_too() -> None:
    opening, go_on = threading.Event(), threading.Event()
    made: list[MemoryConnection] = []

    class Slow(MemoryConnector):
        def connect(self) -> MemoryConnection:
            opening.set()
            go_on.wait(10)
            made.append(super().connect())
            return made[0]

    pool = Pool(Slow(MemoryServer()))
    caught: list[BaseException] = []

    def lease() -> None:
        try:
            with pool.lease():
                raise AssertionError
        except Interrupted as error:
            caught.append(error)

    leasing = threading.Thread(target=lease)
    leasing.start()
    opening.wait(10)
    pool.interrupt()
    go_on.set()
    leasing.join(10)
    assert len(caught) == 1
    assert not made[0].alive


def test_close_ends_what_is_idle_and_what_is_leased(pool: Pool) -> None:
    with pool.lease() as idle:
        pass
    pool.close()
    assert isinstance(idle, MemoryConnection)
    assert not idle.alive
    with pool.lease() as leased:
        pool.close()
    assert isinstance(leased, MemoryConnection)
    assert not leased.alive
    with pool.lease() as fresh:
        assert fresh.files.stat("/") is not None
    pool.close()


def test_many_threads_never_share_a_connection(pool: Pool) -> None:
    in_use: set[int] = set()
    lock, failures = threading.Lock(), []

    def work() -> None:
        for _ in range(200):
            with pool.lease() as connection:
                with lock:
                    if id(connection) in in_use:
                        failures.append(connection)
                    in_use.add(id(connection))
                connection.files.stat("/")
                with lock:
                    in_use.remove(id(connection))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert failures == []
    pool.close()
