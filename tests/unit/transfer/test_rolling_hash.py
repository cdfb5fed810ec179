"""The hash on the server covers only the contiguous prefix of the part file."""

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


class RecordedDigest:
    """A rolling digest that records the sizes that it reached."""

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


def rolling_hash(digest: RecordedDigest, size: int) -> RollingHash:
    rolling = RollingHash(lambda _connection: (digest, Evidence.REMOTE_HASH), layout(size))
    rolling.start(connection())
    return rolling


@given(count=st.integers(1, 40), short=st.integers(1, CHUNK_BYTES), seed=st.integers())
def test_rolling_hash_gets_only_the_contiguous_prefix(count: int, short: int, seed: int) -> None:
    order = list(range(count))
    random.Random(seed).shuffle(order)
    size = (count - 1) * CHUNK_BYTES + short
    digest = RecordedDigest()
    rolling = rolling_hash(digest, size)
    there: set[int] = set()
    for index in order:
        rolling.add(index)
        there.add(index)
        whole = next(n for n in range(count + 1) if n not in there)
        assert (digest.sizes[-1] if digest.sizes else 0) == min(size, whole * CHUNK_BYTES)
    assert digest.sizes == sorted(set(digest.sizes))
    assert rolling.finish() == RemoteDigest("of all", Evidence.REMOTE_HASH)
    rolling.close()
    assert digest.closed


def test_rolling_hash_starts_with_the_bytes_already_there() -> None:
    digest = RecordedDigest()
    rolling = RollingHash(lambda _connection: (digest, Evidence.READ_BACK), layout(2 * CHUNK_BYTES))
    rolling.add(0)
    rolling.start(connection())
    rolling.add(1)
    assert rolling.finish() == RemoteDigest("of all", Evidence.READ_BACK)
    assert digest.sizes[-1] == 2 * CHUNK_BYTES


def test_rolling_hash_begins_once_for_all_connections() -> None:
    begun: list[Connection] = []

    def begin(of: Connection) -> tuple[RollingDigest, Evidence]:
        begun.append(of)
        return (RecordedDigest(), Evidence.REMOTE_HASH)

    rolling = RollingHash(begin, layout(10))
    first = connection()
    for one in (first, connection(), connection()):
        rolling.start(one)
    rolling.close()
    assert begun == [first]


def test_rolling_hash_lost_connection_stops_nothing() -> None:
    def begin(of: Connection) -> tuple[RollingDigest, Evidence]:
        raise NetworkError("lost")

    rolling = RollingHash(begin, layout(10))
    rolling.start(connection())
    rolling.add(0)
    assert rolling.finish() is None


def test_rolling_hash_of_a_file_with_a_gap_is_none() -> None:
    rolling = rolling_hash(RecordedDigest(), 3 * CHUNK_BYTES)
    rolling.add(0)
    rolling.add(2)
    assert rolling.finish() is None


def test_rolling_hash_without_remote_digest_is_none() -> None:
    rolling = RollingHash(None, layout(10))
    rolling.add(0)
    assert rolling.finish() is None
    rolling.close()


def test_upload_without_failure_needs_no_hash_at_the_end(tmp_path: Path) -> None:
    bench = Bench(tmp_path, server=MemoryServer(hashes=True))
    bench.connector = connector = Counting(bench.server)
    data = content(3.5)
    result = bench.send(data)
    assert (result.evidence, result.sha256) == (Evidence.REMOTE_HASH, hashlib.sha256(data).hexdigest())
    assert bytes(bench.server.files[FINAL]) == data
    assert connector.asked == 0


def test_upload_lost_rolling_hash_is_replaced_at_the_end(tmp_path: Path) -> None:
    bench = Bench(tmp_path, server=MemoryServer(hashes=True))
    bench.connector = connector = Counting(bench.server, rolling=False)
    assert bench.send(content(2.5)).evidence is Evidence.REMOTE_HASH
    assert connector.asked == 1


def test_upload_without_shell_reads_back_during_the_send(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.connector = connector = Counting(bench.server)
    data = content(3.5)
    result = bench.send(data)
    assert (result.evidence, result.sha256) == (Evidence.READ_BACK, hashlib.sha256(data).hexdigest())
    assert (connector.rolling_reads, connector.read) == (1, 0)


def test_upload_to_one_channel_reads_back_at_the_end(tmp_path: Path) -> None:
    bench = Bench(tmp_path, server=MemoryServer(sessions=1))
    bench.connector = connector = Counting(bench.server)
    assert bench.send(content(2.5)).evidence is Evidence.READ_BACK
    assert connector.read > 0


class Counting(MemoryConnector):
    """A connector that counts the requested hashes. `rolling` False: the server cannot hash a growing file."""

    def __init__(self, server: MemoryServer, *, rolling: bool = True) -> None:
        super().__init__(server)
        self.asked = self.rolling_reads = self.read = 0
        self._rolling = rolling

    def connect(self) -> MemoryConnection:
        outer, rolling = self, self._rolling

        class Files(MemoryFiles):
            def read(self, path: str, ranges: Iterable[Range]) -> Iterator[bytes]:
                outer.read += 1
                return super().read(path, ranges)

        class Counted(MemoryConnection):
            def hashes(self, path: str, ranges: Sequence[Range]) -> list[str] | None:
                outer.asked += 1
                return super().hashes(path, ranges)

            def hash_along(self, path: str) -> MemoryRollingDigest | None:
                return super().hash_along(path) if rolling else None

            def read_along(self, path: str, limited: RangeLimiter = list) -> MemoryRollingDigest | None:
                outer.rolling_reads += 1
                return super().read_along(path, limited)

        counted = Counted(self.server, None)
        counted.files = Files(counted, None)
        return counted
