"""Downloads of `uploader push`: killed or interrupted half way, resumed, kept, listed and cleared."""

from __future__ import annotations

import re
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.cli.program import Program
from tests.servers.http_origin import Origin
from tests.servers.models import write_safetensors
from tests.servers.openssh import OpenSSH
from tests.until import until
from uploader.state.uploads import FLUSH_BYTES

SIZE = 40_000_000
LEAST = 24_000_000
LINK = "/large.safetensors"
PLACED = "home/data/models/Stable-diffusion/large.safetensors"


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to another process there")
@pytest.mark.timing
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_download_after_stop_resumes_and_is_kept(
    program: Program, box: OpenSSH, tmp_path: Path, how: signal.Signals
) -> None:
    model = tmp_path / "model"
    write_safetensors(model, "checkpoint", SIZE)
    with Origin() as origin:
        origin.serve(LINK, model, etag='"v1"')
        push = ("push", origin.url(LINK), "--via", "local", "--json")
        with program.start(*push, "--limit", "30M") as process:

            def arrived() -> bool:
                assert process.poll() is None, process.communicate()
                return _arrived(program) >= LEAST

            until(arrived, f"{LEAST} bytes in the cache")
            began = time.monotonic()
            process.send_signal(how)
            process.communicate(timeout=90)
            seconds = time.monotonic() - began
        if how is signal.SIGINT:
            assert process.returncode == 130
            assert seconds < 2
        (part,) = program.run("cache", "--json").document["cache"]
        assert part["state"] == "part"
        origin.forget()
        done = program.run(*push)
        assert done.code == 0, done.err
        assert (box.home / PLACED).read_bytes() == model.read_bytes()
        assert _fetched(origin) < SIZE - FLUSH_BYTES // 2
        origin.forget()
        (box.home / PLACED).unlink()
        assert program.run(*push).code == 0
        assert _fetched(origin) < 1_000_000
        (whole,) = program.run("cache", "--json").document["cache"]
        assert (whole["state"], whole["size"]) == ("whole", SIZE)
        assert program.run("cache", "clear").out == f"removed {whole['name']}\n"
        assert not list((program.home / "state" / "cache").iterdir())


def _arrived(program: Program) -> int:
    return sum(part.stat().st_blocks * 512 for part in (program.home / "state" / "cache").glob("*.part"))


def _fetched(origin: Origin) -> int:
    pairs = [re.findall(r"\d+", request.range or f"0-{SIZE - 1}") for request in origin.requests]
    return sum(int(last) + 1 - int(first) for first, last in pairs)
