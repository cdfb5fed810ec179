from __future__ import annotations

import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from uploader.errors import Busy, ConfigurationError, NetworkError
from uploader.state.atomic import replace_text
from uploader.state.uploads import FLUSH_BYTES, FLUSH_SECONDS, UploadRecords

MIB = 1024 * 1024
PIECE = 4 * MIB
SIZE = 10 * PIECE - 1
PATH = "/root/models/Lora/日本 語.safetensors"
PART = f"{PATH}.0a1b2c3d.part"


def digest(index: int) -> str:
    return hashlib.sha256(str(index).encode()).hexdigest()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def uploads(tmp_path: Path, clock: Clock) -> UploadRecords:
    return UploadRecords(tmp_path / "journal", clock=clock)


def record_file(tmp_path: Path) -> Path:
    (path,) = (tmp_path / "journal").glob("*.json")
    return path


def on_disk(tmp_path: Path) -> set[int]:
    return {int(index) for index in json.loads(record_file(tmp_path).read_text())["pieces"]}


def test_what_was_acknowledged_is_there_for_the_next_run(uploads: UploadRecords, tmp_path: Path) -> None:
    with uploads.claim("canvas", PATH) as record:
        assert record.load("id", SIZE, PIECE) == {}
        record.begin("id", SIZE, PIECE, PART)
        record.acknowledge(0, digest(0))
        record.acknowledge(9, digest(9))
    with UploadRecords(tmp_path / "journal").claim("canvas", PATH) as record:
        assert record.load("id", SIZE, PIECE) == {0: digest(0), 9: digest(9)}


def test_beginning_again_keeps_what_the_earlier_run_wrote(uploads: UploadRecords) -> None:
    with uploads.claim("canvas", PATH) as record:
        record.begin("id", SIZE, PIECE, PART)
        record.acknowledge(1, digest(1))
    with uploads.claim("canvas", PATH) as record:
        record.begin("id", SIZE, PIECE, PART)
        record.acknowledge(2, digest(2))
    with uploads.claim("canvas", PATH) as record:
        assert record.load("id", SIZE, PIECE) == {1: digest(1), 2: digest(2)}


def test_a_piece_that_turned_out_wrong_is_forgotten_for_good(uploads: UploadRecords) -> None:
    with uploads.claim("canvas", PATH) as record:
        record.begin("id", SIZE, PIECE, PART)
        record.acknowledge(1, digest(1))
        record.acknowledge(2, digest(2))
        record.forget(1)
        record.forget(7)
        assert record.chunks == {2: digest(2)}
    with uploads.claim("canvas", PATH) as record:
        assert record.load("id", SIZE, PIECE) == {2: digest(2)}


@pytest.mark.parametrize("other", [("other", SIZE, PIECE), ("id", SIZE + 1, PIECE), ("id", SIZE, PIECE * 2)])
def test_what_is_about_another_file_is_not_gone_on_with(uploads: UploadRecords, other: tuple[str, int, int]) -> None:
    with uploads.claim("canvas", PATH) as record:
        record.begin("id", SIZE, PIECE, PART)
        record.acknowledge(0, digest(0))
    with uploads.claim("canvas", PATH) as record:
        assert record.load(*other) == {}
        record.begin(*other, PART)
        assert record.chunks == {}


def test_targets_and_paths_do_not_share_a_journal(uploads: UploadRecords) -> None:
    with uploads.claim("canvas", PATH) as record:
        record.begin("id", SIZE, PIECE, PART)
        record.acknowledge(0, digest(0))
    with uploads.claim("canvas", PATH + "x") as record, uploads.claim("pod", PATH) as other:
        assert record.load("id", SIZE, PIECE) == other.load("id", SIZE, PIECE) == {}


def _broken(**changes: object) -> Callable[[bytes], bytes]:
    return lambda text: json.dumps(json.loads(text) | changes).encode()


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: b"",
        lambda text: text[: len(text) // 2],
        lambda text: b"\xff\xfe\x00",
        lambda text: b"[" * 100_000,
        lambda text: b"null",
        lambda text: b"[]",
        _broken(version=2),
        _broken(key=["someone", "else"]),
        _broken(pieces=[digest(0)]),
        _broken(pieces={"0": "short"}),
        _broken(pieces={"0": None}),
        _broken(pieces={"-1": digest(0)}),
        _broken(pieces={"10": digest(0)}),
        _broken(pieces={"9" * 5000: digest(0)}),
        _broken(pieces={"x": digest(0)}),
    ],
)
def test_a_journal_that_makes_no_sense_counts_as_none(
    uploads: UploadRecords, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    with uploads.claim("canvas", PATH) as record:
        record.begin("id", SIZE, PIECE, PART)
        record.acknowledge(0, digest(0))
    path = record_file(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    with uploads.claim("canvas", PATH) as record:
        assert record.load("id", SIZE, PIECE) == {}
        record.begin("id", SIZE, PIECE, PART)
        record.acknowledge(3, digest(3))
    with uploads.claim("canvas", PATH) as record:
        assert record.load("id", SIZE, PIECE) == {3: digest(3)}


def test_what_could_be_lost_with_the_process_stays_below_16_mib(uploads: UploadRecords, tmp_path: Path) -> None:
    with uploads.claim("canvas", PATH) as record:
        record.begin("id", SIZE, PIECE, PART)
        for index in range(10):
            record.acknowledge(index, digest(index))
            assert (index + 1 - len(on_disk(tmp_path))) * PIECE < FLUSH_BYTES


def test_a_slow_line_is_written_down_every_2_seconds(uploads: UploadRecords, clock: Clock, tmp_path: Path) -> None:
    with uploads.claim("canvas", PATH) as record:
        record.begin("id", SIZE, PIECE, PART)
        record.acknowledge(0, digest(0))
        assert on_disk(tmp_path) == set()
        clock.now += FLUSH_SECONDS
        record.acknowledge(1, digest(1))
        assert on_disk(tmp_path) == {0, 1}


def test_2000_pieces_cost_a_few_hundred_writes(uploads: UploadRecords, tmp_path: Path) -> None:
    seen = set()
    with uploads.claim("canvas", PATH) as record:
        record.begin("id", 2000 * PIECE, PIECE, PART)
        for index in range(2000):
            record.acknowledge(index, digest(index))
            seen.add(record_file(tmp_path).stat().st_mtime_ns)
        assert len(seen) <= 2000 * PIECE / FLUSH_BYTES + 1
    assert len(on_disk(tmp_path)) == 2000


def test_a_failure_in_the_run_still_writes_down_what_arrived(uploads: UploadRecords, tmp_path: Path) -> None:
    def fail() -> None:
        with uploads.claim("canvas", PATH) as record:
            record.begin("id", SIZE, PIECE, PART)
            record.acknowledge(0, digest(0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert on_disk(tmp_path) == {0}


def test_many_threads_acknowledge_at_once(uploads: UploadRecords, tmp_path: Path) -> None:
    with uploads.claim("canvas", PATH) as record:
        record.begin("id", 400 * PIECE, PIECE, PART)

        def acknowledge(first: int) -> None:
            for index in range(first, 400, 4):
                record.acknowledge(index, digest(index))

        threads = [threading.Thread(target=acknowledge, args=(first,)) for first in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(record.chunks) == 400
    assert on_disk(tmp_path) == set(range(400))


def test_a_finished_transfer_leaves_nothing_behind(uploads: UploadRecords, tmp_path: Path) -> None:
    with uploads.claim("canvas", PATH) as record:
        record.begin("id", SIZE, PIECE, PART)
        record.acknowledge(0, digest(0))
        record.remove()
        record.acknowledge(1, digest(1))
        record.flush()
    assert {path.name for path in (tmp_path / "journal").iterdir()} <= {"gate.lock"}


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX's")
def test_only_the_owner_can_look_into_the_journals(uploads: UploadRecords, tmp_path: Path) -> None:
    with uploads.claim("canvas", PATH) as record:
        record.begin("id", SIZE, PIECE, PART)
    assert stat.S_IMODE((tmp_path / "journal").stat().st_mode) == 0o700
    assert stat.S_IMODE(record_file(tmp_path).stat().st_mode) == 0o600


def test_one_path_is_claimed_by_one_run_only(uploads: UploadRecords, tmp_path: Path) -> None:
    with (
        uploads.claim("canvas", PATH),
        pytest.raises(Busy, match="日本 語") as caught,
        UploadRecords(tmp_path / "journal").claim("canvas", PATH),
    ):
        pass
    assert caught.value.remedy
    with uploads.claim("canvas", PATH):
        pass


_HOLDER = """
import sys
from pathlib import Path
from uploader.state.uploads import UploadRecords
with UploadRecords(Path(sys.argv[1])).claim("canvas", sys.argv[2]) as record:
    record.begin("id", 1000, 100, "part")
    for index in range(4):
        record.acknowledge(index, "0" * 64)
    record.flush()
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_killed_run_lets_go_of_its_claim_and_leaves_its_journal(uploads: UploadRecords, tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path / "journal"), PATH],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
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


_RUSH = """
import sys
from pathlib import Path
from uploader.errors import Busy
from uploader.state.uploads import UploadRecords
folder = Path(sys.argv[1])
uploads = UploadRecords(folder)
done = 0
while done < 30:
    try:
        with uploads.claim("canvas", "path"):
            with open(folder / "inside", "x"):
                pass
            (folder / "inside").unlink()
            done += 1
    except Busy:
        pass
"""


def test_runs_that_come_and_go_are_never_inside_together(tmp_path: Path) -> None:
    rush = [sys.executable, "-c", _RUSH, str(tmp_path)]
    runs = [subprocess.Popen(rush, cwd=Path(__file__).parents[3]) for _ in range(3)]
    assert [run.wait(60) for run in runs] == [0, 0, 0]


_CUT = """
import os, sys
from pathlib import Path
from uploader.state.uploads import UploadRecords
os.fsync = lambda descriptor: os._exit(9)  # the process dies in the midst of a write
with UploadRecords(Path(sys.argv[1])).claim("canvas", sys.argv[2]) as record:
    record.begin("id", 100, 10, "part")
"""


def test_leftovers_of_a_write_that_was_cut_are_swept(uploads: UploadRecords, tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    with uploads.claim("pod", PATH) as record:
        record.begin("id", SIZE, PIECE, PART)
    other = record_file(tmp_path)
    cut = subprocess.run([sys.executable, "-c", _CUT, str(folder), PATH], cwd=Path(__file__).parents[3], check=False)
    assert cut.returncode == 9
    leftovers = [path for path in folder.iterdir() if path.suffix == ".tmp"]
    assert len(leftovers) == 1
    replace_text(other, other.read_text())
    with uploads.claim("canvas", PATH):
        assert [path for path in folder.iterdir() if path.suffix == ".tmp"] == []
    assert other.exists()


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    uploads = UploadRecords(tmp_path / "file" / "journal")
    with pytest.raises(ConfigurationError, match="cannot be written down") as caught, uploads.claim("canvas", PATH):
        pass
    assert "UPLOADER_HOME" in (caught.value.remedy or "")


def test_a_journal_that_cannot_be_written_is_said_and_tried_again_later(uploads: UploadRecords, tmp_path: Path) -> None:
    with uploads.claim("canvas", PATH) as record:
        record.begin("id", SIZE, PIECE, PART)
        record.acknowledge(0, digest(0))
        path = record_file(tmp_path)
        path.unlink()
        path.mkdir()
        with pytest.raises(ConfigurationError, match="cannot be written down"):
            record.flush()
        path.rmdir()
        record.flush()
        assert on_disk(tmp_path) == {0}


def test_the_first_failure_is_told_when_the_journal_fails_too(uploads: UploadRecords, tmp_path: Path) -> None:
    def fail() -> None:
        with uploads.claim("canvas", PATH) as record:
            record.begin("id", SIZE, PIECE, PART)
            record.acknowledge(0, digest(0))
            path = record_file(tmp_path)
            path.unlink()
            path.mkdir()
            raise NetworkError("cut")

    with pytest.raises(NetworkError, match="cut"):
        fail()


def test_many_paths_are_claimed_together_without_those_that_another_run_has(tmp_path: Path) -> None:
    ours, theirs = UploadRecords(tmp_path), UploadRecords(tmp_path)
    paths = [f"/m/{number}" for number in range(600)]
    with theirs.claim("t", paths[3]), ours.claim_all("t", [*paths, paths[0]]) as held:
        assert held == set(paths) - {paths[3]}
        with pytest.raises(Busy), theirs.claim("t", paths[0]):
            raise AssertionError
    assert list(tmp_path.glob("*.lock")) in ([], [tmp_path / "gate.lock"])
    with theirs.claim("t", paths[0]):
        pass
