from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from tests.remote_memory import MemoryConnection, MemoryConnector, MemoryFiles, MemoryServer
from tests.small_config import SMALL
from tests.unit.transfer.bench import CHUNK_BYTES, FINAL, FOLDER, content, context_of
from uploader.errors import NetworkError, NoPermission, RemoteRefused
from uploader.remote.interface import Range
from uploader.result import Evidence
from uploader.transfer.chunks import ChunkLayout, Reading, read_chunks
from uploader.transfer.rolling_hash import RemoteDigest
from uploader.transfer.verify import Expected, Verification, Verifier, Verify, hash_many, reads_all


class Look:
    """A file on a server in memory, which may differ from `data`; `seen` counts the bytes read back."""

    def __init__(self, data: bytes, there: bytes | None = None, *, hashes: bool = False) -> None:
        self.server = MemoryServer(hashes=hashes)
        self.server.make_folders(FOLDER)
        self.server.files[FINAL] = bytearray(data if there is None else there)
        self.data = data
        self.reading = Reading.of_link({})
        for _ in read_chunks(iter([data]), ChunkLayout(len(data), CHUNK_BYTES), 0, self.reading):
            pass
        self.connection: Any = MemoryConnector(self.server).connect()
        self.seen = 0
        look = self

        class Connector(MemoryConnector):
            def connect(self) -> Any:
                return look.connect()

        self.context = context_of(Connector(self.server))

    def connect(self) -> Any:
        return self.connection

    def verifier(self, mode: Verify = "auto") -> Verifier:
        return Verifier(self.context, mode, self.count)

    def expected(self, sha256: str | None = None, *, structure: bool = False) -> Expected:
        return Expected(len(self.data), sha256 or self.reading.sha256, self.reading.chunks, structure)

    def right(self, claimed: Mapping[int, str]) -> set[int]:
        """Return which of the claimed chunks are on the server as claimed."""
        found = self.verifier().digests(FINAL, len(self.data), claimed)
        return {index for index, digest in found.items() if digest == claimed[index]}

    def count(self, size: int) -> None:
        self.seen += size

    def prove(self, mode: Verify = "auto", *, sha256: str | None = None, structure: bool = False) -> Verification:
        return self.verifier(mode).verify(FINAL, self.expected(sha256, structure=structure))


def changed(data: bytes, *chunks: int) -> bytes:
    found = bytearray(data)
    for index in chunks:
        found[index * CHUNK_BYTES + 7] ^= 1
    return bytes(found)


DATA = content(4.4)
WHOLE = hashlib.sha256(DATA).hexdigest()
ALL = frozenset(range(5))


# by the server's own hash -----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["auto", "full"])
def test_verify_remote_hash_is_the_first_choice(mode: Verify) -> None:
    assert Look(DATA, hashes=True).prove(mode) == Verification(Evidence.REMOTE_HASH, WHOLE)


def test_verify_wrong_hash_names_the_wrong_chunks() -> None:
    proof = Look(DATA, changed(DATA, 1, 4), hashes=True).prove()
    assert (proof.evidence, proof.bad) == (Evidence.REMOTE_HASH, frozenset({1, 4}))
    assert proof.sha256 != WHOLE


def test_verify_wrong_file_with_right_chunks_is_all_wrong() -> None:
    assert Look(DATA, hashes=True).prove(sha256="0" * 64).bad == ALL


def test_verify_without_file_digest_hashes_each_chunk() -> None:
    look = Look(DATA, hashes=True)
    look.reading.sha256 = None
    assert look.prove() == Verification(Evidence.REMOTE_HASH, WHOLE)
    look.server.files[FINAL][-1] ^= 1
    assert look.prove().bad == {4}


# by reading back --------------------------------------------------------------------------------------


def test_verify_without_hashes_reads_back_a_small_file() -> None:
    look = Look(DATA)
    assert look.prove() == Verification(Evidence.READ_BACK, WHOLE)
    assert look.seen == len(DATA)


def test_verify_read_back_finds_the_wrong_chunks() -> None:
    assert Look(DATA, changed(DATA, 0, 3)).prove().bad == {0, 3}


def test_verify_chunks_of_two_versions_prove_nothing() -> None:
    assert Look(DATA).prove(sha256="0" * 64).bad == ALL


def test_verify_samples_are_first_last_and_some_between() -> None:
    data = content(14)
    look = Look(data)
    proof = look.prove("samples")
    assert (proof.evidence, proof.sha256, proof.bad) == (Evidence.SAMPLES, None, frozenset())
    assert look.seen == 10 * CHUNK_BYTES
    assert Look(data, changed(data, 0, 13)).prove("samples").bad == {0, 13}


def test_verify_samples_on_a_hashing_server_stay_samples() -> None:
    assert Look(DATA, hashes=True).prove("samples").evidence is Evidence.SAMPLES


def test_verify_cut_read_back_is_continued() -> None:
    class Cutting(MemoryFiles):
        def read(self, path: str, ranges: Iterable[Range]) -> Iterator[bytes]:
            for number, data in enumerate(super().read(path, ranges)):
                if number == 2:
                    raise NetworkError("cut")
                yield data

    look = Look(DATA)

    def connect() -> MemoryConnection:
        connection = MemoryConnection(look.server, None)
        connection.files = Cutting(connection, None)
        return connection

    look.connect = connect  # type: ignore[method-assign]
    assert look.prove() == Verification(Evidence.READ_BACK, WHOLE)
    assert look.seen == len(DATA)


# sizes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hashes", [True, False])
def test_verify_short_file_lacks_the_chunks_past_its_end(hashes: bool) -> None:
    look = Look(DATA, DATA[: 2 * CHUNK_BYTES + 5], hashes=hashes)
    assert look.prove() == Verification(Evidence.SIZE, bad=frozenset({2, 3, 4}))


def test_verify_too_long_file_is_all_wrong() -> None:
    assert Look(DATA, DATA + b"x").prove().bad == ALL


def test_verify_missing_file_is_all_wrong() -> None:
    look = Look(DATA)
    del look.server.files[FINAL]
    assert look.prove().bad == ALL


# accounts that may not read ---------------------------------------------------------------------------


@pytest.mark.parametrize(("structure", "evidence"), [(True, Evidence.STRUCTURE), (False, Evidence.SIZE)])
def test_verify_unreadable_file_has_the_weakest_evidence(structure: bool, evidence: Evidence) -> None:
    look = Look(DATA)
    look.server.readable = False
    assert look.prove(structure=structure) == Verification(evidence)


def test_verify_full_of_an_unreadable_file_raises() -> None:
    look = Look(DATA)
    look.server.readable = False
    with pytest.raises(NoPermission):
        look.prove("full")


def test_verify_server_failure_during_read_proves_nothing() -> None:
    class Failing(MemoryFiles):
        def read(self, path: str, ranges: Iterable[Range]) -> Iterator[bytes]:
            raise RemoteRefused("the server says only that it failed")

    look = Look(DATA)
    look.connection.files = Failing(look.connection, None)
    with pytest.raises(RemoteRefused):
        look.prove(structure=True)


def test_digests_of_an_unreadable_file_is_empty() -> None:
    look = Look(DATA)
    look.server.readable = False
    assert look.right(look.reading.chunks) == set()


# a part of an earlier run -----------------------------------------------------------------------------


@pytest.mark.parametrize("hashes", [True, False])
def test_digests_counts_only_chunks_on_the_server(hashes: bool) -> None:
    look = Look(DATA, changed(DATA, 2)[: 4 * CHUNK_BYTES], hashes=hashes)
    claimed = {index: look.reading.chunks[index] for index in (0, 2, 3, 4)}
    assert look.right(claimed) == {0, 3}


def test_digests_of_a_too_long_part_is_empty() -> None:
    assert Look(DATA, DATA + b"x").right(Look(DATA).reading.chunks) == set()


def test_digests_without_claims_asks_nothing() -> None:
    look = Look(DATA)
    look.connection.interrupt()
    assert look.right({}) == set()


def test_digests_hashes_many_chunks_in_batches() -> None:
    data = content(1) * 34
    look = Look(data, changed(data, 0, 33), hashes=True)
    asked: list[int] = []
    plain = look.connection.hashes

    def hashes(path: str, ranges: Sequence[Range]) -> list[str] | None:
        asked.append(len(ranges))
        found: list[str] | None = plain(path, ranges)
        return found

    look.connection.hashes = hashes
    assert look.prove().bad == {0, 33}
    assert asked == [1, 32, 2]


@pytest.mark.parametrize(("mode", "over", "all_of_it"), [("auto", 0, True), ("auto", 1, False), ("full", 1, True)])
def test_verify_full_or_small_file_is_read_back_whole(mode: Verify, over: int, all_of_it: bool) -> None:
    """An upload reads a file back during the send when `reads_all` returns True."""
    assert reads_all(mode, SMALL.read_back_bytes + over, SMALL) is all_of_it
    assert not reads_all("samples", 1, SMALL)


# several files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("hashes", "evidence"), [(True, Evidence.REMOTE_HASH), (False, Evidence.READ_BACK)])
def test_compare_many_finds_same_and_other_files(hashes: bool, evidence: Evidence) -> None:
    small, large = content(0.2), DATA
    look = Look(large, hashes=hashes)
    look.server.files |= {f"{FOLDER}/{name}": bytearray(small) for name in ("same", "other")}
    expected = Expected(len(small), hashlib.sha256(small).hexdigest(), {0: hashlib.sha256(small).hexdigest()})
    other = Expected(len(small), "0" * 64, {0: "0" * 64})
    files = [(FINAL, look.expected()), (f"{FOLDER}/same", expected), (f"{FOLDER}/other", other)]
    assert look.verifier().compare_many([*files, (f"{FOLDER}/missing", expected)]) == [evidence, evidence, None, None]


def test_compare_many_without_files_asks_nothing() -> None:
    look = Look(DATA)
    look.connection.interrupt()
    assert look.verifier().compare_many([]) == []


@pytest.mark.parametrize("structure", [True, False])
def test_compare_size_and_structure_alone_are_not_enough(structure: bool) -> None:
    look = Look(DATA)
    look.server.readable = False
    assert look.verifier().compare(FINAL, look.expected(structure=structure)) is None


def test_hash_many_too_long_file_has_another_hash() -> None:
    look = Look(b"abc", b"abcd")
    (found,) = hash_many(look.connection, [(FINAL, 3)])
    assert found == RemoteDigest(hashlib.sha256(b"abcd").hexdigest(), Evidence.READ_BACK)


def test_digest_reads_back_only_what_the_mode_reads() -> None:
    look = Look(DATA)
    assert look.verifier().digest(FINAL, len(DATA)) == RemoteDigest(WHOLE, Evidence.READ_BACK)
    assert look.verifier("samples").digest(FINAL, len(DATA)) is None
