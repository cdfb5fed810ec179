"""Connections are used again, dropped when they die, and ended all at once."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from uploader.errors import Interrupted, NetworkError, NoSpace
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
        raise NoSpace("full")
    assert isinstance(first, MemoryConnection)
    assert not first.alive
    with pytest.raises(KeyboardInterrupt), pool.lease():
        raise KeyboardInterrupt
    with pool.lease():
        pass
    assert server.connects == 3


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
