"""Sync between a folder of this machine and a folder on real servers, with and without a shell."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.contract.test_living import Person, with_person
from tests.contract.world import CHECKPOINTS, LORAS, MIB, World, serve, world
from tests.servers.tcp_proxy import Proxy
from uploader.api import Plan, SyncRequest
from uploader.errors import NoSuchRoot, UsageError
from uploader.result import Report
from uploader.scan.filters import TRASH


def write(here: World, path: str, data: bytes, mtime: int = 1_700_000_000) -> Path:
    file = here.disk / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    os.utime(file, (mtime, mtime))
    return file


def sync(here: World, **options: Any) -> Report:
    report = here.app.sync(SyncRequest(str(here.disk), **{"into": "outputs", **options}))
    assert isinstance(report, Report)
    return report


def statuses(report: Report) -> dict[str | None, str]:
    return {outcome.path: outcome.status for outcome in report.outcomes}


def actions(here: World, **options: Any) -> dict[str, str]:
    plan = here.app.sync(SyncRequest(str(here.disk), dry_run=True, **{"into": "outputs", **options}))
    assert isinstance(plan, Plan)
    return {step.key: str(step.action) for step in plan.steps}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# every kind of server ---------------------------------------------------------------------------------


def test_sync_mirrors_a_tree_and_then_sends_nothing(every: tuple[str, World]) -> None:
    _, here = every
    for number in range(70):
        write(here, f"many/{number % 7}/{number} $(x).txt", b"%d" % number * 1000)
    write(here, "empty", b"")
    write(here, "夢/deep/er.bin", os.urandom(9 * MIB))
    assert set(actions(here).values()) == {"send"}
    assert not (here.root / "outputs").exists()
    report = sync(here)
    assert {outcome.status for outcome in report.outcomes} == {"placed"}, report.outcomes
    assert contents(here.root / "outputs") == contents(here.disk)
    assert {int(path.stat().st_mtime) for path in (here.root / "outputs").rglob("*") if path.is_file()} == {1700000000}
    again = sync(here)
    assert {outcome.status for outcome in again.outcomes} == {"kept"}
    assert sum(outcome.bytes_sent for outcome in again.outcomes) == 0
    assert set(actions(here, checksum=True).values()) == {"keep"}
    assert here.parts == []


def test_sync_sends_moves_and_deletes_what_changed(
    every: tuple[str, World],
) -> None:
    _, here = every
    write(here, "changes.txt", b"old")
    write(here, "moves.bin", os.urandom(5 * MIB))
    write(here, "goes.txt", b"bye")
    write(here, "stays.txt", b"stay")
    sync(here)
    write(here, "changes.txt", b"new", 1_700_000_500)
    (here.disk / "sub").mkdir()
    (here.disk / "moves.bin").rename(here.disk / "sub" / "moved.bin")
    (here.disk / "goes.txt").unlink()
    assert actions(here) == {"changes.txt": "replace", "sub/moved.bin": "move", "stays.txt": "keep"}
    report = sync(here, delete=True)
    assert statuses(report) == {
        "outputs/changes.txt": "placed",
        "outputs/goes.txt": "removed",
        "outputs/stays.txt": "kept",
        "outputs/sub/moved.bin": "placed",
    }
    assert contents(here.root / "outputs") == contents(here.disk)
    assert sum(outcome.bytes_sent for outcome in report.outcomes) == 3
    assert set(actions(here, delete=True).values()) == {"keep"}


def test_sync_copies_on_the_server_where_it_can(every: tuple[str, World]) -> None:
    kind, here = every
    write(here, "one/a.bin", os.urandom(5 * MIB))
    sync(here)
    write(here, "two/b.bin", (here.disk / "one/a.bin").read_bytes())
    (copied,) = [outcome for outcome in sync(here).outcomes if outcome.status == "placed"]
    assert contents(here.root / "outputs") == contents(here.disk)
    assert copied.bytes_sent == (5 * MIB if kind == "embedded" else 0)
    assert set(actions(here).values()) == {"keep"}


def test_sync_compares_what_is_there_and_sends_nothing(every: tuple[str, World]) -> None:
    _, here = every
    write(here, "a.txt", b"the same")
    write(here, "b.txt", b"another")
    (here.root / "outputs").mkdir(mode=0o777)
    (here.root / "outputs/a.txt").write_bytes(b"the same")
    (here.root / "outputs/b.txt").write_bytes(b"newer!!")
    os.chmod(here.root / "outputs", 0o777)  # noqa: PTH101 - the account's own
    for name in ("a.txt", "b.txt"):
        (here.root / "outputs" / name).chmod(0o666)
    report = sync(here)
    assert statuses(report) == {"outputs/a.txt": "kept", "outputs/b.txt": "failed"}
    assert report.exit_code == 1
    assert [outcome.error.code for outcome in report.outcomes if outcome.error] == ["exists"]
    assert (here.root / "outputs/b.txt").read_bytes() == b"newer!!"
    assert statuses(sync(here, replace=True))["outputs/b.txt"] == "placed"
    assert contents(here.root / "outputs") == contents(here.disk)


def test_sync_dated_option_sends_to_a_dated_folder(every: tuple[str, World]) -> None:
    _, here = every
    for name in ("a", "b", "c"):
        write(here, f"{name}.txt", name.encode())
    sync(here)
    (here.disk / "a.txt").unlink()
    assert statuses(sync(here, delete=True, trash=True))["outputs/a.txt"] == "removed"
    assert sorted(contents(here.root / "outputs")) == ["b.txt", "c.txt"]
    (kept,) = (here.root / TRASH).rglob("a.txt")
    assert kept.read_bytes() == b"a"
    assert kept.relative_to(here.root / TRASH).parts[1:] == ("outputs", "a.txt")


def test_sync_by_kind_sorts_models_into_their_folders(every: tuple[str, World]) -> None:
    _, here = every
    here.model("dream.safetensors", MIB)
    here.model("style.safetensors", preset="lora")
    write(here, "notes.txt", b"not a model")
    with pytest.raises(UsageError, match="are they to be sorted by kind"):
        sync(here, into=None)
    report = sync(here, into=None, by_kind=True)
    assert statuses(report) == {
        f"{CHECKPOINTS}/dream.safetensors": "placed",
        f"{LORAS}/style.safetensors": "placed",
    }
    assert [str(outcome.kind) for outcome in report.outcomes] == ["lora", "checkpoint"]
    assert set(actions(here, into=None, by_kind=True).values()) == {"keep"}


def test_sync_model_placed_by_push_is_not_sent(here: World) -> None:
    here.placed(here.model("dream.safetensors", 9 * MIB))
    assert set(actions(here, into=None, by_kind=True).values()) == {"keep"}
    (here.disk / "dream.safetensors").rename(here.disk / "renamed.safetensors")
    assert set(actions(here, into=None, by_kind=True).values()) == {"move"}


def test_sync_keeps_what_an_earlier_sync_or_push_placed(here: World) -> None:
    here.placed(here.model("dream.safetensors", MIB))
    write(here, "a.bin", b"a" * 100)
    sync(here, into="models/a")
    before = here.there
    for options in ({}, {"delete": True, "max_delete": 99}):
        assert {outcome.status for outcome in sync(here, into="models", **options).outcomes} <= {"placed", "kept"}
        assert before.items() <= here.there.items()


def test_sync_file_that_replaced_a_pushed_one_is_kept(here: World) -> None:
    here.placed(here.model("dream.safetensors", MIB))
    theirs = here.root / CHECKPOINTS / "dream.safetensors"
    theirs.write_bytes(b"x" * theirs.stat().st_size)
    os.utime(theirs, (1_800_000_000, 1_800_000_000))
    (here.disk / "dream.safetensors").unlink()
    write(here, "other.txt", b"x")
    sync(here, into=CHECKPOINTS, delete=True, max_delete=99)
    assert theirs.read_bytes()[:1] == b"x"


def test_sync_cut_connection_is_opened_again(tmp_path: Path) -> None:
    with serve(tmp_path / "server", "sftp_only") as server, Proxy(server.host, server.port) as line:
        here = world(tmp_path, server, line=line)
        write(here, "big.bin", os.urandom(24 * MIB))
        for number in range(40):
            write(here, f"small/{number}.txt", os.urandom(20_000))
        line.cut_after(3 * MIB)
        report = sync(here)
        assert {outcome.status for outcome in report.outcomes} == {"placed"}, report.outcomes
        assert contents(here.root / "outputs") == contents(here.disk)
        assert here.parts == []


@pytest.mark.parametrize("options", [{}, {"into": None, "by_kind": True}])
def test_sync_missing_root_is_refused(here: World, options: dict[str, Any]) -> None:
    here.model("dream.safetensors", MIB)
    for folder in sorted(here.root.rglob("*"), reverse=True):
        folder.rmdir()
    here.root.rmdir()
    with pytest.raises(NoSuchRoot):
        sync(here, **options)
    assert not here.root.exists()


def test_sync_many_models_without_option_is_refused(here: World) -> None:
    here.model("dream.safetensors", MIB)
    no, yes = Person(False), Person(True)
    with pytest.raises(UsageError, match="nothing was done"):
        with_person(here, no).sync(SyncRequest(str(here.disk)))
    assert here.there == {}
    assert "by what they are" in no.shown[-1]
    report = with_person(here, yes).sync(SyncRequest(str(here.disk)))
    assert isinstance(report, Report)
    assert statuses(report) == {f"{CHECKPOINTS}/dream.safetensors": "placed"}


@pytest.mark.parametrize(
    "options",
    [
        {"by_kind": True},
        {"into": "../elsewhere"},
        {"into": "a//b"},
        {"trash": True},
        {"max_delete": 5},
        {"dry_run": True, "watch": True},
    ],
)
def test_sync_contradicting_options_are_refused(here: World, options: dict[str, Any]) -> None:
    write(here, "a.txt", b"a")
    with pytest.raises(UsageError):
        here.app.sync(SyncRequest(str(here.disk), **{"into": "outputs", **options}))


def test_sync_uses_a_linked_folder_as_a_folder(tmp_path: Path) -> None:
    with serve(tmp_path / "server", "full") as server:
        here = world(tmp_path, server)
        (tmp_path / "large disk").mkdir()
        (here.root / "outputs").symlink_to(tmp_path / "large disk")
        (tmp_path / "larger disk").mkdir()
        (tmp_path / "large disk" / "sub").symlink_to(tmp_path / "larger disk")
        write(here, "a.txt", b"a")
        write(here, "sub/b.txt", b"b")
        assert {outcome.status for outcome in sync(here).outcomes} == {"placed"}
        assert (tmp_path / "larger disk/b.txt").read_bytes() == b"b"
        assert set(actions(here).values()) == {"keep"}
        (here.disk / "a.txt").unlink()
        sync(here, delete=True)
        assert list((tmp_path / "large disk").iterdir()) == [tmp_path / "large disk" / "sub"]


def test_sync_foreign_files_are_never_touched(every: tuple[str, World]) -> None:
    _, here = every
    write(here, "mine.txt", b"mine")
    for number in range(3):
        write(here, f"k{number}.txt", b"k")
    sync(here)
    theirs = here.root / "outputs" / "theirs.txt"
    theirs.write_bytes(b"theirs")
    (here.disk / "mine.txt").unlink()
    report = sync(here, delete=True)
    assert statuses(report)["outputs/mine.txt"] == "removed"
    assert theirs.read_bytes() == b"theirs"
