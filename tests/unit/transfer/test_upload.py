from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.remote_memory import MemoryFiles, MemoryWriter
from tests.state_rows import rows
from tests.unit.transfer.bench import CHUNK_BYTES, FINAL, Bench, WebStream, content, with_files, writing_by
from uploader.artifact import LocalFile
from uploader.errors import (
    Busy,
    Exists,
    NetworkError,
    NoSpace,
    RemoteExists,
    RemoteMissing,
    SourceChanged,
    WrongBytes,
)
from uploader.rate_limit import RateLimiter
from uploader.remote.interface import Entry, Range
from uploader.result import Evidence
from uploader.sources import local

DATA = content(4.4)
WHOLE = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


# a new file -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("connections", [1, 3])
@pytest.mark.parametrize(("hashes", "evidence"), [(True, Evidence.REMOTE_HASH), (False, Evidence.READ_BACK)])
def test_upload_file_is_placed_with_evidence(bench: Bench, hashes: bool, evidence: Evidence, connections: int) -> None:
    bench.server.hashes = hashes
    bench.connections = connections
    result = bench.send(DATA)
    assert bench.final == DATA
    assert bench.parts == []
    assert (result.kept, result.evidence, result.sha256) == (False, evidence, WHOLE)
    assert (result.bytes_sent, result.resumed_from) == (len(DATA), 0)
    assert bench.phases == ["sending", "verifying"]
    assert rows(bench.state, "upload") == []


def test_upload_small_file_uses_one_connection(bench: Bench) -> None:
    bench.connections = 8
    bench.send(content(1.5))
    assert bench.server.connects <= 2


def test_upload_file_of_whole_chunks_is_placed(bench: Bench) -> None:
    data = content(2)
    bench.send(data)
    assert bench.final == data


def test_upload_renames_after_the_last_write(bench: Bench) -> None:
    """At each acknowledged write the part file exists and the final name does not."""
    seen: list[bool] = []

    class Watching(MemoryFiles):
        def rename(self, source: str, destination: str) -> None:
            seen.append(bytes(self.server.files[source]) == DATA and destination not in self.server.files)
            super().rename(source, destination)

    bench.connector = with_files(bench.server, Watching)
    bench.send(DATA)
    assert seen == [True]


def test_upload_progress_ends_at_the_file_size(bench: Bench) -> None:
    bench.send(DATA)
    assert bench.progress[-1].done == len(DATA)
    assert all(0 <= event.done <= len(DATA) and event.resumed == 0 for event in bench.progress)


# the source -------------------------------------------------------------------------------------------


def test_upload_wrong_sha256_is_refused_before_sending(bench: Bench) -> None:
    error = bench.fails(DATA, sha256="0" * 64)
    assert isinstance(error, WrongBytes)
    assert WHOLE in error.message
    assert bench.server.connects == 0


def test_upload_right_sha256_is_placed(bench: Bench) -> None:
    assert bench.send(DATA, sha256=WHOLE).sha256 == WHOLE
    assert bench.phases[0] == "hashing"


def test_upload_link_with_wrong_sha256_leaves_no_file(bench: Bench) -> None:
    with pytest.raises(WrongBytes):
        bench.relay(WebStream(DATA), sha256="0" * 64)
    assert bench.server.files == {}


def test_upload_file_changed_during_send_leaves_no_file(bench: Bench) -> None:
    artifact = bench.local(DATA)
    assert isinstance(artifact.origin, LocalFile)
    path = artifact.origin.path

    class Touching(MemoryWriter):
        def send(self, offset: int, data: bytes | memoryview) -> None:
            if offset == 0:
                path.write_bytes(DATA[:-1] + b"x")
            super().send(offset, data)

    bench.connector = with_files(bench.server, writing_by(Touching))
    with pytest.raises(SourceChanged):
        bench.run(artifact, lambda: local.open(artifact))
    assert bench.server.files == {}


def test_upload_relay_cut_source_is_continued(bench: Bench) -> None:
    stream = WebStream(DATA, cuts=[1_000_000, 5, 7_000_000])
    assert bench.relay(stream).sha256 == WHOLE
    assert bench.final == DATA
    assert stream.closed


class FailsAfterTwoChunks(WebStream):
    """A stream that yields two chunks and then fails for good."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._given = [threading.Event(), threading.Event()]

    def read(self, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        if offset < 2 * CHUNK_BYTES:
            yield from super().read(offset, length)
            self._given[offset // CHUNK_BYTES].set()
            return
        for given in self._given:
            assert given.wait(10)
        raise NetworkError("the line to the source was cut")


def test_upload_relay_lost_source_keeps_part_and_is_named(bench: Bench) -> None:
    stream = FailsAfterTwoChunks(DATA)
    with pytest.raises(NetworkError, match="source"):
        bench.relay(stream)
    assert bench.server.connects == 1
    assert bench.relay(WebStream(DATA)).resumed_from == 2 * CHUNK_BYTES


# files at the final name ------------------------------------------------------------------------------


@pytest.mark.parametrize("hashes", [True, False])
@pytest.mark.parametrize("promised", [WHOLE, None])
@pytest.mark.parametrize("replacing", [True, False])
def test_upload_identical_file_is_kept_without_sending(
    bench: Bench, hashes: bool, promised: str | None, replacing: bool
) -> None:
    bench.server.hashes = hashes
    bench.server.files[FINAL] = bytearray(DATA)
    result = bench.send(DATA, sha256=promised, replace=replacing)
    evidence = Evidence.REMOTE_HASH if hashes else Evidence.READ_BACK
    assert (result.kept, result.evidence, result.sha256, result.bytes_sent) == (True, evidence, WHOLE, 0)


def test_upload_hashed_identical_link_is_not_read(bench: Bench) -> None:
    bench.server.hashes = True
    bench.server.files[FINAL] = bytearray(DATA)
    stream = WebStream(DATA)
    assert bench.relay(stream, sha256=WHOLE).kept
    assert stream.reads == []


@pytest.mark.parametrize("hashes", [True, False])
@pytest.mark.parametrize("other", [DATA[:-1] + bytes([DATA[-1] ^ 1]), DATA[:-1], DATA + b"x", b""])
def test_upload_other_bytes_are_refused(bench: Bench, hashes: bool, other: bytes) -> None:
    bench.server.hashes = hashes
    bench.server.files[FINAL] = bytearray(other)
    assert isinstance(bench.fails(DATA), Exists)
    assert bench.final == other
    assert bench.parts == []


@pytest.mark.parametrize("promised", [WHOLE, None])
@pytest.mark.parametrize("other", [DATA[:-1] + bytes([DATA[-1] ^ 1]), DATA[:-1]])
def test_upload_other_bytes_with_replace_are_replaced(bench: Bench, other: bytes, promised: str | None) -> None:
    bench.server.hashes = True
    bench.server.files[FINAL] = bytearray(other)
    result = bench.send(DATA, replace=True, sha256=promised)
    assert (result.kept, result.bytes_sent) == (False, len(DATA))
    assert bench.final == DATA


def test_upload_equal_size_alone_does_not_keep_a_file(bench: Bench) -> None:
    bench.server.readable = False
    bench.server.files[FINAL] = bytearray(DATA)
    assert isinstance(bench.fails(DATA, structure=True), Exists)


def test_upload_folder_at_the_name_is_not_replaced(bench: Bench) -> None:
    bench.server.make_folders(FINAL)
    assert isinstance(bench.fails(DATA, replace=True), Exists)


# wrong bytes on the server ----------------------------------------------------------------------------


class StoresWrongByte(MemoryWriter):
    """A writer that stores a wrong byte at one offset, `times` times."""

    offset = CHUNK_BYTES + 3
    left = 1

    def send(self, offset: int, data: bytes | memoryview) -> None:
        if offset <= self.offset < offset + len(data) and type(self).left > 0:
            type(self).left -= 1
            spoilt = bytearray(data)
            spoilt[self.offset - offset] ^= 1
            data = bytes(spoilt)
        super().send(offset, data)


@pytest.mark.parametrize("hashes", [True, False])
@pytest.mark.parametrize("web", [True, False])
def test_upload_wrong_chunk_is_sent_again_alone(bench: Bench, hashes: bool, web: bool) -> None:
    bench.server.hashes = hashes
    bench.connector = with_files(bench.server, writing_by(type("Once", (StoresWrongByte,), {"left": 1})))
    stream = WebStream(DATA)
    result = bench.relay(stream) if web else bench.send(DATA)
    assert bench.final == DATA
    assert (result.bytes_sent, result.resumed_from) == (len(DATA) + CHUNK_BYTES, 0)
    assert result.sha256 == WHOLE
    assert "1 chunk(s)" in bench.said
    assert all(event.resumed == 0 for event in bench.progress)  # the bytes of this run do not count as resumed
    assert [stream.reads.count(at) for at in (0, CHUNK_BYTES)] == ([1, 2] if web else [0, 0])


@pytest.mark.parametrize("hashes", [True, False])
def test_upload_server_wrong_twice_raises(bench: Bench, hashes: bool) -> None:
    bench.server.hashes = hashes
    bench.connector = with_files(bench.server, writing_by(type("Always", (StoresWrongByte,), {"left": 99})))
    error = bench.fails(DATA)
    assert isinstance(error, WrongBytes)
    assert "twice" in error.message
    assert bench.server.files == {}
    assert bench.last is not None
    assert bench.last.sent == len(DATA) + CHUNK_BYTES


def test_upload_part_that_grew_too_long_starts_again(bench: Bench) -> None:
    class Growing(MemoryWriter):
        left = 1

        def close(self) -> None:
            super().close()
            held = self._files.server.files[self._path]
            if held and type(self).left:
                type(self).left -= 1
                held.extend(b"tail")

    bench.connector = with_files(bench.server, writing_by(Growing))
    result = bench.send(DATA)
    assert bench.final == DATA
    assert result.bytes_sent == 2 * len(DATA)


def test_upload_full_disk_keeps_the_part(bench: Bench) -> None:
    bench.server.space = 3 * CHUNK_BYTES
    assert isinstance(bench.fails(DATA), NoSpace)
    assert bench.final is None
    bench.server.space = None
    assert bench.send(DATA).resumed_from >= CHUNK_BYTES


# the final name ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("replacing", [True, False])
def test_upload_lost_rename_reply_counts_as_placed(bench: Bench, replacing: bool) -> None:
    class LosesReply(MemoryFiles):
        def rename(self, source: str, destination: str) -> None:
            super().rename(source, destination)
            raise NetworkError("the answer is lost")

        def replace(self, source: str, destination: str) -> bool:
            super().replace(source, destination)
            raise NetworkError("the answer is lost")

    bench.connector = with_files(bench.server, LosesReply)
    result = bench.send(DATA, replace=replacing)
    assert (result.kept, bench.final) == (False, DATA)
    assert rows(bench.state, "upload") == []


def test_upload_vanished_part_keeps_the_existing_file(bench: Bench) -> None:
    class LosesPart(MemoryFiles):
        def replace(self, source: str, destination: str) -> bool:
            if source in self.server.files:
                del self.server.files[source]
                self.server.files[destination] = bytearray(b"somebody else's")
                raise NetworkError("cut")
            del self.server.files[destination]  # as a server does that removes before it renames
            return super().replace(source, destination)

    bench.connector = with_files(bench.server, LosesPart)
    assert isinstance(bench.fails(DATA, replace=True), RemoteMissing)
    assert bench.final == b"somebody else's"


def test_upload_name_taken_during_send_is_not_overwritten(bench: Bench) -> None:
    class TakesName(MemoryFiles):
        def rename(self, source: str, destination: str) -> None:
            raise RemoteExists("taken")

    bench.connector = with_files(bench.server, TakesName)
    assert isinstance(bench.fails(DATA), Exists)
    assert len(bench.parts) == 1


def test_upload_identical_file_placed_during_send_is_kept(bench: Bench) -> None:
    class TakesName(MemoryFiles):
        def rename(self, source: str, destination: str) -> None:
            self.server.files[destination] = bytearray(self.server.files[source])
            raise RemoteExists("taken")

    bench.connector = with_files(bench.server, TakesName)
    result = bench.send(DATA)
    assert result.kept
    assert result.bytes_sent == len(DATA)
    assert bench.parts == []
    assert bench.final == DATA


def test_upload_part_truncated_after_proof_is_not_renamed(bench: Bench) -> None:
    data = content(2.1)

    class TruncatesPart(MemoryFiles):
        def stat(self, path: str) -> Entry | None:
            if path.endswith(".part") and len(self.server.files.get(path, b"")) == len(data):
                del self.server.files[path][-1:]
            return super().stat(path)

    bench.connector = with_files(bench.server, TruncatesPart)
    assert isinstance(bench.fails(data), Busy)
    assert bench.final is None
    assert len(bench.parts) == 1


def test_upload_non_atomic_replace_adds_a_note(bench: Bench) -> None:
    class Slow(MemoryFiles):
        def replace(self, source: str, destination: str) -> bool:
            super().replace(source, destination)
            return False

    bench.connector = with_files(bench.server, Slow)
    bench.server.files[FINAL] = bytearray(b"old")
    bench.send(DATA, replace=True)
    assert "cannot replace in one step" in bench.said


def test_upload_second_run_of_one_file_is_busy(bench: Bench) -> None:
    with bench.uploads.claim("memory", FINAL):
        assert isinstance(bench.fails(DATA), Busy)
    assert bench.server.files == {}


def test_upload_read_back_with_many_cuts_and_progress_ends(bench: Bench) -> None:
    """Read back 12 chunks over connections that last for one each: more cuts than tries without progress."""

    class Short(MemoryFiles):
        def read(self, path: str, ranges: Iterable[Range]) -> Iterator[bytes]:
            asked = list(ranges)
            for data in super().read(path, asked[:1]):
                yield data
                if len(asked) > 1:
                    raise NetworkError("cut")

    data = content(1) * 12
    bench.connector = with_files(bench.server, Short)
    assert bench.send(data).evidence is Evidence.READ_BACK


def test_upload_limit_holds_for_a_compared_link(tmp_path: Path) -> None:
    waited: list[float] = []

    def wait(seconds: float) -> bool:
        waited.append(seconds)
        return False

    data = content(1)
    bench = Bench(tmp_path, down=RateLimiter(16_000, clock=lambda: 0.0, wait=wait))
    bench.server.files[FINAL] = bytearray(data)
    assert bench.relay(WebStream(data)).kept
    # The clock stands still, so each wait lasts as long as all bytes before it take at this rate.
    assert len(waited) > len(data) / 1600 - 1
    # The read-back waits for all bytes of the link. Its last tenth of a second waits for all bytes before it.
    assert max(waited) == pytest.approx((2 * len(data) - 1600) / 16_000, abs=0.1)
