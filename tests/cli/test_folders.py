"""`uploader sync`, `pull`, `ls`, `df`, `rm` and `doctor`, over a real server."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import ROOT
from tests.cli.program import Program
from tests.servers.models import write_safetensors
from tests.servers.openssh import OpenSSH
from tests.until import until


@pytest.fixture
def disk(program: Program) -> Path:
    disk = program.home / "disk"
    disk.mkdir()
    for name in ("a.txt", "b.txt", "夢.txt"):
        (disk / name).write_text(name)
        os.utime(disk / name, (1_700_000_000, 1_700_000_000))
    return disk


def statuses(document: Any) -> dict[str, str]:
    assert document["schema"] == 1
    return {outcome["path"]: outcome["status"] for outcome in document["outcomes"]}


def test_sync_then_pull_brings_the_folder_back(program: Program, box: OpenSSH, disk: Path) -> None:
    plan = program.run("sync", str(disk), "--into", "notes", "--dry-run", "--json")
    assert {step["path"]: step["action"] for step in plan.document["plan"]} == {
        "notes/a.txt": "send",
        "notes/b.txt": "send",
        "notes/夢.txt": "send",
    }
    assert set(plan.document["plan"][0]) == {"source", "name", "kind", "action", "route", "path", "size", "reason"}
    done = program.run("sync", str(disk), "--into", "notes", "--json")
    assert done.code == 0, done.err
    assert set(statuses(done.document).values()) == {"placed"}
    again = program.run("sync", str(disk), "--into", "notes")
    assert (again.code, again.out) == (0, "3 kept\n")
    back = program.run("pull", "notes", str(program.home / "back"), "--json")
    assert back.code == 0, back.err
    assert {path.name: path.read_text() for path in (program.home / "back").iterdir()} == {
        name: name for name in ("a.txt", "b.txt", "夢.txt")
    }
    assert set(statuses(back.document).values()) == {"placed"}


def test_sync_delete_above_its_limit_is_refused(program: Program, box: OpenSSH, disk: Path) -> None:
    assert program.run("sync", str(disk), "--into", "notes").code == 0
    for name in ("a.txt", "b.txt"):
        (disk / name).unlink()
    refused = program.run("sync", str(disk), "--into", "notes", "--delete")
    assert refused.code == 1
    assert "more than half" in refused.err
    assert refused.err.count("more than half") == 1
    assert len(list((box.home / ROOT / "notes").iterdir())) == 3
    done = program.run("sync", str(disk), "--into", "notes", "--delete", "--max-delete", "2", "--json")
    assert sorted(statuses(done.document).values()) == ["kept", "removed", "removed"]
    assert program.run("sync", str(disk), "--into", "notes", "--trash").code == 2


def test_sync_heap_of_models_asks_for_by_kind(program: Program, box: OpenSSH, model: Path) -> None:
    heap = program.home / "heap"
    heap.mkdir()
    model.rename(heap / model.name)
    refused = program.run("sync", str(heap), "--json")
    assert refused.code == 2
    assert refused.document == {
        "schema": 1,
        "ok": False,
        "outcomes": [],
        "error": {
            "code": "usage",
            "message": f"{heap} holds models: are they to be sorted by kind?",
            "remedy": refused.document["error"]["remedy"],
        },
    }
    assert "--by-kind" in refused.document["error"]["remedy"]
    done = program.run("sync", str(heap), "--by-kind", "--json")
    assert statuses(done.document) == {"models/Stable-diffusion/model.safetensors": "placed"}
    assert done.document["outcomes"][0]["kind"] == "checkpoint"


def test_ls_df_rm_list_measure_and_remove_models(program: Program, box: OpenSSH, model: Path) -> None:
    write_safetensors(program.home / "style.safetensors", "lora", 2_000_000)
    assert program.run("push", str(model), str(program.home / "style.safetensors")).code == 0
    listed = program.run("ls", "--json").document
    assert listed["schema"] == 1
    assert [set(file) for file in listed["files"]] == [
        {"path", "name", "kind", "size", "mtime", "placed", "architecture"}
    ] * 2
    assert {file["name"]: (file["kind"], file["placed"]) for file in listed["files"]} == {
        "model.safetensors": ("checkpoint", True),
        "style.safetensors": ("lora", True),
    }
    table = program.run("ls", "lora").out
    assert "models/Lora/style.safetensors" in table
    assert "model.safetensors" not in table.replace("style.safetensors", "")
    assert program.run("ls", "box", "nonsense").code == 2
    use = program.run("df", "box", "--json").document
    assert use["kinds"] == {"checkpoint": 3_000_000, "lora": 2_000_000}
    assert 0 < use["free"] < use["total"]
    assert use["used"] == use["total"] - use["free"]
    assert "free of" in program.run("df").out
    asked = program.run("rm", "box", "style.safetensors")
    assert asked.code == 2
    assert "--yes" in asked.err
    gone = program.run("rm", "box", "style.safetensors", "--yes", "--json").document
    assert gone["removed"] == [{"path": "models/Lora/style.safetensors", "size": 2_000_000, "shares": []}]
    assert not (box.home / ROOT / "models/Lora/style.safetensors").exists()
    assert program.run("rm", "box", "../../x", "--yes").code == 2


def test_doctor_report_masks_who_and_where(program: Program, box: OpenSSH) -> None:
    done = program.run("doctor", "--json")
    assert done.code == 0, done.out
    assert done.document["ok"] is True
    assert {check["name"] for check in done.document["checks"]} >= {"port", "host key", "writing", "speed", "keyring"}
    report = program.run("doctor", "box", "--report").out
    assert report.startswith("uploader ")
    for private in (str(box.home), f":{box.port}", "SHA256:", "127.0.0.1", "box"):
        assert private not in report
    box.stop()
    down = program.run("doctor", "--json")
    assert down.code == 5
    failed = next(check for check in down.document["checks"] if check["state"] == "failed")
    assert (failed["name"], bool(failed["remedy"])) == ("port", True)


@pytest.mark.timing
def test_sync_watch_sends_new_files_until_ctrl_c(program: Program, box: OpenSSH, disk: Path) -> None:
    folder = box.home / ROOT / "notes"
    with program.start("sync", str(disk), "--into", "notes", "--watch", "--json", PYTHONUNBUFFERED="1") as process:
        try:
            assert process.stdout is not None
            lines = [json.loads(process.stdout.readline()) for _ in range(3)]
            assert {line["status"] for line in lines} == {"placed"}
            with (disk / "late.txt").open("w") as late:
                late.write("half of it,")
                late.flush()
                time.sleep(0.5)
                late.write("and the rest")
            line = json.loads(process.stdout.readline())
            assert (line["path"], line["status"]) == ("notes/late.txt", "placed")
            assert (folder / "late.txt").read_text() == "half of it,and the rest"
        finally:
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=90)
        assert time.monotonic() - began < 2
    assert process.returncode == 130, err
    assert b"Traceback" not in err
    assert b"stopped by you" in err
    assert out == b""


def test_sync_pull_dry_run_give_reasons_and_change_nothing(program: Program, box: OpenSSH, disk: Path) -> None:
    told = program.run("sync", str(disk), "--into", "notes", "--dry-run")
    assert told.code == 0
    assert "send     notes/a.txt (5 bytes)\n         it is not there yet" in told.out
    assert "Nothing was done. Without --dry-run 17 bytes would be sent." in told.err
    assert not (box.home / ROOT / "notes").exists()
    program.run("sync", str(disk), "--into", "notes")
    (box.home / ROOT / "notes" / "a.txt").write_text("newer")
    refused = program.run("sync", str(disk), "--into", "notes", "--dry-run")
    assert refused.code == 1
    assert "2 files there already" in refused.err
    assert "--replace" in refused.err
    (program.home / "back").mkdir()
    (program.home / "back" / "b.txt").write_text("mine")
    back = program.run("pull", "notes", str(program.home / "back"), "--dry-run")
    assert back.code == 1
    assert "a.txt → " in back.out
    assert "refuse   b.txt" in back.out
    assert [path.name for path in (program.home / "back").iterdir()] == ["b.txt"]


def test_sync_after_kill_knows_what_arrived(program: Program, box: OpenSSH, disk: Path) -> None:
    folder = box.home / ROOT / "notes"
    for number in range(600):
        (disk / f"{number:04}.txt").write_bytes(b"%d" % number * 50)
    with program.start("sync", str(disk), "--into", "notes", "--quiet") as process:

        def arrived() -> bool:
            assert process.poll() is None, process.communicate()
            return folder.exists() and len(list(folder.glob("*.txt"))) >= 100

        until(arrived, "100 files on the server")
        process.kill()
    for number in range(0, 600, 10):
        (disk / f"{number:04}.txt").unlink()
    done = program.run("sync", str(disk), "--into", "notes", "--delete", "--max-delete", "60", "--json")
    assert done.code == 0, done.err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        path.name: path.read_bytes() for path in disk.iterdir()
    }
    again = program.run("sync", str(disk), "--into", "notes", "--delete", "--dry-run", "--json")
    assert {step["action"] for step in again.document["plan"]} == {"keep"}
