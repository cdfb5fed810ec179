from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers.http_origin import Origin, Resource
from tests.unit.transfer.bench import WebStream, at_once, large
from uploader.errors import Interrupted, NetworkError, RateLimited, SourceChanged, UploaderError
from uploader.events import Event
from uploader.http import Http
from uploader.rate_limit import LimitedStream, RateLimiter
from uploader.reference import UrlReference
from uploader.retry import Retry
from uploader.sources import direct
from uploader.sources.interface import Stream
from uploader.transfer.config import TransferConfig
from uploader.transfer.range_readers import ByteRange, RangeReaders, Supply
from uploader.transfer.read_ahead import read_ahead

RANGE_BYTES = TransferConfig.range_bytes
DATA = large(4.3)
SIZE = len(DATA)
MIB = 1024 * 1024
PATH = "/m.safetensors"


def supply(stream: Stream, *, rate: float | None = None, cancelled: threading.Event | None = None) -> Supply:
    cancelled = cancelled or threading.Event()
    events: list[Event] = []
    limited = stream if rate is None else LimitedStream(stream, RateLimiter(rate, cancelled))
    return Supply(limited, Retry(cancelled, events.append, at_once), cancelled, rate is not None)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("read-"):
            thread.join(5)
            assert not thread.is_alive()


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@contextmanager
def link(origin: Origin, timeout: float = 30.0, **behaviour: object) -> Iterator[tuple[Resource, Stream]]:
    """Yield a resolved link and its resource."""
    resource = origin.serve(PATH, DATA, **{"etag": '"v1"', **behaviour})
    with Http(read_timeout=timeout) as http:
        artifact = direct.resolve(UrlReference(origin.url(PATH)), http)
        origin.forget()
        yield resource, direct.open(artifact, http)


def ranges(origin: Origin) -> list[str | None]:
    return [request.range for request in origin.requests]


def test_read_ahead_of_a_link_yields_all_bytes_in_order(origin: Origin) -> None:
    with link(origin) as (_, stream):
        assert b"".join(read_ahead(supply(stream), 0, SIZE)) == DATA
    assert sorted(map(str, ranges(origin)), key=len) == sorted(
        (f"bytes={at}-{min(at + RANGE_BYTES, SIZE) - 1}" for at in range(0, SIZE, RANGE_BYTES)), key=len
    )


def test_read_ahead_from_an_offset_yields_the_rest(origin: Origin) -> None:
    with link(origin) as (_, stream):
        assert b"".join(read_ahead(supply(stream), 1_234_567, SIZE)) == DATA[1_234_567:]


def test_range_that_is_cut_is_read_on(origin: Origin) -> None:
    with link(origin) as (resource, stream):
        resource.cuts = [1_000_000, 10**9, 5]
        assert b"".join(read_ahead(supply(stream), 0, SIZE)) == DATA
    # Another reader may have read on.
    begins = {int(re.findall(r"\d+", asked or "0")[0]) for asked in ranges(origin)}
    assert begins & {1_000_000, RANGE_BYTES + 1_000_000}
    assert len(ranges(origin)) == 7


def test_each_request_names_the_resolved_version(origin: Origin) -> None:
    with link(origin) as (_, stream):
        b"".join(read_ahead(supply(stream), 0, SIZE))
    assert {request.headers.get("if-range") for request in origin.requests} == {'"v1"'}


def test_request_that_freezes_loses_no_byte(origin: Origin) -> None:
    with link(origin, timeout=0.4) as (resource, stream):
        frozen = threading.Event()
        resource.gate, resource.gate_at = frozen, 500_000

        def thaw_for_the_next_ones() -> None:
            resource.reached.wait(10)
            resource.gate_at = 10**12

        helper = threading.Thread(target=thaw_for_the_next_ones)
        helper.start()
        assert b"".join(read_ahead(supply(stream), 0, SIZE)) == DATA
        frozen.set()
        helper.join()


def test_file_replaced_during_reading_raises_changed(origin: Origin) -> None:
    with link(origin) as (resource, stream):
        chunks = read_ahead(supply(stream, rate=20_000_000), 0, SIZE)
        next(chunks)
        resource.content, resource.etag = large(4.3, seed=9), '"v2"'
        with pytest.raises(SourceChanged):
            list(chunks)
        with pytest.raises(SourceChanged):
            stream.check()


def test_source_that_stops_ranges_is_read_by_one_request(origin: Origin) -> None:
    with link(origin) as (resource, stream):
        resource.ranges = False
        assert b"".join(read_ahead(supply(stream), 0, SIZE)) == DATA


@pytest.mark.parametrize(("size", "data"), [(None, DATA), (len(DATA[:5_000_000]), DATA[:5_000_000])])
def test_short_or_sizeless_file_takes_one_request(size: int | None, data: bytes) -> None:
    stream = WebStream(data)
    assert b"".join(read_ahead(supply(stream), 0, size)) == data
    assert stream.reads == [0]


class OneRequestAtATime(WebStream):
    """A stream that accepts one request at a time and refuses others with 429."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.busy = threading.Lock()

    def read(self, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        if not self.busy.acquire(blocking=False):
            raise RateLimited("one at a time")
        try:
            for chunk in super().read(offset, length):
                time.sleep(0.001)
                yield chunk
        finally:
            self.busy.release()


def test_source_with_one_connection_is_read_whole() -> None:
    stream = OneRequestAtATime(DATA)
    assert b"".join(read_ahead(supply(stream), 0, SIZE)) == DATA


def test_lasting_error_reaches_the_caller() -> None:
    stream = WebStream(DATA, cuts=[0] * 100)
    with pytest.raises(NetworkError, match="was cut"):
        list(read_ahead(supply(stream), 0, SIZE))


class Counting(WebStream):
    """A stream that counts the bytes that it yields."""

    given = 0

    def read(self, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        for chunk in super().read(offset, length):
            self.given += len(chunk)
            yield chunk


def test_slow_caller_bounds_what_is_read_ahead() -> None:
    stream = Counting(bytes(30 * RANGE_BYTES))
    chunks = read_ahead(supply(stream), 0, len(stream.data))
    taken = len(next(chunks))
    deadline = time.monotonic() + 0.5
    while time.monotonic() < deadline:
        assert stream.given - taken <= 48 * 1024 * 1024
        time.sleep(0.01)
    chunks.close()  # type: ignore[attr-defined]
    assert stream.given < len(stream.data)


def test_stop_ends_reading_within_two_seconds(origin: Origin) -> None:
    cancelled = threading.Event()
    with link(origin, gate=threading.Event(), gate_at=100_000_000) as (resource, stream):
        resource.gate_at = 100_000
        faults: list[UploaderError] = []

        def read() -> None:
            try:
                list(read_ahead(supply(stream, cancelled=cancelled), 0, SIZE))
            except UploaderError as error:
                faults.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        assert resource.reached.wait(10)
        cancelled.set()
        stream._http.close()  # type: ignore[attr-defined]
        reader.join(2)
        assert [type(fault) for fault in faults] == [Interrupted]


@pytest.mark.timing
def test_rate_limit_holds_over_all_readers() -> None:
    stream = WebStream(DATA[: 9 * MIB], block=100_000)
    began = time.monotonic()
    assert sum(map(len, read_ahead(supply(stream, rate=4 * MIB), 0, 9 * MIB))) == 9 * MIB
    assert len(stream.reads) == 3
    assert time.monotonic() - began == pytest.approx(9 / 4, rel=0.05)


class EmptyQueue:
    """A queue without ranges."""

    def __init__(self) -> None:
        self.over = threading.Event()

    def take(self) -> None:
        return None

    def put(self, taken: object, data: bytes) -> None: ...

    def settle(self, taken: object) -> None: ...

    def give_back(self, taken: object) -> None: ...

    def stop(self) -> None: ...

    def fail(self, error: BaseException) -> None: ...


class Scripted(RangeReaders[ByteRange]):
    """Readers that count the readers they would add."""

    added = 0
    now = 0.0

    def __init__(self) -> None:
        super().__init__(supply(WebStream(b"")), EmptyQueue(), clock=lambda: self.now)
        self._grow(2)

    def _grow(self, count: int) -> None:
        self.added = min(self.added + count, self._most)


@pytest.mark.parametrize(("gain", "most"), [(1.5, 8), (1.0, 4)])
def test_readers_are_added_while_the_rate_grows(gain: float, most: int) -> None:
    readers, rate = Scripted(), 1_000_000.0
    for _ in range(10):
        readers.now += 0.5
        readers._count(int(rate / 2))
        rate *= gain
    assert readers.added == most


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the most memory that a process took from /proc")
@pytest.mark.parametrize("how", ["relay", "fetch"])
def test_large_file_takes_little_memory(tmp_path: Path, origin: Origin, how: str) -> None:
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(400 * 1024 * 1024)
    origin.serve(PATH, big, etag='"v1"')
    command = [sys.executable, "-m", "tests.unit.transfer.downloading", how, origin.url(PATH), str(tmp_path), "0"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    *_, moved, memory = map(int, done.stdout.split())
    assert moved == big.stat().st_size
    assert memory < 150 * 1024
