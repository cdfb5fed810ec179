"""What was placed is remembered, by whoever places it, across runs that end in the middle."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from uploader.errors import ConfigurationError
from uploader.state.manifest import Manifests, PlacedFile

A = PlacedFile(10, "aa", 1_700_000_000_000_000_001, 1_700_000_000, "/disk/a")


@pytest.fixture
def manifests(tmp_path: Path) -> Manifests:
    return Manifests(tmp_path / "manifest")


def test_what_was_recorded_is_known_to_the_next_run_and_to_no_other_target(manifests: Manifests) -> None:
    manifest = manifests.of("canvas")
    manifest.record("/root/a", A)
    manifest.flush()
    assert manifests.of("canvas").files == {"/root/a": A}
    assert manifests.of("canvas").get("/root/a") == A
    assert manifests.of("other").files == {}


def test_what_is_gone_is_forgotten_and_a_whole_target_too(manifests: Manifests) -> None:
    manifest = manifests.of("canvas")
    manifest.record("/root/a", A)
    manifest.record("/root/b", A)
    manifest.forget("/root/a")
    manifest.flush()
    assert list(manifests.of("canvas").files) == ["/root/b"]
    manifests.remove("canvas")
    assert manifests.of("canvas").files == {}


def test_two_runs_at_once_lose_nothing_of_each_other(manifests: Manifests) -> None:
    one, two = manifests.of("canvas"), manifests.of("canvas")
    one.record("/root/a", A)
    two.record("/root/b", A)
    two.begin(["/root/c.part"], {})
    one.flush()
    two.flush()
    assert sorted(manifests.of("canvas").files) == ["/root/a", "/root/b"]
    assert manifests.of("canvas").begun == {"/root/c.part"}


def test_what_another_run_wrote_is_taken_up_beside_what_is_not_written_yet(manifests: Manifests) -> None:
    one, two = manifests.of("canvas"), manifests.of("canvas")
    one.record("/root/a", A)
    two.record("/root/b", A)
    two.flush()
    one.reload()
    assert sorted(one.files) == ["/root/a", "/root/b"]


def test_it_is_written_about_once_a_second_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    now = [0.0]
    manifests = Manifests(tmp_path / "manifest", clock=lambda: now[0])
    manifest = manifests.of("canvas")
    manifest.record("/root/a", A)
    assert manifests.of("canvas").files == {}
    now[0] = 2.0
    manifest.record("/root/b", A)
    assert len(manifests.of("canvas").files) == 2
    (file,) = (tmp_path / "manifest").glob("*.json")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2}', '{"version": 1, "target": "other", "files": {}}'])
def test_what_makes_no_sense_is_nothing(manifests: Manifests, tmp_path: Path, text: str) -> None:
    manifests.of("canvas").begin(["x"], {})
    (file,) = (tmp_path / "manifest").glob("*.json")
    file.write_text(text)
    assert manifests.of("canvas").files == {}
    assert manifests.of("canvas").begun == frozenset()


def test_an_entry_that_makes_no_sense_is_left_out(manifests: Manifests, tmp_path: Path) -> None:
    manifest = manifests.of("canvas")
    for name in "abcd":
        manifest.record(f"/root/{name}", A)
    manifest.flush()
    (file,) = (tmp_path / "manifest").glob("*.json")
    record = json.loads(file.read_text())
    record["files"] |= {"/root/a": 5, "/root/b": {"size": "10"}, "/root/c": {"size": 1, "unknown": 1}}
    file.write_text(json.dumps(record))
    assert manifests.of("canvas").files == {"/root/d": A}


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    manifest = Manifests(tmp_path / "file").of("canvas")
    manifest.record("/root/a", A)
    with pytest.raises(ConfigurationError, match="cannot be written down"):
        manifest.flush()


# a run that ended in the middle -----------------------------------------------------------------------


def test_what_was_to_be_placed_counts_as_placed_when_it_is_there(manifests: Manifests) -> None:
    manifests.of("canvas").begin(["/root/a.part"], {"/root/a": A, "/root/b": A, "/other/c": A})
    manifest = manifests.of("canvas")
    manifest.settle("/root", {"/root/a": (A.size, A.seen), "/root/b": (A.size, 5)})
    manifest.flush()
    manifest = manifests.of("canvas")
    assert manifest.files == {"/root/a": A}
    assert dict(manifest.intended) == {"/other/c": A}
    assert manifest.begun == {"/root/a.part"}
    manifest.end(["/root/a.part"])
    manifest.flush()
    assert manifests.of("canvas").begun == frozenset()


def test_where_old_and_new_look_alike_neither_is_believed(manifests: Manifests) -> None:
    manifest = manifests.of("canvas")
    new = PlacedFile(10, "bb", 1_700_000_000_000_000_002, 1_700_000_000, "/disk/a")
    manifest.record("/root/a", A)
    manifest.begin([], {"/root/a": new})
    manifest.settle("/root", {"/root/a": (10, 1_700_000_000)})
    known = manifest.get("/root/a")
    assert known is not None
    assert (known.placed, known.sha256, known.mtime_ns) == (True, None, None)


def test_what_is_recorded_is_intended_no_more(manifests: Manifests) -> None:
    manifest = manifests.of("canvas")
    manifest.begin([], {"/root/a": A})
    manifest.record("/root/a", A)
    manifest.flush()
    assert dict(manifests.of("canvas").intended) == {}


@pytest.mark.parametrize(
    ("size", "mtime", "still"),
    [(10, 1_700_000_000, True), (10, None, True), (10, 1_700_000_001, False), (11, 1_700_000_000, False)],
)
def test_a_file_is_the_one_that_was_known_by_size_and_time(size: int, mtime: int | None, still: bool) -> None:
    assert A.is_still(size, mtime) is still
