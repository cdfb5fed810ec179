"""Connections are used again, dropped when they die, and ended all at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path
from typing import cast

import pytest

from tests.remote_memory import MemoryConnection, MemoryConnector, MemoryServer
from tests.servers.faulty import FullDisk, ObservedServer
from tests.unit.remote.visitors import Notes, Visitor
from uploader.errors import (
    CredentialsRefused,
    Interrupted,
    NetworkError,
    NoSpace,
    RemoteMissing,
    RemoteRefused,
    UploaderError,
)
from uploader.profile import Quirks
from uploader.remote.interface import Connection
from uploader.remote.pool import ConnectionPool, NoFurther


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer()


@pytest.fixture
def pool(server: MemoryServer) -> ConnectionPool:
    return ConnectionPool(MemoryConnector(server))


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


def test_an_idle_connection_is_used_again(pool: ConnectionPool, server: MemoryServer) -> None:
    with pool.lease() as first:
        pass
    with pool.lease() as second:
        assert second is first
        with pool.lease() as third:
            assert third is not first
    assert server.connects == 2


def test_a_lost_connection_is_not_handed_out_again(pool: ConnectionPool, server: MemoryServer) -> None:
    with pytest.raises(NetworkError), pool.lease() as first:
        ask_after(first.interrupt, first)
    with pool.lease() as second:
        assert second.files.stat("/") is not None
    assert server.connects == 2


def test_connection_left_in_the_middle_is_not_leased_again(pool: ConnectionPool, server: MemoryServer) -> None:
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
        pool = ConnectionPool(
            Visitor(tmp_path, Notes(server.password.reveal())).connector(server, quirks=Quirks(shell=False))
        )
        for _ in range(3):
            with pytest.raises(RemoteMissing), pool.lease() as connection:
                list(connection.files.read("/nothing", [(0, 10)]))
        with pool.lease() as connection:
            assert list(connection.files.read("/there", [(0, 10), (90, 20)])) == [b"x" * 10, b"x" * 10]
        assert server.tries("password") == 1
        pool.close()


def test_answers_of_a_refused_write_are_not_read_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    with FullDisk(tmp_path / "root", after=100_000) as server:
        pool = ConnectionPool(
            Visitor(tmp_path, Notes(server.password.reveal())).connector(server, quirks=Quirks(shell=False))
        )
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
        pool = ConnectionPool(
            Visitor(tmp_path, Notes(server.password.reveal())).connector(server, quirks=Quirks(shell=False))
        )
        with pool.lease() as first:
            reading = cast(Generator[bytes], first.files.read("/there", [(0, 10), (10, 10)]))
            assert next(reading) == b"x" * 10
            assert not first.settled
        with pool.lease() as second:
            assert second is not first
        with pytest.raises(NetworkError):
            reading.close()
        pool.close()


def test_interrupt_ends_every_connection_and_hands_out_none(pool: ConnectionPool, server: MemoryServer) -> None:
    with pool.lease():
        pass
    with pytest.raises(Interrupted), pool.lease() as leased:
        ask_after(pool.interrupt, leased)
    with pytest.raises(Interrupted), pool.lease():
        raise AssertionError
    assert server.connects == 1
    pool.close()


def test_connection_that_opens_during_interrupt_is_ended_too() -> None:
    opening, go_on = threading.Event(), threading.Event()
    made: list[MemoryConnection] = []

    class Slow(MemoryConnector):
        def connect(self) -> MemoryConnection:
            opening.set()
            go_on.wait(10)
            made.append(super().connect())
            return made[0]

    pool = ConnectionPool(Slow(MemoryServer()))
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


def test_close_ends_idle_and_leased_connections(pool: ConnectionPool) -> None:
    with pool.lease() as leased:
        with pool.lease() as idle:
            pass
        pool.close()
    assert isinstance(idle, MemoryConnection)
    assert not idle.alive
    with pytest.raises(Interrupted), pool.lease():
        raise AssertionError
    assert isinstance(leased, MemoryConnection)
    assert not leased.alive


def test_many_threads_never_share_a_connection(pool: ConnectionPool) -> None:
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


# several at once --------------------------------------------------------------------------------------


class Limited(MemoryConnector):
    """Takes `limit` connections and turns the others away."""

    def __init__(self, server: MemoryServer, limit: int, fault: UploaderError) -> None:
        super().__init__(server)
        self.limit = limit
        self.fault = fault
        self.refused = threading.Semaphore(0)

    def connect(self) -> MemoryConnection:
        with self.server.lock:
            if self.server.connects >= self.limit:
                self.refused.release()
                raise self.fault
        return super().connect()


def test_connections_opened_ahead_serve_any_caller(pool: ConnectionPool, server: MemoryServer) -> None:
    with pool.lease():
        pool.warm(4)
        with pool.lease(extra=True), pool.lease(extra=True), pool.lease(extra=True):
            assert server.connects == 4
    pool.close()


def test_none_is_opened_ahead_before_the_first_is_accepted(server: MemoryServer) -> None:
    connector = MemoryConnector(server)
    connector.round_trip = 0.25
    pool = ConnectionPool(connector)
    asked: list[float] = []
    pool.ahead(lambda round_trip: asked.append(round_trip) or 3)  # type: ignore[func-returns-value]
    with pool.lease(), pool.lease(), pool.lease():
        pass
    pool.close()
    assert asked in ([], [0.25])
    assert server.connects == 3


def test_there_are_never_more_than_the_most(server: MemoryServer) -> None:
    pool = ConnectionPool(MemoryConnector(server), most=2)
    with pool.lease(), pool.lease():
        with pytest.raises(NoFurther), pool.lease(extra=True):
            raise AssertionError
        pool.warm(8)
    assert server.connects == 2
    pool.close()


def test_caller_waits_for_one_to_be_given_back(server: MemoryServer) -> None:
    pool = ConnectionPool(MemoryConnector(server), most=1)
    got: list[Connection] = []

    def lease() -> None:
        with pool.lease() as connection:
            got.append(connection)

    with pool.lease() as first:
        waiting = threading.Thread(target=lease)
        waiting.start()
    waiting.join(10)
    assert got == [first]
    pool.close()


@pytest.mark.parametrize("fault", [NetworkError("dropped"), RemoteRefused("full"), CredentialsRefused("once")])
def test_a_server_that_takes_no_more_is_asked_no_more(server: MemoryServer, fault: UploaderError) -> None:
    connector = Limited(server, 1, fault)
    pool = ConnectionPool(connector)
    done = threading.Event()

    def lease() -> None:
        with pool.lease():
            done.set()

    with pool.lease():
        waiting = threading.Thread(target=lease)
        waiting.start()
        assert connector.refused.acquire(timeout=10)
        pool.warm(8)
        with pytest.raises(NoFurther), pool.lease(extra=True):
            raise AssertionError
        assert not done.is_set()
    assert done.wait(10)
    waiting.join(10)
    pool.close()


def test_pool_that_lost_all_asks_for_as_many_as_at_first(server: MemoryServer) -> None:
    connector = Limited(server, 1, NetworkError("dropped"))
    pool = ConnectionPool(connector, most=3)
    with suppress(NetworkError), pool.lease() as only:
        pool.warm(2)
        assert connector.refused.acquire(timeout=10)
        ask_after(only.interrupt, only)
    connector.limit = 9
    with pool.lease(), pool.lease(), pool.lease():
        pass
    pool.close()


def test_connection_ahead_that_hangs_delays_one_caller_only(server: MemoryServer) -> None:
    go_on = threading.Event()

    class Hanging(MemoryConnector):
        def connect(self) -> MemoryConnection:
            if threading.current_thread().name == "opener":
                go_on.wait(10)
            return super().connect()

    pool = ConnectionPool(Hanging(server))
    pool.warm(1)
    got: list[int] = []

    def use(number: int) -> None:
        with pool.lease():
            got.append(number)

    first = threading.Thread(target=use, args=(1,))
    first.start()
    while not pool._awaiting:
        time.sleep(0.001)  # until it waits: nothing else tells
    use(2)
    first.join(10)  # it takes the one that was given back
    assert got == [2, 1]
    go_on.set()
    pool.close()


def test_pool_that_lost_all_lets_one_caller_ask_first(server: MemoryServer) -> None:
    """Of a server that takes one connection all ask at once otherwise, and all but one are turned away."""
    asked = threading.Event()
    go_on = threading.Event()
    tries: list[int] = []

    class One(MemoryConnector):
        def connect(self) -> MemoryConnection:
            tries.append(1)
            asked.set()
            if len(tries) > 1:
                raise NetworkError("one at a time")
            go_on.wait(10)
            return super().connect()

    pool = ConnectionPool(One(server))
    used: list[bool] = []

    def use() -> None:
        with pool.lease() as connection:
            used.append(connection.settled)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert asked.wait(10)
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert used == [True] * 4
    pool.close()


def test_one_refusal_among_several_costs_that_one_alone(server: MemoryServer) -> None:
    """What the others become, which are being opened then, is not known yet."""
    refused = threading.Event()
    tries: list[int] = []

    class OnceReset(MemoryConnector):
        def connect(self) -> MemoryConnection:
            with self.server.lock:
                tries.append(1)
                number = len(tries)
            if number == 2:
                refused.set()
                raise NetworkError("reset once")
            if number > 2:
                refused.wait(10)
            return super().connect()

    pool = ConnectionPool(OnceReset(server), most=4)
    with pool.lease():
        pool.warm(4)
        with pool.lease(), pool.lease():
            assert pool.most == 3
    pool.close()


def test_many_that_hang_delay_close_no_longer_than_one(server: MemoryServer) -> None:
    go_on = threading.Event()

    class Hanging(MemoryConnector):
        def connect(self) -> MemoryConnection:
            if threading.current_thread().name == "opener":
                go_on.wait(20)
            return super().connect()

    pool = ConnectionPool(Hanging(server), most=6)
    with pool.lease():
        pool.warm(6)
    began = time.monotonic()
    pool.interrupt()
    pool.close()
    assert time.monotonic() - began < 3
    go_on.set()


def test_long_lease_gives_way_to_a_short_use(server: MemoryServer) -> None:
    pool = ConnectionPool(MemoryConnector(server), most=1)
    order: list[str] = []

    def brief() -> None:
        with pool.lease():
            order.append("brief")

    with pool.lease(long=True) as connection:
        assert not pool.wanted(connection, extra=False)
        other = threading.Thread(target=brief)
        other.start()
        while not pool.wanted(connection, extra=False):
            time.sleep(0.001)
    with pool.lease(long=True) as connection:
        order.append("long")
        assert not pool.wanted(connection, extra=False)
    other.join(10)
    assert order == ["brief", "long"]
    pool.close()


def test_one_of_several_leases_ends_for_one_waiting_caller(server: MemoryServer) -> None:
    pool = ConnectionPool(MemoryConnector(server), most=2)
    done = threading.Event()

    def first_of_another_file() -> None:
        with pool.lease(long=True):
            done.set()

    with pool.lease(long=True) as first, pool.lease(extra=True, long=True) as second:
        other = threading.Thread(target=first_of_another_file)
        other.start()
        while not pool.wanted(second, extra=True):
            time.sleep(0.001)
        assert not pool.wanted(first, extra=False)
        assert not pool.wanted(first, extra=True)
    assert done.wait(10)
    other.join(10)
    pool.close()
