from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.unit.transfer.bench import CHUNK_BYTES, WebStream, at_once, content
from uploader.errors import Interrupted, NetworkError, SourceChanged, UploaderError
from uploader.events import silence
from uploader.retry import Retry
from uploader.transfer.chunk_queue import ChunkQueue
from uploader.transfer.chunks import Chunk, ChunkLayout, Reading, drain, read_chunks, read_steadily


def retry(cancelled: threading.Event | None = None) -> Retry:
    return Retry(cancelled or threading.Event(), silence, at_once)


def chunks(count: int) -> Iterator[Chunk]:
    return (Chunk(n, n * CHUNK_BYTES, b"%d" % n) for n in range(count))


def nothing_there(chunk: Chunk) -> bool:
    return False


def later(call: Callable[[], Chunk | None]) -> tuple[threading.Event, list[Chunk | None], threading.Thread]:
    done, got = threading.Event(), []

    def run() -> None:
        got.append(call())
        done.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return done, got, thread


# read_steadily ----------------------------------------------------------------------------------------


def test_read_steadily_cut_source_is_continued() -> None:
    stream = WebStream(content(0.5), cuts=[16_000, 0, 5])
    assert b"".join(read_steadily(stream, 0, retry())) == stream.data
    assert stream.reads == [0, 16_000, 16_000, 16_005]


def test_read_steadily_many_cuts_with_progress_are_allowed() -> None:
    stream = WebStream(content(0.5), cuts=[1600] * 20)
    assert b"".join(read_steadily(stream, 0, retry())) == stream.data


def test_read_steadily_source_without_progress_raises() -> None:
    stream = WebStream(content(0.5), cuts=[1000] + [0] * 99)
    with pytest.raises(NetworkError):
        list(read_steadily(stream, 0, retry()))
    assert len(stream.reads) < 10


def test_read_steadily_stops_between_two_chunks() -> None:
    cancelled = threading.Event()
    chunks = read_steadily(WebStream(content(0.5)), 0, retry(cancelled))
    next(chunks)
    cancelled.set()
    with pytest.raises(Interrupted):
        next(chunks)


# read_chunks ------------------------------------------------------------------------------------------


def test_read_chunks_gives_digests_of_chunks_and_file() -> None:
    data = content(2.5)
    reading = Reading.of_link({})
    found = list(read_chunks(iter([data]), ChunkLayout(len(data), CHUNK_BYTES), 0, reading))
    assert [chunk.offset for chunk in found] == [0, CHUNK_BYTES, 2 * CHUNK_BYTES]
    assert b"".join(chunk.data for chunk in found) == data
    assert reading.chunks == {chunk.index: hashlib.sha256(chunk.data).hexdigest() for chunk in found}
    assert reading.sha256 == hashlib.sha256(data).hexdigest()


def test_read_chunks_from_the_middle_has_no_file_digest() -> None:
    data = content(2.5)
    reading = Reading.of_link({})
    (chunk,) = read_chunks(iter([data[2 * CHUNK_BYTES :]]), ChunkLayout(len(data), CHUNK_BYTES), 2, reading)
    assert chunk.offset == 2 * CHUNK_BYTES
    assert reading.sha256 is None


@pytest.mark.parametrize("extra", [-1, 1, CHUNK_BYTES])
def test_read_chunks_source_of_other_length_raises(extra: int) -> None:
    data = content(1.5)
    reading = Reading.of_link({})
    with pytest.raises(SourceChanged):
        list(
            read_chunks(
                iter([data + bytes(extra) if extra > 0 else data[:extra]]),
                ChunkLayout(len(data), CHUNK_BYTES),
                0,
                reading,
            )
        )
    assert reading.sha256 is None


def test_drain_stops_when_cancelled() -> None:
    cancelled = threading.Event()
    seen: list[int] = []

    def note(done: int) -> None:
        seen.append(done)
        cancelled.set()

    with pytest.raises(Interrupted):
        drain(chunks(3), cancelled, note)
    assert seen == [1]


# ChunkQueue -------------------------------------------------------------------------------------------


def test_queue_gives_chunks_in_order_and_then_none() -> None:
    with ChunkQueue(chunks(20), nothing_there, 3) as queue:
        taken = []
        while (chunk := queue.take(wait=True)) is not None:
            taken.append(chunk.index)
            queue.settle()
        assert taken == list(range(20))
        assert queue.over.is_set()


def test_queue_leaves_out_chunks_on_the_server() -> None:
    with ChunkQueue(
        chunks(6),
        lambda chunk: chunk.index % 2 == 0 and chunk.digest == hashlib.sha256(b"%d" % chunk.index).hexdigest(),
        3,
    ) as queue:
        taken = []
        while (chunk := queue.take(wait=True)) is not None:
            taken.append(chunk.index)
            queue.settle()
    assert taken == [1, 3, 5]


def test_queue_reads_only_a_few_chunks_ahead() -> None:
    read: list[int] = []

    def source() -> Iterator[Chunk]:
        for chunk in chunks(50):
            read.append(chunk.index)
            yield chunk

    with ChunkQueue(source(), nothing_there, 3) as queue:
        assert queue.take(wait=True) is not None
        assert queue.take(wait=True) is not None
        assert len(read) <= 6


def test_queue_idle_worker_waits_for_returned_chunks() -> None:
    with ChunkQueue(chunks(1), nothing_there, 3) as queue:
        chunk = queue.take(wait=True)
        assert chunk is not None
        done, got, thread = later(lambda: queue.take(wait=True))
        assert not done.wait(0.05)
        queue.give_back([chunk])
        thread.join(5)
        assert got == [chunk]
        assert not queue.over.is_set()
        queue.settle()
        assert queue.take(wait=True) is None


def test_queue_idle_worker_ends_after_the_last_chunk() -> None:
    with ChunkQueue(chunks(1), nothing_there, 3) as queue:
        assert queue.take(wait=True) is not None
        _, got, thread = later(lambda: queue.take(wait=True))
        queue.settle()
        thread.join(5)
        assert got == [None]


def test_queue_returned_chunk_goes_to_a_waiting_worker() -> None:
    gate = threading.Event()

    def source() -> Iterator[Chunk]:
        yield from chunks(1)
        gate.wait(20)

    with ChunkQueue(source(), nothing_there, 3) as queue:
        chunk = queue.take(wait=True)
        assert chunk is not None
        _, got, thread = later(lambda: queue.take(wait=True))
        queue.give_back([chunk])
        thread.join(5)
        assert got == [chunk]
        gate.set()


def test_queue_take_without_wait_may_return_none() -> None:
    gate = threading.Event()

    def source() -> Iterator[Chunk]:
        gate.wait(20)
        yield from chunks(1)

    with ChunkQueue(source(), nothing_there, 3) as queue:
        assert queue.take(wait=False) is None
        assert not queue.over.is_set()
        gate.set()
        assert queue.take(wait=True) is not None


@pytest.mark.parametrize("fault", [NetworkError("cut for good"), SourceChanged("another file"), ZeroDivisionError()])
def test_queue_failed_source_raises_after_its_chunks(fault: Exception) -> None:
    def source() -> Iterator[Chunk]:
        yield from chunks(2)
        raise fault

    with ChunkQueue(source(), nothing_there, 3) as queue:
        for _ in range(2):
            assert queue.take(wait=True) is not None
            queue.settle()
        assert queue.take(wait=True) is None
        with pytest.raises(type(fault)):
            queue.check()


def test_queue_stop_ends_workers_and_reader() -> None:
    ended = threading.Event()

    def source() -> Iterator[Chunk]:
        try:
            yield from chunks(10**6)
        finally:
            ended.set()

    queue = ChunkQueue(source(), nothing_there, 3)
    with queue:
        assert queue.take(wait=True) is not None
        queue.stop()
        assert queue.take(wait=True) is None
        assert queue.over.is_set()
    del queue
    assert ended.wait(5)


def test_queue_many_workers_finish_each_chunk_once() -> None:
    done: list[int] = []
    failed: set[int] = set()
    lock = threading.Lock()

    with ChunkQueue(chunks(300), nothing_there, 3) as queue:

        def worker() -> None:
            while (chunk := queue.take(wait=True)) is not None:
                with lock:
                    lost = chunk.index % 3 == 0 and chunk.index not in failed
                    failed.add(chunk.index)
                if lost:
                    queue.give_back([chunk])
                    continue
                with lock:
                    done.append(chunk.index)
                queue.settle()

        with ThreadPoolExecutor(8) as pool:
            for future in [pool.submit(worker) for _ in range(8)]:
                future.result(20)
    assert sorted(done) == list(range(300))


def test_queue_source_error_is_raised_unchanged() -> None:
    """The queue raises the same exception object as the source."""

    def source() -> Iterator[Chunk]:
        raise SourceChanged("another file", remedy="again")
        yield from chunks(1)

    with ChunkQueue(source(), nothing_there, 3) as queue:
        assert queue.take(wait=True) is None
        with pytest.raises(UploaderError) as caught:
            queue.check()
    assert caught.value.remedy == "again"
