from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from uploader.errors import SourceChanged
from uploader.sources.shared import BLOCK_BYTES, KEPT_BLOCKS, Shared

CONTENT = random.Random(5).randbytes(64) * (BLOCK_BYTES // 64) * 3 + b"the end"


class Counting:
    """A stream of bytes that notes which blocks are read from it."""

    def __init__(self, data: bytes = CONTENT) -> None:
        self.data = data
        self.reads: list[int] = []
        self.closed = 0
        self.changed = False

    def read(self, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        raise AssertionError("is read by blocks")

    def slice(self, offset: int, length: int) -> bytes:
        self.reads.append(offset)
        if self.changed:
            raise SourceChanged("it changed")
        return self.data[offset : offset + length]

    def check(self) -> None:
        if self.changed:
            raise SourceChanged("it changed")

    def close(self) -> None:
        self.closed += 1


def test_readers_side_by_side_read_the_file_once() -> None:
    stream = Counting()
    shared = Shared(lambda: stream, len(CONTENT))
    views = [shared.open() for _ in range(3)]
    together = threading.Barrier(3)

    def run(number: int) -> bytes:
        found = bytearray()
        for chunk in views[number].read():
            found += chunk
            together.wait(10)
        return bytes(found)

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(run, range(3))) == [CONTENT] * 3
    assert sorted(stream.reads) == [0, BLOCK_BYTES, 2 * BLOCK_BYTES, 3 * BLOCK_BYTES]


def test_a_reader_that_stands_still_holds_up_no_other_and_reads_for_itself() -> None:
    data = bytes(BLOCK_BYTES) * (KEPT_BLOCKS + 3)
    stream = Counting(data)
    shared = Shared(lambda: stream, len(data))
    slow, quick = shared.open().read(), shared.open().read()
    next(slow)
    assert sum(map(len, quick)) == len(data)
    assert len(stream.reads) == KEPT_BLOCKS + 3
    assert sum(map(len, slow)) == len(data) - BLOCK_BYTES
    assert len(stream.reads) > KEPT_BLOCKS + 3


@pytest.mark.parametrize("offset", [0, 5, BLOCK_BYTES, BLOCK_BYTES + 7, len(CONTENT) - 1, len(CONTENT)])
def test_reading_may_begin_anywhere(offset: int) -> None:
    view = Shared(Counting, len(CONTENT)).open()
    assert b"".join(view.read(offset)) == CONTENT[offset:]
    assert view.slice(offset, 10) == CONTENT[offset : offset + 10]


def test_the_file_is_closed_with_its_last_reader_and_opened_anew_for_the_next() -> None:
    opened: list[Counting] = []

    def open_stream() -> Counting:
        opened.append(Counting())
        return opened[-1]

    shared = Shared(open_stream, len(CONTENT))
    one, two = shared.open(), shared.open()
    one.close()
    one.close()
    assert [stream.closed for stream in opened] == [0]
    two.close()
    assert [stream.closed for stream in opened] == [1]
    assert b"".join(shared.open().read(len(CONTENT) - 7)) == b"the end"
    assert len(opened) == 2


def test_a_fault_reaches_every_reader_by_its_name() -> None:
    stream = Counting()
    shared = Shared(lambda: stream, len(CONTENT))
    view, other = shared.open(), shared.open()
    stream.changed = True
    for reader in (view, other):
        with pytest.raises(SourceChanged, match="it changed"):
            list(reader.read())
        with pytest.raises(SourceChanged, match="it changed"):
            reader.check()
    stream.changed = False
    assert b"".join(view.read()) == CONTENT


def test_a_file_that_ends_early_is_no_file_any_more() -> None:
    view = Shared(lambda: Counting(CONTENT[:-1]), len(CONTENT)).open()
    with pytest.raises(SourceChanged, match="ended early"):
        list(view.read())
