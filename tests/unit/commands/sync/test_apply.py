"""A file that changes between the plan of a sync and its steps stays as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.commands.sync.bench import NOON, ROOT, Bench
from uploader.result import Outcome

BIG = bytes(5 << 20)


@pytest.fixture
def here(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path, into="mine")
    for name in ("k1", "k2", "k3"):
        bench.write(name, name.encode())
    return bench


def between(here: Bench, path: str, **options: Any) -> dict[str, Outcome]:
    """Sync; another program writes to `path` after the plan was made."""
    with here.syncing(**options) as syncing:
        plan = syncing.plan()
        here.put(path, b"theirs", NOON + 77)
        return {outcome.path or "": outcome for outcome in syncing.carry_out(plan).outcomes}


@pytest.mark.parametrize("data", [b"small", BIG])
@pytest.mark.parametrize("options", [{}, {"delete": True}, {"delete": True, "trash": True}])
def test_sync_changed_file_is_neither_moved_nor_removed(here: Bench, data: bytes, options: dict[str, Any]) -> None:
    old = here.write("old", data)
    here.sync()
    old.unlink()
    if not options:
        here.write("new", data)
    between(here, "mine/old", **options)
    assert here.there["mine/old"] == b"theirs"


@pytest.mark.parametrize("data", [b"small", BIG])
def test_sync_changed_file_is_replaced_only_when_told(here: Bench, data: bytes) -> None:
    here.write("a", data)
    here.sync()
    here.write("a", data + b"!", NOON + 5)
    assert between(here, "mine/a")["mine/a"].status == "failed"
    assert here.there["mine/a"] == b"theirs"
    assert between(here, "mine/a", replace=True)["mine/a"].status == "placed"
    assert here.there["mine/a"] == data + b"!"


def test_sync_deletes_nothing_when_not_all_was_placed(here: Bench) -> None:
    gone = here.write("gone", b"gone")
    here.sync()
    gone.unlink()
    here.write("k1", b"changed", NOON + 5)
    told = between(here, "mine/k1", delete=True)
    assert told["mine/k1"].status == "failed"
    assert told["mine/gone"].error is not None
    assert "stays" in told["mine/gone"].error.message
    assert here.there["mine/gone"] == b"gone"


@pytest.mark.parametrize("theirs", ["mine/deep", "", "mine/deep/file"])
def test_sync_leaves_the_parts_of_another_run(here: Bench, theirs: str) -> None:
    here.write("deep/k4", b"k4")
    part = "mine/deep/file.0123abcd.part"
    here.put(part, b"half")
    with here.syncing() as syncing:
        syncing._manifest.begin([f"{ROOT}/{part}"], {})
        with syncing._session.uploads.claim("canvas", f"{ROOT}/{theirs}".rstrip("/")):
            here.sync()
            assert part in here.there
    here.sync()
    assert part not in here.there


def test_sync_leaves_parts_outside_of_its_folder(here: Bench) -> None:
    part = "other/file.0123abcd.part"
    here.put(part, b"half")
    with here.syncing() as syncing:
        syncing._manifest.begin([f"{ROOT}/{part}"], {})
    here.sync()
    assert part in here.there
