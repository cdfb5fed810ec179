"""`uploader push`: killed, interrupted, cut off, and with names that a shell would stumble over."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT
from tests.cli.program import Program
from tests.servers.http_origin import Origin
from tests.servers.models import safetensors, write_safetensors
from tests.servers.openssh import OpenSSH
from tests.state_rows import rows
from tests.until import until

FOLDER = f"{ROOT}/models/Stable-diffusion"
LARGE = 64_000_000


@pytest.fixture
def large(program: Program) -> Path:
    path = program.home / "large.safetensors"
    write_safetensors(path, "checkpoint", LARGE)
    return path


@contextmanager
def under_way(program: Program, box: OpenSSH, large: Path, least: int) -> Iterator[subprocess.Popen[bytes]]:
    """Start a push, and wait until at least `least` bytes are on the server."""
    with program.start("push", str(large), "--limit", "40M", "--json") as process:
        folder = box.home / FOLDER

        def arrived() -> bool:
            assert process.poll() is None, process.communicate()
            return sum(part.stat().st_size for part in folder.glob("*.part")) >= least

        until(arrived, f"{least} bytes on the server")
        yield process


def test_push_places_proven_bytes_and_the_next_sends_nothing(program: Program, box: OpenSSH, model: Path) -> None:
    first = program.run_process("push", str(model), "--json")
    assert first.code == 0, first.err
    outcome = first.document["outcomes"][0]
    assert (outcome["status"], outcome["evidence"]) == ("placed", "remote-hash")
    assert outcome["bytes_sent"] == model.stat().st_size
    assert (box.home / FOLDER / model.name).read_bytes() == model.read_bytes()
    again = program.run("push", str(model), "--json").document["outcomes"][0]
    assert (again["status"], again["bytes_sent"]) == ("kept", 0)


def test_push_after_kill_resumes(program: Program, box: OpenSSH, large: Path) -> None:
    with under_way(program, box, large, 40_000_000) as process:
        process.kill()
    folder = box.home / FOLDER
    assert not (folder / large.name).exists()
    second = program.run("push", str(large), "--json")
    assert second.code == 0, second.err
    outcome = second.document["outcomes"][0]
    assert outcome["resumed_from"] > 0
    assert outcome["resumed_from"] + outcome["bytes_sent"] == LARGE
    assert (folder / large.name).read_bytes() == large.read_bytes()
    assert [path.name for path in folder.iterdir()] == [large.name]
    assert rows(program.home / "state", "upload") == []


@pytest.mark.timing
def test_push_ctrl_c_ends_in_two_seconds_and_says_how_to_resume(program: Program, box: OpenSSH, large: Path) -> None:
    with under_way(program, box, large, 20_000_000) as process:
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=90)
        seconds = time.monotonic() - began
    assert process.returncode == 130
    assert seconds < 2
    assert b"same command again" in err
    assert b'"interrupted"' in out
    assert b"Traceback" not in err
    assert not (box.home / FOLDER / large.name).exists()
    resumed = program.run("push", str(large), "--json").document["outcomes"][0]
    assert resumed["resumed_from"] > 0
    assert (box.home / FOLDER / large.name).read_bytes() == large.read_bytes()


def test_push_cut_connection_reconnects_unasked(program: Program, box: OpenSSH, large: Path) -> None:
    with under_way(program, box, large, 20_000_000) as process:
        assert box.kill_sessions()
        err = process.communicate(timeout=90)[1]
    assert process.returncode == 0, err
    assert b"trying again" in err
    assert (box.home / FOLDER / large.name).read_bytes() == large.read_bytes()


def test_push_awkward_name_arrives_and_executes_nothing(program: Program, box: OpenSSH) -> None:
    names = (
        "two words.safetensors",
        'it\'s "quoted".safetensors',
        "$(touch pwned) `touch pwned`.safetensors",
        "-rf.safetensors",
        "日本語のモデル.safetensors",
        "a;b&c|d>e*f?.safetensors",
    )
    for seed, name in enumerate(names):
        (program.home / name).write_bytes(safetensors("lora", seed=seed))
    done = program.run("push", "--json", "--", *names)
    assert done.code == 0, done.err
    assert {outcome["evidence"] for outcome in done.document["outcomes"]} == {"remote-hash"}
    for name in names:
        assert (box.home / ROOT / "models/Lora" / name).read_bytes() == (program.home / name).read_bytes()
    assert not list(box.home.rglob("pwned"))
    assert not (program.home / "pwned").exists()


def test_push_chroot_with_password_reads_back(program: Program, chroot: OpenSSH, model: Path) -> None:
    password = chroot.password.reveal() if chroot.password else ""
    done = program.login(chroot, ROOT, "--accept-new-host-key", UPLOADER_PASSWORD=password)
    assert done.code == 0, done.err
    pushed = program.run("push", str(model), "--json", "-v", UPLOADER_PASSWORD=password)
    assert pushed.code == 0, pushed.err
    assert password not in pushed.err + pushed.out
    assert pushed.document["outcomes"][0]["evidence"] == "read-back"
    assert (chroot.home / FOLDER / model.name).read_bytes() == model.read_bytes()


def test_push_to_address_needs_no_saved_target(program: Program, full: OpenSSH, model: Path) -> None:
    ssh = program.home / ".ssh"
    ssh.mkdir()
    (ssh / "known_hosts").write_text(f"[{full.host}]:{full.port} {full.host_key}\n")
    (ssh / "config").write_text(f"Host *\n  IdentityFile {full.identity_file}\n")
    address = f"sftp://{full.user}@{full.host}:{full.port}/{full.home}/{ROOT}?webui=comfyui".replace(":/", ":/", 1)
    done = program.run("push", str(model), "--to", address, "--dry-run", "--json")
    assert done.code == 0, done.err
    assert done.document["plan"][0]["path"].endswith("home/data/models/checkpoints/model.safetensors")


def test_push_dry_run_changes_nothing(program: Program, box: OpenSSH, model: Path) -> None:
    before = sorted(box.home.rglob("*"))
    done = program.run("push", str(model), "--dry-run")
    assert done.code == 0, done.err
    assert "models/Stable-diffusion" in done.out
    assert sorted(box.home.rglob("*")) == before


def test_push_from_file_reports_every_fault_at_once(program: Program, box: OpenSSH) -> None:
    (program.home / "good.safetensors").write_bytes(safetensors("lora"))
    (program.home / "page.safetensors").write_bytes(b"<!DOCTYPE html><html><body>Sign in</body></html>")
    (program.home / "cut.safetensors").write_bytes(safetensors("checkpoint")[:-10])
    (program.home / "list.txt").write_text("# mine\n\ngood.safetensors\npage.safetensors\ncut.safetensors\nnone.bin\n")
    done = program.run("push", "--from-file", "list.txt", "--json")
    codes = {outcome["source"]: outcome["error"]["code"] for outcome in done.document["outcomes"]}
    assert codes == {"page.safetensors": "not-a-model", "cut.safetensors": "truncated", "none.bin": "source-missing"}
    assert done.code == 1
    assert not list(box.home.rglob("*.safetensors"))


def test_push_link_relays_and_hides_its_query(program: Program, box: OpenSSH) -> None:
    content = safetensors("lora", size_bytes=2_000_000)
    with Origin() as origin:
        origin.serve("/style.safetensors", content, etag='"v1"', cuts=[700_000])
        link = origin.url("/style.safetensors?token=hush-hush")
        done = program.run("push", link, "--via", "relay", "--json", "-v")
    assert done.code == 0, done.err
    assert "hush-hush" not in done.out + done.err
    assert done.document["outcomes"][0]["route"] == "relay"
    assert (box.home / ROOT / "models/Lora/style.safetensors").read_bytes() == content


def test_push_local_file_via_server_is_refused(program: Program, box: OpenSSH, model: Path) -> None:
    done = program.run("push", str(model), "--via", "server")
    assert done.code == 2
    assert "nothing that a server could download" in done.err
    assert not list(box.home.rglob("*.safetensors"))


def test_demo_shows_the_job_and_cleans_up(program: Program) -> None:
    done = program.run_process("demo", timeout=90, TMPDIR=str(program.home))
    assert done.code == 0, done.err
    assert "placed" in done.out
    assert "Stable-diffusion/" in done.out
    assert [path.name for path in program.home.iterdir()] == []


def test_demo_keep_leaves_its_folder(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uploader.demo.job._CHECKPOINT_BYTES", 4 << 20)
    done = program.run("demo", "--keep", "--quiet", TMPDIR=str(program.home))
    assert done.code == 0, done.err
    kept = next(program.home.glob("uploader-demo-*"))
    assert str(kept) in done.out
    assert list(kept.rglob("home/data/models/Lora/*.safetensors"))
