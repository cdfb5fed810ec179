"""What was placed is remembered, across runs that end in between."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from uploader.errors import ConfigurationError
from uploader.state.database import Database
from uploader.state.manifest import Manifests, PlacedFile

A = PlacedFile(10, "aa", 1_700_000_000_000_000_001, 1_700_000_000, "/disk/a")


@pytest.fixture
def manifests(tmp_path: Path) -> Manifests:
    return Manifests(Database(tmp_path))


def test_record_reaches_the_next_run_and_no_other_target(manifests: Manifests) -> None:
    manifest = manifests.of("canvas")
    manifest.record("/root/a", A)
    manifest.flush()
    assert manifests.of("canvas").files == {"/root/a": A}
    assert manifests.of("canvas").get("/root/a") == A
    assert manifests.of("other").files == {}


def test_forget_drops_a_file_and_remove_a_whole_target(manifests: Manifests) -> None:
    manifest = manifests.of("canvas")
    manifest.record("/root/a", A)
    manifest.record("/root/b", A)
    manifest.forget("/root/a")
    manifest.flush()
    assert list(manifests.of("canvas").files) == ["/root/b"]
    manifests.remove("canvas")
    assert manifests.of("canvas").files == {}


def test_flush_of_two_runs_keeps_what_both_wrote(manifests: Manifests) -> None:
    one, two = manifests.of("canvas"), manifests.of("canvas")
    one.record("/root/a", A)
    two.record("/root/b", A)
    two.begin(["/root/c.part"], {})
    one.flush()
    two.flush()
    assert sorted(manifests.of("canvas").files) == ["/root/a", "/root/b"]
    assert manifests.of("canvas").begun == {"/root/c.part"}


def test_reload_adds_what_another_run_wrote(manifests: Manifests) -> None:
    one, two = manifests.of("canvas"), manifests.of("canvas")
    one.record("/root/a", A)
    two.record("/root/b", A)
    two.flush()
    one.reload()
    assert sorted(one.files) == ["/root/a", "/root/b"]


def test_record_is_written_about_once_a_second(tmp_path: Path) -> None:
    now = [0.0]
    manifests = Manifests(Database(tmp_path), clock=lambda: now[0])
    manifest = manifests.of("canvas")
    manifest.record("/root/a", A)
    assert manifests.of("canvas").files == {}
    now[0] = 2.0
    manifest.record("/root/b", A)
    assert len(manifests.of("canvas").files) == 2


def test_manifest_leaves_out_a_row_that_makes_no_sense(manifests: Manifests, tmp_path: Path) -> None:
    manifest = manifests.of("canvas")
    manifest.record("/root/a", A)
    manifest.record("/root/b", A)
    manifest.flush()
    Database(tmp_path).write(("UPDATE placed SET size = ? WHERE path = ?", [("large", "/root/a")]))
    assert manifests.of("canvas").files == {"/root/b": A}


def test_manifest_keeps_any_name_and_any_number_of_a_server(manifests: Manifests) -> None:
    path, huge = "/root/caf\udce9", PlacedFile(2**64, seen=2**64, origin="/disk/caf\udce9", placed=False)
    manifest = manifests.of("canvas")
    manifest.record(path, huge)
    manifest.flush()
    (known,) = manifests.of("canvas").files.values()
    assert (known.origin, known.placed) == (huge.origin, False)
    assert not known.is_still(huge.size, huge.seen)  # what does not fit is looked at again
    manifest.forget(path)
    manifest.flush()
    assert manifests.of("canvas").files == {}


def test_manifest_of_100_000_files_takes_seconds(manifests: Manifests) -> None:
    manifest = manifests.of("canvas")
    files = {f"/root/models/Lora/folder {number % 100}/model {number}.safetensors": A for number in range(100_000)}
    began = time.process_time()
    for path, known in files.items():
        manifest.record(path, known)
    manifest.flush()
    assert manifests.of("canvas").files == files
    assert time.process_time() - began < 10  # 2 s of computing where nothing else runs


def test_flush_to_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    manifest = Manifests(Database(tmp_path / "file")).of("canvas")
    manifest.record("/root/a", A)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        manifest.flush()


# a run that ended in between --------------------------------------------------------------------------


def test_settle_takes_an_intended_file_that_is_there_as_placed(manifests: Manifests) -> None:
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


def test_settle_of_old_and_new_that_look_alike_believes_neither(manifests: Manifests) -> None:
    manifest = manifests.of("canvas")
    new = PlacedFile(10, "bb", 1_700_000_000_000_000_002, 1_700_000_000, "/disk/a")
    manifest.record("/root/a", A)
    manifest.begin([], {"/root/a": new})
    manifest.settle("/root", {"/root/a": (10, 1_700_000_000)})
    known = manifest.get("/root/a")
    assert known is not None
    assert (known.placed, known.sha256, known.mtime_ns) == (True, None, None)


def test_record_ends_the_intention(manifests: Manifests) -> None:
    manifest = manifests.of("canvas")
    manifest.begin([], {"/root/a": A})
    manifest.record("/root/a", A)
    manifest.flush()
    assert dict(manifests.of("canvas").intended) == {}


@pytest.mark.parametrize(
    ("size", "mtime", "still"),
    [(10, 1_700_000_000, True), (10, None, True), (10, 1_700_000_001, False), (11, 1_700_000_000, False)],
)
def test_is_still_compares_size_and_time(size: int, mtime: int | None, still: bool) -> None:
    assert A.is_still(size, mtime) is still
