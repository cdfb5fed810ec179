"""Pull: files fetched from real servers."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.contract.world import MIB, World, serve, sha256, world
from tests.servers.tcp_proxy import Proxy
from uploader.api import Plan, PullRequest
from uploader.commands.pull.run import Pull
from uploader.commands.pull.watch import watch_pull
from uploader.errors import Interrupted, RemoteMissing, UsageError
from uploader.result import Evidence, Report
from uploader.session.target import TargetSession

IMAGES = "outputs/txt2img-images/2026-11-24"


def put(here: World, path: str, data: bytes, mtime: int = 1_700_000_000) -> Path:
    """Write a file as the WebUI does."""
    file = here.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    file.chmod(0o644)
    os.utime(file, (mtime, mtime))
    return file


def pull(here: World, remote: str = "outputs", **options: Any) -> Report:
    report = here.app.pull(PullRequest(remote, str(here.disk / "got"), **options))
    assert isinstance(report, Report)
    return report


def statuses(report: Report) -> dict[str, str]:
    return {outcome.source: outcome.status for outcome in report.outcomes}


def got(here: World) -> dict[str, bytes]:
    folder = here.disk / "got"
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_pull_of_a_folder_fetches_all_and_then_nothing(every: tuple[str, World]) -> None:
    kind, here = every
    expected = {}
    for number in range(30):
        data = os.urandom(1000 * number)
        put(here, f"{IMAGES}/{number:05} $(x).png", data)
        expected[f"txt2img-images/2026-11-24/{number:05} $(x).png"] = data
    big = os.urandom(13 * MIB + 5)
    put(here, "outputs/big.safetensors", big)
    report = pull(here)
    assert {outcome.status for outcome in report.outcomes} == {"placed"}, report.outcomes
    assert got(here) == {**expected, "big.safetensors": big}
    evidence = {outcome.evidence for outcome in report.outcomes}
    assert evidence == ({Evidence.REMOTE_HASH} if kind == "full" else {Evidence.SIZE, Evidence.SAMPLES})
    assert {int(path.stat().st_mtime) for path in (here.disk / "got").rglob("*.png")} == {1_700_000_000}
    assert {outcome.status for outcome in pull(here).outcomes} == {"kept"}
    assert sum(outcome.bytes_sent for outcome in report.outcomes) == 0


def test_pull_of_a_path_fetches_one_file(every: tuple[str, World]) -> None:
    _, here = every
    put(here, "models/Lora/style.safetensors", b"x" * 5000)
    report = pull(here, "models/Lora/style.safetensors")
    assert statuses(report) == {"models/Lora/style.safetensors": "placed"}
    assert got(here) == {"style.safetensors": b"x" * 5000}


def test_pull_after_a_cut_resumes(tmp_path: Path) -> None:
    with serve(tmp_path / "server", "sftp_only") as server, Proxy(server.host, server.port) as line:
        here = world(tmp_path, server, line=line)
        data = os.urandom(40 * MIB)
        put(here, "outputs/big.bin", data)
        here.wait = lambda _seconds: True  # a stop at the first retry: the run ends
        line.cut_after(24 * MIB, "down")
        assert pull(here).exit_code != 0
        assert [name for name in got(here) if not name.endswith(".part")] == []
        here.wait = lambda _seconds: False
        (outcome,) = pull(here).outcomes
        assert outcome.status == "placed"
        assert outcome.resumed_from >= 4 * MIB
        assert sha256(here.disk / "got/big.bin") == sha256(here.root / "outputs/big.bin")
        assert list(got(here)) == ["big.bin"]


def test_pull_spares_other_local_files_without_replace(here: World) -> None:
    put(here, "outputs/a.png", b"theirs")
    put(here, "outputs/same.png", b"the same")
    (here.disk / "got").mkdir()
    (here.disk / "got/a.png").write_bytes(b"mine")
    (here.disk / "got/same.png").write_bytes(b"the same")
    report = pull(here)
    assert statuses(report) == {"outputs/a.png": "failed", "outputs/same.png": "kept"}
    assert [outcome.error.code for outcome in report.outcomes if outcome.error] == ["exists"]
    assert got(here)["a.png"] == b"mine"
    assert statuses(pull(here, replace=True))["outputs/a.png"] == "placed"
    put(here, "outputs/a.png", b"theirs, later", 1_700_009_000)
    assert statuses(pull(here))["outputs/a.png"] == "placed"
    assert got(here)["a.png"] == b"theirs, later"


@pytest.mark.parametrize("size", [10, 9 << 20])
def test_pull_spares_a_file_edited_during_the_download(here: World, size: int) -> None:
    put(here, "outputs/a.png", b"1" * size)
    pull(here)
    put(here, "outputs/a.png", b"2" * size, 1_700_009_000)
    session = here.app.session
    request = PullRequest("outputs", str(here.disk / "got"))
    with TargetSession(session, None) as target, Pull(request, session, target) as pulling:
        plan = pulling.plan()
        (here.disk / "got/a.png").write_bytes(b"edited here")
        report = pulling.carry_out(plan)
    assert statuses(report) == {"outputs/a.png": "failed"}
    assert got(here) == {"a.png": b"edited here"}


@pytest.mark.parametrize("size", [10, 9 << 20])
def test_pull_of_a_file_that_changes_fails_and_leaves_none(here: World, size: int) -> None:
    put(here, "outputs/a.png", b"1" * size)
    session = here.app.session
    request = PullRequest("outputs", str(here.disk / "got"))
    with TargetSession(session, None) as target, Pull(request, session, target) as pulling:
        plan = pulling.plan()
        put(here, "outputs/a.png", b"2" * (size - 1), 1_700_009_000)
        report = pulling.carry_out(plan)
    assert [outcome.error.code for outcome in report.outcomes if outcome.error] == ["source-changed"]
    assert got(here) == {}


def test_pull_follows_no_local_link_out_of_the_folder(here: World) -> None:
    put(here, "outputs/a.png", b"a")
    put(here, "outputs/sub/b.png", b"b")
    (here.disk / "got").mkdir()
    (here.disk / "got/a.png").symlink_to(here.disk / "nowhere")
    (here.disk / "away").mkdir()
    (here.disk / "got/sub").symlink_to(here.disk / "away")
    assert set(statuses(pull(here)).values()) == {"failed"}
    assert list((here.disk / "away").iterdir()) == []
    assert not (here.disk / "nowhere").exists()


def test_pull_new_only_leaves_out_files_fetched_before(here: World) -> None:
    put(here, "outputs/a.png", b"a")
    pull(here)
    (here.disk / "got/a.png").unlink()
    put(here, "outputs/b.png", b"b")
    assert statuses(pull(here, new_only=True)) == {"outputs/a.png": "kept", "outputs/b.png": "placed"}
    assert list(got(here)) == ["b.png"]
    pull(here)
    assert sorted(got(here)) == ["a.png", "b.png"]


def test_pull_dry_run_plans_what_filters_choose(here: World) -> None:
    for name in ("a.png", "a.txt", "grids/b.png"):
        put(here, f"outputs/{name}", b"x")
    plan = here.app.pull(
        PullRequest("outputs", str(here.disk / "got"), include=("*.png",), exclude=("grids/",), dry_run=True)
    )
    assert isinstance(plan, Plan)
    assert {step.key: str(step.action) for step in plan.steps} == {"a.png": "fetch"}
    assert not (here.disk / "got").exists()


def test_pull_of_a_path_out_of_the_root_is_refused(here: World) -> None:
    for path in ("../disk", "/etc/passwd", "outputs/../../x"):
        with pytest.raises(UsageError):
            pull(here, path)
    with pytest.raises(RemoteMissing):
        pull(here, "nothing")


def test_pull_watch_fetches_files_once_they_are_complete(here: World) -> None:
    put(here, "outputs/1.png", b"one")
    told: list[str] = []
    looks = 0

    def wait(seconds: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            put(here, "outputs/2.png", b"tw")
        if looks == 3:
            put(here, "outputs/2.png", b"two")
            assert not (here.disk / "got/2.png").exists()
        if looks == 6:
            raise KeyboardInterrupt

    request = PullRequest("outputs", str(here.disk / "got"), watch=True)
    with pytest.raises(Interrupted):
        watch_pull(
            request,
            here.app.session,
            lambda report: told.extend(f"{outcome.name} {outcome.status}" for outcome in report.outcomes),
            wait,
        )
    assert told == ["1.png placed", "2.png placed"]
    assert got(here) == {"1.png": b"one", "2.png": b"two"}
    assert threading.active_count() < 50
