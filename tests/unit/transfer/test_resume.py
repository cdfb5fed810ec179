from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.unit.transfer.bench import CHUNK_BYTES, Bench, WebStream, content
from uploader.errors import (
    NetworkError,
    WrongBytes,
)
from uploader.sources import local
from uploader.state.database import Database
from uploader.state.uploads import UploadRecords

DATA = content(4.4)
WHOLE = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def leave_a_part(bench: Bench, whole_chunks: int, data: bytes = DATA) -> None:
    """Run an upload whose connection is lost for good after `whole_chunks` chunks."""
    bench.server.cut_after = [whole_chunks * CHUNK_BYTES + 10_000, *[0] * 50]
    assert isinstance(bench.fails(data), NetworkError)
    bench.server.cut_after = []
    bench.events.clear()


# an earlier run's part --------------------------------------------------------------------------------


@pytest.mark.parametrize("hashes", [True, False])
def test_resume_sends_only_missing_chunks(bench: Bench, hashes: bool) -> None:
    bench.server.hashes = hashes
    leave_a_part(bench, 2)
    result = bench.send(DATA)
    assert bench.final == DATA
    assert (result.resumed_from, result.bytes_sent) == (2 * CHUNK_BYTES, len(DATA) - 2 * CHUNK_BYTES)
    assert result.sha256 == WHOLE
    sending = bench.progress[-1]
    assert (sending.done, sending.resumed) == (len(DATA), 2 * CHUNK_BYTES)


def test_resume_many_short_runs_each_add_chunks(bench: Bench) -> None:
    for _ in range(3):
        leave_a_part(bench, 1)
    result = bench.send(DATA)
    assert result.resumed_from == 3 * CHUNK_BYTES
    assert bench.final == DATA


@pytest.mark.parametrize("validator", ['"v1"', None])
def test_resume_relay_reads_again_as_little_as_possible(bench: Bench, validator: str | None) -> None:
    bench.server.cut_after = [2 * CHUNK_BYTES + 10_000, *[0] * 50]
    with pytest.raises(NetworkError):
        bench.relay(WebStream(DATA), validator=validator)
    bench.server.cut_after = []
    stream = WebStream(DATA)
    result = bench.relay(stream, validator=validator)
    assert bench.final == DATA
    assert result.resumed_from == 2 * CHUNK_BYTES
    assert min(stream.reads) == (2 * CHUNK_BYTES if validator else 0)


def test_resume_link_without_validator_mixes_no_two_files(bench: Bench) -> None:
    bench.server.cut_after = [2 * CHUNK_BYTES + 10_000, *[0] * 50]
    with pytest.raises(NetworkError):
        bench.relay(WebStream(DATA), validator=None)
    bench.server.cut_after = []
    other = content(4.4, seed=9)
    bench.relay(WebStream(other), validator=None)
    assert bench.final == other


def test_resume_relay_with_sha256_is_proven_whole(bench: Bench) -> None:
    bench.server.cut_after = [2 * CHUNK_BYTES + 10_000, *[0] * 50]
    with pytest.raises(NetworkError):
        bench.relay(WebStream(content(4.4, seed=9)), sha256=WHOLE, validator=None)
    bench.server.cut_after = []
    with pytest.raises(WrongBytes):
        bench.relay(WebStream(DATA), sha256=WHOLE, validator=None)
    assert bench.server.files == {}
    assert bench.relay(WebStream(DATA), sha256=WHOLE).sha256 == WHOLE


@pytest.mark.parametrize("hashes", [True, False])
@pytest.mark.parametrize("tamper", ["change", "truncate", "lengthen", "hole", "remove", "empty"])
def test_resume_tampered_part_sends_wrong_chunks_again(bench: Bench, tamper: str, hashes: bool) -> None:
    bench.server.hashes = hashes
    leave_a_part(bench, 3)
    resent = {"change": 1, "truncate": 1, "hole": 2, "lengthen": 3, "remove": 3, "empty": 3}[tamper]
    match tamper:
        case "change":
            bench.part[CHUNK_BYTES + 5] ^= 1
        case "truncate":
            del bench.part[2 * CHUNK_BYTES + 5 :]
        case "hole":
            bench.part[CHUNK_BYTES - 5 : CHUNK_BYTES + 5] = bytes(10)
        case "lengthen":
            bench.part.extend(bytes(len(DATA)))
        case "remove":
            del bench.server.files[bench.parts[0]]
        case "empty":
            del bench.part[:]
    result = bench.send(DATA)
    assert bench.final == DATA
    assert result.resumed_from == (3 - resent) * CHUNK_BYTES
    assert result.bytes_sent == len(DATA) - (3 - resent) * CHUNK_BYTES


@pytest.mark.parametrize("hashes", [True, False])
def test_resume_link_ignores_chunks_of_a_local_run(bench: Bench, hashes: bool) -> None:
    bench.server.hashes = hashes
    downloaded = replace(bench.local(DATA), identity="0123abcd")  # route local keeps the identity of the link
    bench.server.cut_after = [2 * CHUNK_BYTES + 10_000, *[0] * 50]
    with pytest.raises(NetworkError):
        bench.run(downloaded, lambda: local.open(downloaded))
    bench.server.cut_after = []
    bench.part[5] ^= 1
    result = bench.relay(WebStream(DATA))
    assert bench.final == DATA
    assert result.resumed_from == 0


@pytest.mark.parametrize("damage", [None, b"", b"{", b"\xff\xfe\x00"])
def test_upload_without_a_readable_record_sends_everything(bench: Bench, damage: bytes | None) -> None:
    leave_a_part(bench, 3)
    for path in bench.state.glob("state.db*"):
        path.unlink()
    if damage is not None:
        (bench.state / "state.db").write_bytes(damage)
    bench.uploads = UploadRecords(Database(bench.state))
    result = bench.send(DATA)
    assert bench.final == DATA
    assert (result.resumed_from, result.bytes_sent) == (0, len(DATA))


def test_resume_changed_local_file_is_sent_as_it_is_now(bench: Bench) -> None:
    leave_a_part(bench, 3)
    changed = bytearray(DATA)
    changed[CHUNK_BYTES + 5] ^= 1  # the identity covers the size and the two ends only
    other = bytes(changed)
    result = bench.send(other)
    assert bench.final == other
    assert result.sha256 == hashlib.sha256(other).hexdigest()


# any sequence of failures -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Mishap:
    """The failures in one run and after it. `at` is in thousandths of the part file."""

    cuts: list[int]
    for_good: bool
    tamper: str
    at: int


# Hypothesis draws everything beforehand: how far a run gets depends on threads, and differs each time.
MISHAPS = st.builds(
    Mishap,
    cuts=st.lists(st.integers(0, 5 * CHUNK_BYTES), max_size=9),
    for_good=st.booleans(),
    tamper=st.sampled_from(["nothing", "change", "truncate", "hole", "lengthen", "remove"]),
    at=st.integers(0, 999),
)


@settings(max_examples=examples(15))
@given(connections=st.sampled_from([1, 3]), hashes=st.booleans(), mishaps=st.lists(MISHAPS, min_size=1, max_size=3))
def test_resume_any_cuts_and_tampering_place_no_wrong_bytes(
    tmp_path_factory: pytest.TempPathFactory, connections: int, hashes: bool, mishaps: list[Mishap]
) -> None:
    bench = Bench(tmp_path_factory.mktemp("law"))
    bench.connections = connections
    bench.server.hashes = hashes
    content_ = content(3.2)
    ended = False
    for mishap in mishaps:
        bench.server.cut_after = [*mishap.cuts, *([0] * 60 if mishap.for_good else [])]
        try:
            bench.send(content_)
            ended = True
        except NetworkError:  # cuts may cause this error and no other
            pass
        assert bench.final in (None, content_)
        if ended:
            break
        _tamper(bench, mishap)
    if not ended:
        bench.server.cut_after = []
        bench.send(content_)
    assert bench.final == content_
    assert bench.parts == []


def _tamper(bench: Bench, mishap: Mishap) -> None:
    if not bench.parts or not bench.part:
        return
    held = bench.part
    at = len(held) * mishap.at // 1000
    match mishap.tamper:
        case "change":
            held[at] ^= 1
        case "truncate":
            del held[at:]
        case "hole":
            held[at : at + 1000] = bytes(len(held[at : at + 1000]))
        case "lengthen":
            held.extend(bytes(at))
        case "remove":
            del bench.server.files[bench.parts[0]]
