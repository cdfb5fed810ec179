from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.remote_memory import MemoryConnector, MemoryServer
from tests.unit.transfer.bench import CHUNK_BYTES, FOLDER, content, context_of
from uploader.errors import (
    CredentialsRefused,
    HostKeyChanged,
    Interrupted,
    NetworkError,
    NoSpace,
    RemoteRefused,
    SourceChanged,
    UploaderError,
)
from uploader.events import silence
from uploader.rate_limit import RateLimiter
from uploader.remote.interface import Connection
from uploader.remote.pool import ConnectionPool
from uploader.retry import Retry
from uploader.transfer.chunk_queue import ChunkQueue
from uploader.transfer.chunks import Chunk, ChunkLayout, Reading, read_chunks
from uploader.transfer.config import TransferConfig
from uploader.transfer.context import TransferContext
from uploader.transfer.upload_workers import UploadWorkers, WriteSizer

PART = f"{FOLDER}/m.part"


class LimitedConnector(MemoryConnector):
    """A connector that opens the first `limit` connections and raises `fault` for the others."""

    def __init__(self, server: MemoryServer, limit: int, fault: UploaderError) -> None:
        super().__init__(server)
        self.limit = limit
        self.fault = fault

    def connect(self) -> Any:
        with self.server.lock:
            if self.server.connects >= self.limit:
                self.server.connects += 1
                raise self.fault
        return super().connect()


class Sending:
    """One upload of `data` by workers to a server in memory."""

    def __init__(self, data: bytes, connector: MemoryConnector | None = None, chunks: Iterator[Chunk] | None = None):
        self.data = data
        self.server = connector.server if connector else MemoryServer()
        self.server.make_folders(FOLDER)
        self.connector = connector or MemoryConnector(self.server)
        self.pool = ConnectionPool(self.connector)
        self.cancelled = threading.Event()
        self.acknowledged: list[int] = []
        self.moved: list[int] = []
        self.rate_limiter = RateLimiter(None, self.cancelled)
        self.chunks = chunks or read_chunks(iter([data]), ChunkLayout(len(data), CHUNK_BYTES), 0, Reading.of_link({}))
        self.sent = 0

    @property
    def context(self) -> TransferContext:
        return replace(context_of(self.connector, self.cancelled, self.rate_limiter), pool=self.pool)

    def run(self, count: int) -> None:
        with ChunkQueue(self.chunks, lambda chunk: False, 3) as queue:
            workers = UploadWorkers(
                self.context,
                PART,
                queue,
                acknowledged=lambda chunk: self.acknowledged.append(chunk.index),
                moved=self.moved.append,
            )
            try:
                workers.run(count)
            finally:
                self.sent = workers.sent
                self.pool.close()

    def whole(self) -> None:
        assert bytes(self.server.files[PART]) == self.data
        assert sorted(self.acknowledged) == list(range(-(-len(self.data) // CHUNK_BYTES)))
        assert self.moved[-1] == len(self.data)


@pytest.mark.parametrize("count", [1, 4])
def test_workers_send_and_acknowledge_each_chunk_once(count: int) -> None:
    sending = Sending(content(6.3))
    sending.run(count)
    sending.whole()
    assert sending.sent == len(sending.data)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("cut", [0, 1, 1600, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES + 10_000])
def test_workers_lost_connection_sends_unacknowledged_again(count: int, cut: int) -> None:
    sending = Sending(content(4.2))
    sending.server.cut_after = [cut, cut]
    sending.run(count)
    sending.whole()
    assert len(sending.data) <= sending.sent <= len(sending.data) + 2 * 3 * CHUNK_BYTES


def test_workers_claim_a_chunk_when_it_is_all_acknowledged() -> None:
    sending = Sending(content(2.5))
    held: list[tuple[int, bool]] = []
    server = sending.server

    def claim(index: int) -> None:
        begin = index * CHUNK_BYTES
        want = sending.data[begin : begin + CHUNK_BYTES]
        held.append((index, bytes(server.files[PART][begin : begin + len(want)]) == want))

    sending.acknowledged = type("Claims", (list,), {"append": lambda self, index: claim(index)})()
    server.cut_after = [CHUNK_BYTES - 1, CHUNK_BYTES // 2]
    sending.run(2)
    assert sorted(held) == [(0, True), (1, True), (2, True)]


def test_workers_progress_falls_with_a_lost_connection() -> None:
    sending = Sending(content(3))
    sending.server.cut_after = [CHUNK_BYTES + CHUNK_BYTES // 2]
    sending.run(1)
    falls = [(one, two) for one, two in zip(sending.moved, sending.moved[1:], strict=False) if two < one]
    assert falls
    assert falls[0][1] == CHUNK_BYTES
    assert sending.moved[-1] == len(sending.data)
    assert max(sending.moved) == len(sending.data)


@pytest.mark.parametrize("count", [1, 4])
def test_workers_lost_server_raises_after_the_retries(count: int) -> None:
    sending = Sending(content(5))
    sending.server.cut_after = [CHUNK_BYTES + 10_000] + [0] * 200
    with pytest.raises(NetworkError):
        sending.run(count)
    assert sending.server.connects < 60


@pytest.mark.parametrize(
    "fault",
    [NetworkError("closed"), CredentialsRefused("that code was used"), RemoteRefused("no further channel")],
)
def test_workers_fewer_connections_send_everything(fault: UploaderError) -> None:
    sending = Sending(content(8), LimitedConnector(MemoryServer(), 1, fault))
    sending.run(4)
    sending.whole()


def test_workers_no_connection_raises_the_server_error() -> None:
    with pytest.raises(CredentialsRefused, match="no"):
        Sending(content(2), LimitedConnector(MemoryServer(), 0, CredentialsRefused("no"))).run(3)


def test_workers_changed_host_key_stops_all() -> None:
    sending = Sending(content(30), LimitedConnector(MemoryServer(), 1, HostKeyChanged("changed")))
    sending.rate_limiter = RateLimiter(3e6, sending.cancelled)
    with pytest.raises(HostKeyChanged):
        sending.run(2)


def test_workers_refused_write_stops_all_without_retry() -> None:
    sending = Sending(content(6))
    sending.server.space = 2 * CHUNK_BYTES
    with pytest.raises(NoSpace):
        sending.run(3)
    assert sending.server.connects <= 3
    assert set(sending.acknowledged) <= set(range(6))


@pytest.mark.parametrize("fault", [NetworkError("the source is gone"), SourceChanged("another file")])
def test_workers_failed_source_raises_and_keeps_its_chunks(
    fault: UploaderError,
) -> None:
    data = content(3)

    def chunks() -> Iterator[Chunk]:
        yield from read_chunks(iter([data]), ChunkLayout(len(data), CHUNK_BYTES), 0, Reading.of_link({}))
        raise fault

    sending = Sending(data, chunks=chunks())
    with pytest.raises(type(fault), match=str(fault)):
        sending.run(2)
    assert sorted(sending.acknowledged) == [0, 1, 2]
    assert sending.server.connects <= 2


def test_workers_stop_ends_a_rate_limited_send() -> None:
    sending = Sending(content(4))
    started = threading.Event()
    sending.rate_limiter = RateLimiter(20_000, sending.cancelled)
    sending.moved = type("Moved", (list,), {"append": lambda self, count: started.set()})()
    faults: list[BaseException] = []

    def run() -> None:
        try:
            sending.run(2)
        except Interrupted as error:
            faults.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert started.wait(10)
    sending.cancelled.set()
    sending.pool.interrupt()
    thread.join(2)
    assert not thread.is_alive()
    assert len(faults) == 1


def test_workers_waiting_retry_does_not_delay_the_end() -> None:
    """The wait between two tries ends when there is nothing left to send."""
    sending = Sending(content(4), LimitedConnector(MemoryServer(), 1, NetworkError("closed")))
    long_wait = threading.Event()
    retry = Retry(sending.cancelled, silence, lambda seconds: long_wait.wait(min(seconds, 0.05)) and False)
    context = replace(sending.context, retry=retry)
    with ChunkQueue(sending.chunks, lambda chunk: False, 3) as queue:
        workers = UploadWorkers(
            context,
            PART,
            queue,
            acknowledged=lambda chunk: None,
            moved=lambda count: None,
        )
        thread = threading.Thread(target=workers.run, args=(2,), daemon=True)
        thread.start()
        thread.join(5)
        assert not thread.is_alive()
    assert sending.server.connects < 6
    sending.pool.close()


def test_workers_use_one_connection_each(tmp_path: Path) -> None:
    users: dict[Connection, set[str]] = {}

    data, all_open = content(6), threading.Event()

    class Noting(MemoryConnector):
        def connect(self) -> Any:
            connection = super().connect()
            users[connection] = {threading.current_thread().name}
            if len(users) == 3:
                all_open.set()
            return connection

    def chunks() -> Iterator[Chunk]:
        for chunk in read_chunks(iter([data]), ChunkLayout(len(data), CHUNK_BYTES), 0, Reading.of_link({})):
            yield chunk
            all_open.wait(10)  # otherwise the first worker may send all chunks before the others begin

    sending = Sending(data, Noting(MemoryServer()), chunks())
    sending.run(3)
    sending.whole()
    names = [name for names in users.values() for name in names]
    assert len(names) == len(set(names)) == 3


def test_write_sizer_write_takes_a_few_seconds_at_most() -> None:
    now = 0.0
    sizer = WriteSizer(TransferConfig(), lambda: now)
    assert sizer.portion(255 * 1024) == 32 * 1024
    assert sizer.portion(32_000) == 32_000
    for _ in range(10):  # 16 KiB a second
        now += 2.0
        sizer.add(32 * 1024)
    assert sizer.portion(255 * 1024) == 96 * 1024
    sizer.add(4 << 20)
    assert sizer.portion(255 * 1024) == 255 * 1024
    now += 60.0
    assert sizer.portion(255 * 1024) == 32 * 1024


def test_workers_lend_the_only_connection_for_a_brief_use() -> None:
    sending = Sending(content(6))
    sending.pool = ConnectionPool(MemoryConnector(sending.server), most=1)
    acknowledged: list[int] = []
    used_after: list[int] = []

    def use() -> None:
        with sending.pool.lease():
            used_after.append(len(acknowledged))

    user = threading.Thread(target=use)

    def note(index: int) -> None:
        acknowledged.append(index)
        if len(acknowledged) == 1:
            user.start()
            while not sending.pool._brief:
                threading.Event().wait(0.001)  # until the other thread waits: there is no event for it

    sending.acknowledged = type("Noting", (list,), {"append": lambda self, index: note(index)})()
    sending.run(1)
    user.join(10)
    assert sorted(acknowledged) == list(range(6))
    assert used_after
    assert used_after[0] < 6
    assert bytes(sending.server.files[PART]) == sending.data
