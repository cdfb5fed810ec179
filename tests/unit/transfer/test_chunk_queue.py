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


# steady -----------------------------------------------------------------------------------------------


def test_a_cut_source_is_read_on_from_where_it_stopped() -> None:
    stream = WebStream(content(0.5), cuts=[16_000, 0, 5])
    assert b"".join(read_steadily(stream, 0, retry())) == stream.data
    assert stream.reads == [0, 16_000, 16_000, 16_005]


def test_a_source_may_be_cut_any_number_of_times_while_bytes_keep_coming() -> None:
    stream = WebStream(content(0.5), cuts=[1600] * 20)
    assert b"".join(read_steadily(stream, 0, retry())) == stream.data


def test_a_source_that_gives_nothing_more_is_given_up() -> None:
    stream = WebStream(content(0.5), cuts=[1000] + [0] * 99)
    with pytest.raises(NetworkError):
        list(read_steadily(stream, 0, retry()))
    assert len(stream.reads) < 10


def test_a_stop_is_heard_between_two_chunks() -> None:
    cancelled = threading.Event()
    chunks = read_steadily(WebStream(content(0.5)), 0, retry(cancelled))
    next(chunks)
    cancelled.set()
    with pytest.raises(Interrupted):
        next(chunks)


# read_pieces ------------------------------------------------------------------------------------------


def test_every_piece_and_the_whole_get_their_digest() -> None:
    data = content(2.5)
    reading = Reading.of_link({})
    found = list(read_chunks(iter([data]), ChunkLayout(len(data), CHUNK_BYTES), 0, reading))
    assert [chunk.offset for chunk in found] == [0, CHUNK_BYTES, 2 * CHUNK_BYTES]
    assert b"".join(chunk.data for chunk in found) == data
    assert reading.chunks == {chunk.index: hashlib.sha256(chunk.data).hexdigest() for chunk in found}
    assert reading.sha256 == hashlib.sha256(data).hexdigest()


def test_a_reading_from_the_middle_knows_no_digest_of_the_whole() -> None:
    data = content(2.5)
    reading = Reading.of_link({})
    (chunk,) = read_chunks(iter([data[2 * CHUNK_BYTES :]]), ChunkLayout(len(data), CHUNK_BYTES), 2, reading)
    assert chunk.offset == 2 * CHUNK_BYTES
    assert reading.sha256 is None


@pytest.mark.parametrize("extra", [-1, 1, CHUNK_BYTES])
def test_a_source_of_another_length_is_not_handed_out_to_its_end(extra: int) -> None:
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


def test_draining_stops_when_told() -> None:
    cancelled = threading.Event()
    seen: list[int] = []

    def note(done: int) -> None:
        seen.append(done)
        cancelled.set()

    with pytest.raises(Interrupted):
        drain(chunks(3), cancelled, note)
    assert seen == [1]


# Feed -------------------------------------------------------------------------------------------------


def test_pieces_come_in_order_and_then_none() -> None:
    with ChunkQueue(chunks(20), nothing_there, 3) as feed:
        taken = []
        while (chunk := feed.take(wait=True)) is not None:
            taken.append(chunk.index)
            feed.settle()
        assert taken == list(range(20))
        assert feed.over.is_set()


def test_what_is_on_the_server_is_left_out() -> None:
    with ChunkQueue(
        chunks(6),
        lambda chunk: chunk.index % 2 == 0 and chunk.digest == hashlib.sha256(b"%d" % chunk.index).hexdigest(),
        3,
    ) as feed:
        taken = []
        while (chunk := feed.take(wait=True)) is not None:
            taken.append(chunk.index)
            feed.settle()
    assert taken == [1, 3, 5]


def test_it_reads_only_a_few_pieces_ahead() -> None:
    read: list[int] = []

    def source() -> Iterator[Chunk]:
        for chunk in chunks(50):
            read.append(chunk.index)
            yield chunk

    with ChunkQueue(source(), nothing_there, 3) as feed:
        assert feed.take(wait=True) is not None
        assert feed.take(wait=True) is not None
        assert len(read) <= 6


def test_whoever_has_nothing_to_do_waits_for_pieces_that_may_come_back() -> None:
    with ChunkQueue(chunks(1), nothing_there, 3) as feed:
        chunk = feed.take(wait=True)
        assert chunk is not None
        done, got, thread = later(lambda: feed.take(wait=True))
        assert not done.wait(0.05)
        feed.give_back([chunk])
        thread.join(5)
        assert got == [chunk]
        assert not feed.over.is_set()
        feed.settle()
        assert feed.take(wait=True) is None


def test_whoever_has_nothing_to_do_is_let_go_when_the_last_piece_is_done() -> None:
    with ChunkQueue(chunks(1), nothing_there, 3) as feed:
        assert feed.take(wait=True) is not None
        _, got, thread = later(lambda: feed.take(wait=True))
        feed.settle()
        thread.join(5)
        assert got == [None]


def test_a_returned_piece_goes_to_a_lane_that_waits_for_a_slow_source() -> None:
    gate = threading.Event()

    def source() -> Iterator[Chunk]:
        yield from chunks(1)
        gate.wait(20)

    with ChunkQueue(source(), nothing_there, 3) as feed:
        chunk = feed.take(wait=True)
        assert chunk is not None
        _, got, thread = later(lambda: feed.take(wait=True))
        feed.give_back([chunk])
        thread.join(5)
        assert got == [chunk]
        gate.set()


def test_without_waiting_there_may_be_nothing_right_now() -> None:
    gate = threading.Event()

    def source() -> Iterator[Chunk]:
        gate.wait(20)
        yield from chunks(1)

    with ChunkQueue(source(), nothing_there, 3) as feed:
        assert feed.take(wait=False) is None
        assert not feed.over.is_set()
        gate.set()
        assert feed.take(wait=True) is not None


@pytest.mark.parametrize("fault", [NetworkError("cut for good"), SourceChanged("another file"), ZeroDivisionError()])
def test_a_source_that_fails_ends_and_is_told_after_what_it_gave(fault: Exception) -> None:
    def source() -> Iterator[Chunk]:
        yield from chunks(2)
        raise fault

    with ChunkQueue(source(), nothing_there, 3) as feed:
        for _ in range(2):
            assert feed.take(wait=True) is not None
            feed.settle()
        assert feed.take(wait=True) is None
        with pytest.raises(type(fault)):
            feed.check()


def test_a_stop_lets_everybody_go_and_ends_the_reading() -> None:
    ended = threading.Event()

    def source() -> Iterator[Chunk]:
        try:
            yield from chunks(10**6)
        finally:
            ended.set()

    feed = ChunkQueue(source(), nothing_there, 3)
    with feed:
        assert feed.take(wait=True) is not None
        feed.stop()
        assert feed.take(wait=True) is None
        assert feed.over.is_set()
    del feed
    assert ended.wait(5)


def test_many_takers_get_every_piece_once_however_often_some_come_back() -> None:
    done: list[int] = []
    failed: set[int] = set()
    lock = threading.Lock()

    with ChunkQueue(chunks(300), nothing_there, 3) as feed:

        def lane() -> None:
            while (chunk := feed.take(wait=True)) is not None:
                with lock:
                    lost = chunk.index % 3 == 0 and chunk.index not in failed
                    failed.add(chunk.index)
                if lost:
                    feed.give_back([chunk])
                    continue
                with lock:
                    done.append(chunk.index)
                feed.settle()

        with ThreadPoolExecutor(8) as pool:
            for future in [pool.submit(lane) for _ in range(8)]:
                future.result(20)
    assert sorted(done) == list(range(300))


def test_errors_of_ours_are_errors_of_ours() -> None:
    """The feed carries whatever was raised, unchanged."""

    def source() -> Iterator[Chunk]:
        raise SourceChanged("another file", remedy="again")
        yield from chunks(1)

    with ChunkQueue(source(), nothing_there, 3) as feed:
        assert feed.take(wait=True) is None
        with pytest.raises(UploaderError) as caught:
            feed.check()
    assert caught.value.remedy == "again"
