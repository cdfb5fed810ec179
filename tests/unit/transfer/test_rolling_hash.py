"""The hash on the server is told only of bytes that are there without a gap."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.remote_memory import MemoryConnection, MemoryConnector, MemoryFiles, MemoryRollingDigest, MemoryServer
from tests.unit.transfer.bench import CHUNK_BYTES, FINAL, Bench, content
from uploader.errors import NetworkError
from uploader.remote.interface import Connection, Range, RangeLimiter, RollingDigest
from uploader.result import Evidence
from uploader.transfer.chunks import ChunkLayout
from uploader.transfer.rolling_hash import RemoteDigest, RollingHash


class Told:
    """An Along that writes down what it is told."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.closed = False

    def reached(self, size: int) -> None:
        self.sizes.append(size)

    def finish(self) -> str | None:
        return "of all"

    def close(self) -> None:
        self.closed = True


def connection() -> MemoryConnection:
    return MemoryConnector(MemoryServer()).connect()


def layout(size: int) -> ChunkLayout:
    return ChunkLayout(size, CHUNK_BYTES)


def following(told: Told, size: int) -> RollingHash:
    behind = RollingHash(lambda _connection: (told, Evidence.REMOTE_HASH), layout(size))
    behind.start(connection())
    return behind


@given(count=st.integers(1, 40), short=st.integers(1, CHUNK_BYTES), seed=st.integers())
def test_in_whatever_order_pieces_arrive_only_the_whole_beginning_is_told(count: int, short: int, seed: int) -> None:
    order = list(range(count))
    random.Random(seed).shuffle(order)
    size = (count - 1) * CHUNK_BYTES + short
    told = Told()
    behind = following(told, size)
    there: set[int] = set()
    for index in order:
        behind.add(index)
        there.add(index)
        whole = next(n for n in range(count + 1) if n not in there)
        assert (told.sizes[-1] if told.sizes else 0) == min(size, whole * CHUNK_BYTES)
    assert told.sizes == sorted(set(told.sizes))
    assert behind.finish() == RemoteDigest("of all", Evidence.REMOTE_HASH)
    behind.close()
    assert told.closed


def test_what_was_there_before_it_began_is_told_when_it_begins() -> None:
    told = Told()
    behind = RollingHash(lambda _connection: (told, Evidence.READ_BACK), layout(2 * CHUNK_BYTES))
    behind.add(0)
    behind.start(connection())
    behind.add(1)
    assert behind.finish() == RemoteDigest("of all", Evidence.READ_BACK)
    assert told.sizes[-1] == 2 * CHUNK_BYTES


def test_it_begins_once_whatever_connections_come() -> None:
    begun: list[Connection] = []

    def begin(of: Connection) -> tuple[RollingDigest, Evidence]:
        begun.append(of)
        return (Told(), Evidence.REMOTE_HASH)

    behind = RollingHash(begin, layout(10))
    first = connection()
    for one in (first, connection(), connection()):
        behind.start(one)
    behind.close()
    assert begun == [first]


def test_a_connection_that_is_lost_at_the_beginning_stops_nothing() -> None:
    def begin(of: Connection) -> tuple[RollingDigest, Evidence]:
        raise NetworkError("lost")

    behind = RollingHash(begin, layout(10))
    behind.start(connection())
    behind.add(0)
    assert behind.finish() is None


def test_a_file_with_a_gap_has_no_hash() -> None:
    behind = following(Told(), 3 * CHUNK_BYTES)
    behind.add(0)
    behind.add(2)
    assert behind.finish() is None


def test_without_a_server_that_hashes_there_is_nothing_to_wait_for() -> None:
    behind = RollingHash(None, layout(10))
    behind.add(0)
    assert behind.finish() is None
    behind.close()


def test_a_clean_run_asks_the_server_for_no_hash_after_the_last_byte(tmp_path: Path) -> None:
    bench = Bench(tmp_path, server=MemoryServer(hashes=True))
    bench.connector = connector = Counting(bench.server)
    data = content(3.5)
    result = bench.send(data)
    assert (result.evidence, result.sha256) == (Evidence.REMOTE_HASH, hashlib.sha256(data).hexdigest())
    assert bytes(bench.server.files[FINAL]) == data
    assert connector.asked == 0


def test_when_the_hash_along_is_lost_the_server_is_asked_afterwards(tmp_path: Path) -> None:
    bench = Bench(tmp_path, server=MemoryServer(hashes=True))
    bench.connector = connector = Counting(bench.server, along=False)
    assert bench.send(content(2.5)).evidence is Evidence.REMOTE_HASH
    assert connector.asked == 1


def test_without_a_shell_it_is_read_back_while_the_rest_is_on_its_way(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.connector = connector = Counting(bench.server)
    data = content(3.5)
    result = bench.send(data)
    assert (result.evidence, result.sha256) == (Evidence.READ_BACK, hashlib.sha256(data).hexdigest())
    assert (connector.along, connector.read) == (1, 0)


def test_a_server_of_one_session_is_read_back_at_the_end(tmp_path: Path) -> None:
    bench = Bench(tmp_path, server=MemoryServer(sessions=1))
    bench.connector = connector = Counting(bench.server)
    assert bench.send(content(2.5)).evidence is Evidence.READ_BACK
    assert connector.read > 0


class Counting(MemoryConnector):
    """Counts the hashes that are asked for. `along` false: none can be taken while the file grows."""

    def __init__(self, server: MemoryServer, *, along: bool = True) -> None:
        super().__init__(server)
        self.asked = self.along = self.read = 0
        self._along = along

    def connect(self) -> MemoryConnection:
        outer, along = self, self._along

        class Files(MemoryFiles):
            def read(self, path: str, ranges: Iterable[Range]) -> Iterator[bytes]:
                outer.read += 1
                return super().read(path, ranges)

        class Counted(MemoryConnection):
            def hashes(self, path: str, ranges: Sequence[Range]) -> list[str] | None:
                outer.asked += 1
                return super().hashes(path, ranges)

            def hash_along(self, path: str) -> MemoryRollingDigest | None:
                return super().hash_along(path) if along else None

            def read_along(self, path: str, limited: RangeLimiter = list) -> MemoryRollingDigest | None:
                outer.along += 1
                return super().read_along(path, limited)

        counted = Counted(self.server, None)
        counted.files = Files(counted, None)
        return counted
