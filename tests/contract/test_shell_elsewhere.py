"""An account whose shell sees other folders than its SFTP: nothing that the shell says of a file is believed."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.world import CHECKPOINTS, World, serve, sha256, world
from tests.servers.openssh import OpenSSH, needs_sshd
from tests.servers.openssh_setup import sftp_server
from uploader.api import PullRequest
from uploader.result import Evidence, Report

DREAM = f"{CHECKPOINTS}/dream.safetensors"


def split_views(base: Path) -> str:
    """Return the line of sshd_config by which `base/shell` lies over the account's folder for commands alone."""
    (base / "shell").mkdir(parents=True)
    script = base / "split"
    account = base / "server" / "account"
    script.write_text(
        "#!/bin/sh\n"
        f"case $SSH_ORIGINAL_COMMAND in internal-sftp*) exec {sftp_server()} -d {account};; esac\n"
        f'mount --bind {base / "shell"} {account} && exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"\n'
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return f"ForceCommand unshare --mount --propagation private {script}"


@pytest.fixture
def split(tmp_path: Path) -> Iterator[World]:
    needs_sshd("banner", disk=True)
    with OpenSSH(tmp_path / "server", extra=[split_views(tmp_path)]) as server:
        yield world(tmp_path, server)


def in_shell(split: World, path: Path) -> Path:
    """Return where the shell finds what SFTP finds at `path`."""
    account = split.disk.parent / "server" / "account"
    there = split.disk.parent / "shell" / path.relative_to(account)
    there.parent.mkdir(parents=True, exist_ok=True)
    return there


def test_push_of_what_the_shell_alone_has_sends_it(split: World) -> None:
    model = split.model()
    place = split.root / DREAM
    place.write_bytes(bytes(model.stat().st_size))
    shutil.copy(model, in_shell(split, place))
    outcome = split.one(model, replace=True)
    assert (outcome.status, outcome.evidence) == ("placed", Evidence.READ_BACK)
    assert sha256(place) == sha256(model)
    assert split.parts == []


def test_push_again_is_kept_by_reading_back(split: World) -> None:
    model = split.model()
    in_shell(split, split.root / DREAM).write_bytes(bytes(model.stat().st_size))
    assert split.placed(model).evidence is Evidence.READ_BACK
    assert (split.one(model).status, split.one(model).evidence) == ("kept", Evidence.READ_BACK)


def test_push_of_small_files_believes_no_such_shell(split: World) -> None:
    models = [split.model(f"small{number}.safetensors", size=70_000, preset="lora") for number in range(4)]
    for model in models:
        place = split.root / "models/Lora" / model.name
        place.write_bytes(bytes(model.stat().st_size))
        shutil.copy(model, in_shell(split, place))
    report = split.push(*models, replace=True)
    assert {(outcome.status, outcome.evidence) for outcome in report.outcomes} == {("placed", Evidence.READ_BACK)}
    assert split.parts == []


def test_pull_is_not_misled_by_the_shells_file(split: World) -> None:
    model, other = split.model(), split.model("other.safetensors")
    place = split.root / DREAM
    shutil.copy(model, place)
    shutil.copy(other, in_shell(split, place))
    back = split.app.pull(PullRequest(DREAM, str(split.disk / "back")))
    assert isinstance(back, Report)
    assert back.ok, back.outcomes
    assert sha256(split.disk / "back" / model.name) == sha256(model)


def test_pull_from_a_folder_that_takes_no_mark_is_proven(tmp_path: Path) -> None:
    needs_sshd("sftp_only")
    script = tmp_path / "read-only"
    script.write_text(
        "#!/bin/sh\n"
        f"case $SSH_ORIGINAL_COMMAND in internal-sftp*) exec {sftp_server()} -R -d {tmp_path}/server/account;; esac\n"
        'exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"\n'
    )
    script.chmod(0o755)
    with OpenSSH(tmp_path / "server", extra=[f"ForceCommand {script}"]) as server:
        here = world(tmp_path, server)
        shutil.copy(here.model(), here.root / DREAM)
        back = here.app.pull(PullRequest(DREAM, str(here.disk / "back")))
    assert isinstance(back, Report)
    assert [outcome.evidence for outcome in back.outcomes] == [Evidence.REMOTE_HASH]


def test_push_removes_marks_that_a_lost_run_left(tmp_path: Path) -> None:
    with serve(tmp_path / "server", "full") as server:
        here = world(tmp_path, server)
        here.placed(here.model("first.safetensors"))
        old, new = (here.root / CHECKPOINTS / f".uploader-{letter * 32}.{letter * 8}.part" for letter in "ab")
        for mark in (old, new):
            mark.touch()
        os.utime(old, (time.time() - 120,) * 2)
        here.placed(here.model("second.safetensors"))
        assert (old.exists(), new.exists()) == (False, True)
