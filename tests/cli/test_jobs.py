"""Downloads by the server: interrupted, killed, detached; and `uploader jobs`."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT
from tests.cli.program import Program
from tests.servers.http_origin import Origin
from tests.servers.models import safetensors
from tests.servers.openssh import OpenSSH
from tests.servers.shells import needs
from tests.until import until

NAME = "linked.safetensors"
CONTENT = safetensors("checkpoint", size_bytes=2 << 20)
HALF = 1 << 20


@pytest.fixture
def box(box: OpenSSH) -> Iterator[OpenSSH]:
    needs("curl")
    yield box
    for process in downloads(box):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


class Stalled:
    """A source that stops half way until `go` is set."""

    def __init__(self, origin: Origin) -> None:
        self.go = threading.Event()
        self.resource = origin.serve(f"/{NAME}", CONTENT, etag='"v1"', gate=self.go, gate_at=HALF)
        self.link = origin.url(f"/{NAME}?token=hush-hush")

    def half_there(self, box: OpenSSH) -> None:
        until(lambda: any(part.stat().st_size for part in box.home.rglob("*.part")), "bytes on the server")


def downloads(box: OpenSSH) -> list[int]:
    """Return the processes that work in a job's folder of this server."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str((folder / "cwd").readlink()).startswith(f"{box.home}/.uploader"):
                found.append(int(folder.name))
    return found


def placed(box: OpenSSH) -> bytes:
    return (box.home / ROOT / "models/Stable-diffusion" / NAME).read_bytes()


def test_server_download_after_kill_is_joined(program: Program, box: OpenSSH, origin: Origin) -> None:
    stalled = Stalled(origin)
    with program.start("push", stalled.link, "--json") as process:
        stalled.half_there(box)
        process.kill()
    assert downloads(box)
    threading.Timer(1.0, stalled.go.set).start()
    second = program.run("push", stalled.link, "--json")
    assert second.code == 0, second.err
    outcome = second.document["outcomes"][0]
    assert (outcome["status"], outcome["route"], outcome["bytes_sent"]) == ("placed", "server", 0)
    assert outcome["resumed_from"] > 0
    assert placed(box) == CONTENT
    whole = [request for request in origin.requests if request.range is None]
    assert len(whole) == 1
    assert [path.name for path in box.home.iterdir()] == ["home"]
    assert downloads(box) == []


@pytest.mark.timing
def test_server_download_ctrl_c_ends_it_and_keeps_the_part(program: Program, box: OpenSSH, origin: Origin) -> None:
    stalled = Stalled(origin)
    with program.start("push", stalled.link, "--json") as process:
        stalled.half_there(box)
        until(lambda: downloads(box), "a download on the server")
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=90)
        seconds = time.monotonic() - began
    assert process.returncode == 130
    assert seconds < 2
    assert b"Traceback" not in err
    assert b"same command again" in err
    assert downloads(box) == []
    stalled.resource.gate = None
    stalled.go.set()
    second = program.run("push", stalled.link, "--json")
    assert second.document["outcomes"][0]["resumed_from"] > 0
    assert placed(box) == CONTENT
    rests = [asked.range for asked in origin.requests if asked.range and asked.range.endswith("-")]
    assert 0 < int(rests[-1].removeprefix("bytes=").removesuffix("-")) <= HALF


def test_server_download_detached_is_listed_awaited_and_placed(program: Program, box: OpenSSH, origin: Origin) -> None:
    stalled = Stalled(origin)
    assert program.run("jobs").err.startswith("No server downloads")
    done = program.run("push", stalled.link, "--detach", "--json")
    assert done.code == 0, done.err
    assert done.document["outcomes"][0]["status"] == "started"
    assert done.document["ok"] is True
    stalled.half_there(box)
    (job,) = program.run("jobs", "--json").document["jobs"]
    assert (job["state"], job["target"], job["name"], job["size"]) == ("running", "box", NAME, len(CONTENT))
    assert 0 < job["done"] < len(CONTENT)
    assert "hush" not in json.dumps(job)
    stalled.go.set()
    until(lambda: not downloads(box), "the end of the download on the server")
    shown = program.run("jobs")
    assert "finished" in shown.out
    assert "uploader jobs wait" in shown.out
    waited = program.run("jobs", "wait", job["job"], "--json")
    assert waited.code == 0, waited.err
    assert (waited.document["outcomes"][0]["status"], waited.document["outcomes"][0]["evidence"]) == (
        "placed",
        "structure",
    )
    assert placed(box) == CONTENT
    assert program.run("jobs", "--json").document == {"schema": 1, "jobs": []}
    assert [path.name for path in box.home.iterdir()] == ["home"]


def test_jobs_stopped_job_needs_its_link_and_cancels_cleanly(program: Program, box: OpenSSH, origin: Origin) -> None:
    stalled = Stalled(origin)
    program.run("push", stalled.link, "--detach")
    stalled.half_there(box)
    for process in downloads(box):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    (job,) = program.run("jobs", "--json").document["jobs"]
    assert job["state"] == "stopped"
    waited = program.run("jobs", "wait", job["job"])
    assert waited.code == 6
    assert "Push the same source again" in waited.err
    cancelled = program.run("jobs", "cancel", job["job"], "--json")
    assert cancelled.document == {"schema": 1, "ok": True, "cancelled": job["job"], "server_told": True}
    assert [path.name for path in box.home.iterdir()] == ["home"]
    assert not [path for path in box.home.rglob("*") if path.is_file()]


def test_jobs_of_a_dead_target_are_unknown(program: Program, box: OpenSSH, origin: Origin) -> None:
    stalled = Stalled(origin)
    program.run("push", stalled.link, "--detach")
    box.stop()
    (job,) = program.run("jobs", "--json").document["jobs"]
    assert job["state"] == "unknown"
    assert job["reason"]
    box.start()
    assert downloads(box)
    cancelled = program.run("jobs", "cancel", job["job"])
    assert "nothing of it is left there" in cancelled.out
    assert downloads(box) == []
    again = program.run("jobs", "cancel", job["job"])
    assert again.code == 2
    assert "there is no job" in again.err


def test_server_download_untrusted_certificate_falls_back(program: Program, box: OpenSSH) -> None:
    key, certificate = program.home / "key.pem", program.home / "cert.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*make, *names], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with Origin(context) as secure:
        secure.serve(f"/{NAME}", CONTENT, etag='"v1"')
        link = secure.url(f"/{NAME}", "localhost")
        done = program.run("push", link, "--via", "server", "--json", SSL_CERT_FILE=str(certificate))
        assert done.code == 4, done.err
        assert "certificate" in done.document["outcomes"][0]["error"]["message"]
        assert [path.name for path in box.home.iterdir()] == ["home"]
        assert not [path for path in box.home.rglob("*") if path.is_file()]
        done = program.run("push", link, "--json", SSL_CERT_FILE=str(certificate))
        assert done.document["outcomes"][0]["route"] == "relay"
        assert "by way of this machine instead" in done.err


@pytest.fixture
def both(program: Program, box: OpenSSH) -> OpenSSH:
    """Targets box and two, in the group both; one server, a root each."""
    second = box.make_folder("other/models")
    targets, hosts = program.home / "state" / "targets.toml", program.home / "state" / "known_hosts"
    text, pinned = targets.read_text(), hosts.read_text()
    other = text.replace("[targets.box]", "[targets.two]").replace(str(box.home / ROOT), str(second.parent))
    targets.write_text(f'{text}{other}\n[groups]\nboth = ["box", "two"]\n')
    hosts.write_text(pinned + pinned.replace("box", "two", 1))
    return box


def test_server_download_to_group_reaches_every_target(program: Program, both: OpenSSH, origin: Origin) -> None:
    origin.serve(f"/{NAME}", CONTENT, etag='"v1"')
    done = program.run("push", origin.url(f"/{NAME}"), "--to", "@both", "--json")
    assert done.code == 0, done.err
    assert [(one["target"], one["status"], one["route"]) for one in done.document["outcomes"]] == [
        ("box", "placed", "server"),
        ("two", "placed", "server"),
    ]


def test_server_download_ctrl_c_ends_it_on_every_target(program: Program, both: OpenSSH, origin: Origin) -> None:
    stalled = Stalled(origin)
    with program.start("push", stalled.link, "--to", "@both", "--json") as process:
        until(lambda: len([part for part in both.home.rglob("*.part") if part.stat().st_size]) == 2, "two part files")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=90)
    assert process.returncode == 130
    assert b"Traceback" not in err
    outcomes = json.loads(out)["outcomes"]
    assert [(one["target"], one["error"]["code"]) for one in outcomes] == [
        ("box", "interrupted"),
        ("two", "interrupted"),
    ]
    assert downloads(both) == []
    assert len(list(both.home.rglob("*.part"))) == 2
