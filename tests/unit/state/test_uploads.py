"""What has arrived is recorded for a later run, at most 16 MiB or 2 s late."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.state_rows import chunk_numbers, rows
from uploader.errors import Busy, ConfigurationError, NetworkError
from uploader.state.database import Database
from uploader.state.uploads import FLUSH_BYTES, FLUSH_SECONDS, UploadRecords

MIB = 1024 * 1024
CHUNK = 4 * MIB
SIZE = 10 * CHUNK - 1
PATH = "/root/models/Lora/日本 語.safetensors"
PART = f"{PATH}.0a1b2c3d.part"
HOUSE = Path(__file__).parents[3]


def digest(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path)


@pytest.fixture
def uploads(database: Database, clock: Clock) -> UploadRecords:
    return UploadRecords(database, clock=clock)


def test_record_acknowledged_chunks_reach_the_next_run(uploads: UploadRecords, tmp_path: Path) -> None:
    with uploads.claim("canvas", PATH) as record:
        assert record.load("id", SIZE, CHUNK) == {}
        record.begin("id", SIZE, CHUNK, PART)
        record.acknowledge(0, digest(0))
        record.acknowledge(9, "")
    with UploadRecords(Database(tmp_path)).claim("canvas", PATH) as record:
        assert record.load("id", SIZE, CHUNK) == {0: digest(0), 9: ""}


def test_record_begun_again_keeps_the_earlier_chunks(uploads: UploadRecords) -> None:
    with uploads.claim("canvas", PATH) as record:
        record.begin("id", SIZE, CHUNK, PART)
        record.acknowledge(1, digest(1))
    with uploads.claim("canvas", PATH) as record:
        record.begin("id", SIZE, CHUNK, f"{PART}2")
        record.acknowledge(2, digest(2))
    with uploads.claim("canvas", PATH) as record:
        assert record.load("id", SIZE, CHUNK) == {1: digest(1), 2: digest(2)}


def test_record_forgotten_chunk_stays_forgotten(uploads: UploadRecords) -> None:
    with uploads.claim("canvas", PATH) as record:
        record.begin("id", SIZE, CHUNK, PART)
        record.acknowledge(1, digest(1))
        record.acknowledge(2, digest(2))
        record.flush()
        record.forget(1)
        record.forget(7)
        assert record.chunks == {2: digest(2)}
    with uploads.claim("canvas", PATH) as record:
        assert record.load("id", SIZE, CHUNK) == {2: digest(2)}


@pytest.mark.parametrize("other", [("other", SIZE, CHUNK), ("id", SIZE + 1, CHUNK), ("id", SIZE, CHUNK * 2)])
def test_record_of_another_file_counts_as_none(uploads: UploadRecords, other: tuple[str, int, int]) -> None:
    with uploads.claim("canvas", PATH) as record:
        record.begin("id", SIZE, CHUNK, PART)
        record.acknowledge(0, digest(0))
    with uploads.claim("canvas", PATH) as record:
        assert record.load(*other) == {}
        record.begin(*other, PART)
        assert record.chunks == {}


def test_records_of_other_targets_and_paths_are_apart(uploads: UploadRecords) -> None:
    with uploads.claim("canvas", PATH) as record:
        record.begin("id", SIZE, CHUNK, PART)
        record.acknowledge(0, digest(0))
    with uploads.claim("canvas", PATH + "x") as record, uploads.claim("pod", PATH) as other:
        assert record.load("id", SIZE, CHUNK) == other.load("id", SIZE, CHUNK) == {}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("sha256", "short"),
        ("sha256", b"\xff\xfe"),
        ("sha256", "g" * 64),
        ("number", -1),
        ("number", 10),
        ("number", "x"),
        ("number", 1.5),
    ],
)
def test_record_that_makes_no_sense_counts_as_none(
    uploads: UploadRecords, database: Database, column: str, value: object
) -> None:
    with uploads.claim("canvas", PATH) as record:
        record.begin("id", SIZE, CHUNK, PART)
        record.acknowledge(0, digest(0))
    database.write((f"UPDATE chunk SET {column} = ?", [(value,)]))
    with uploads.claim("canvas", PATH) as record:
        assert record.load("id", SIZE, CHUNK) == {}
        record.begin("id", SIZE, CHUNK, PART)
        record.acknowledge(3, digest(3))
    with uploads.claim("canvas", PATH) as record:
        assert record.load("id", SIZE, CHUNK) == {3: digest(3)}


def test_record_with_a_name_that_is_not_utf_8_comes_back(uploads: UploadRecords) -> None:
    path = "/root/caf\udce9.safetensors"
    with uploads.claim("canvas", path) as record:
        record.begin("id", SIZE, CHUNK, f"{path}.part")
        record.acknowledge(0, digest(0))
    with uploads.claim("canvas", path) as record:
        assert record.load("id", SIZE, CHUNK) == {0: digest(0)}


# when it is written -----------------------------------------------------------------------------------


def test_acknowledge_leaves_less_than_16_mib_unwritten(uploads: UploadRecords, tmp_path: Path) -> None:
    with uploads.claim("canvas", PATH) as record:
        record.begin("id", SIZE, CHUNK, PART)
        for number in range(10):
            record.acknowledge(number, digest(number))
            assert (number + 1 - len(chunk_numbers(tmp_path))) * CHUNK < FLUSH_BYTES


def test_acknowledge_on_a_slow_line_writes_every_2_seconds(
    uploads: UploadRecords, clock: Clock, tmp_path: Path
) -> None:
    with uploads.claim("canvas", PATH) as record:
        record.begin("id", SIZE, CHUNK, PART)
        record.acknowledge(0, digest(0))
        assert chunk_numbers(tmp_path) == set()
        clock.now += FLUSH_SECONDS
        record.acknowledge(1, digest(1))
        assert chunk_numbers(tmp_path) == {0, 1}


def test_acknowledge_2000_chunks_writes_a_few_hundred_times(uploads: UploadRecords, tmp_path: Path) -> None:
    watcher, versions = Database(tmp_path), set()
    with uploads.claim("canvas", PATH) as record:
        record.begin("id", 2000 * CHUNK, CHUNK, PART)
        for number in range(2000):
            record.acknowledge(number, digest(number))
            versions.add(watcher.read("PRAGMA data_version")[0])
        assert len(versions) <= 2000 * CHUNK / FLUSH_BYTES + 1
    assert len(chunk_numbers(tmp_path)) == 2000


def test_claim_that_ends_with_an_error_writes_what_arrived(uploads: UploadRecords, tmp_path: Path) -> None:
    def fail() -> None:
        with uploads.claim("canvas", PATH) as record:
            record.begin("id", SIZE, CHUNK, PART)
            record.acknowledge(0, digest(0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert chunk_numbers(tmp_path) == {0}


def test_acknowledge_from_many_threads_loses_none(uploads: UploadRecords, tmp_path: Path) -> None:
    with uploads.claim("canvas", PATH) as record:
        record.begin("id", 400 * CHUNK, CHUNK, PART)

        def acknowledge(first: int) -> None:
            for number in range(first, 400, 4):
                record.acknowledge(number, digest(number))

        threads = [threading.Thread(target=acknowledge, args=(first,)) for first in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(record.chunks) == 400
    assert chunk_numbers(tmp_path) == set(range(400))


def test_remove_leaves_no_row_and_no_lock(uploads: UploadRecords, tmp_path: Path) -> None:
    with uploads.claim("canvas", PATH) as record:
        record.begin("id", SIZE, CHUNK, PART)
        record.acknowledge(0, digest(0))
        record.remove()
        record.acknowledge(1, digest(1))
        record.flush()
    assert rows(tmp_path, "upload") == rows(tmp_path, "chunk") == []
    assert [path.name for path in (tmp_path / "locks").iterdir() if path.name != "gate.lock"] == []


# disks that refuse ------------------------------------------------------------------------------------


def test_claim_in_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    uploads = UploadRecords(Database(tmp_path / "file"))
    with pytest.raises(ConfigurationError, match="cannot be written") as caught, uploads.claim("canvas", PATH):
        pass
    assert "UPLOADER_HOME" in (caught.value.remedy or "")


def refuse_writes(database: Database) -> None:
    database.write(("CREATE TRIGGER full BEFORE INSERT ON chunk BEGIN SELECT RAISE(ABORT, 'disk full'); END", [()]))


def test_flush_that_fails_is_told_and_tried_again(uploads: UploadRecords, database: Database, tmp_path: Path) -> None:
    with uploads.claim("canvas", PATH) as record:
        record.begin("id", SIZE, CHUNK, PART)
        record.acknowledge(0, digest(0))
        refuse_writes(database)
        with pytest.raises(ConfigurationError, match="cannot be written"):
            record.flush()
        database.write(("DROP TRIGGER full", [()]))
        record.flush()
        assert chunk_numbers(tmp_path) == {0}


def test_claim_whose_flush_fails_too_tells_the_first_error(uploads: UploadRecords, database: Database) -> None:
    def fail() -> None:
        with uploads.claim("canvas", PATH) as record:
            record.begin("id", SIZE, CHUNK, PART)
            record.acknowledge(0, digest(0))
            refuse_writes(database)
            raise NetworkError("cut")

    with pytest.raises(NetworkError, match="cut"):
        fail()


def test_record_survives_a_database_that_is_set_aside(uploads: UploadRecords, tmp_path: Path) -> None:
    with uploads.claim("canvas", PATH) as record:
        record.begin("id", SIZE, CHUNK, PART)
    for path in tmp_path.glob("state.db*"):
        path.unlink()
    (tmp_path / "state.db").write_bytes(b"no database" * 1000)
    later = UploadRecords(Database(tmp_path))
    with later.claim("canvas", PATH) as record:
        record.begin("id", SIZE, CHUNK, PART)
        record.acknowledge(4, digest(4))
    assert chunk_numbers(tmp_path) == {4}


# several runs -----------------------------------------------------------------------------------------


def test_claim_of_a_claimed_path_is_busy(uploads: UploadRecords, tmp_path: Path) -> None:
    with (
        uploads.claim("canvas", PATH),
        pytest.raises(Busy, match="日本 語") as caught,
        UploadRecords(Database(tmp_path)).claim("canvas", PATH),
    ):
        pass
    assert caught.value.remedy
    with uploads.claim("canvas", PATH):
        pass


_HOLDER = """
import sys
from pathlib import Path
from uploader.state.database import Database
from uploader.state.uploads import UploadRecords
with UploadRecords(Database(Path(sys.argv[1]))).claim("canvas", sys.argv[2]) as record:
    record.begin("id", 1000, 100, "part")
    for number in range(4):
        record.acknowledge(number, "0" * 64)
    record.flush()
    print("held", flush=True)
    sys.stdin.read()
"""


def test_claim_of_a_killed_run_is_free_and_keeps_its_record(uploads: UploadRecords, tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path), PATH], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=HOUSE
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == b"held"
        with pytest.raises(Busy), uploads.claim("canvas", PATH):
            pass
        os.kill(holder.pid, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
        holder.wait()
    with uploads.claim("canvas", PATH) as record:
        assert set(record.load("id", 1000, 100)) == {0, 1, 2, 3}


def test_claim_all_yields_what_no_other_run_holds(tmp_path: Path) -> None:
    ours, theirs = UploadRecords(Database(tmp_path)), UploadRecords(Database(tmp_path))
    paths = [f"/m/{number}" for number in range(600)]
    with theirs.claim("t", paths[3]), ours.claim_all("t", [*paths, paths[0]]) as held:
        assert held == set(paths) - {paths[3]}
        with pytest.raises(Busy), theirs.claim("t", paths[0]):
            raise AssertionError
    assert {path.name for path in (tmp_path / "locks").iterdir()} <= {"gate.lock"}
    with theirs.claim("t", paths[0]):
        pass
