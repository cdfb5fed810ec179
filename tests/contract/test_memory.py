"""The memory that a push takes on this machine does not depend on the size of the file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.world import CHECKPOINTS, MIB, sha256, world
from tests.servers.openssh import OpenSSH, needs_sshd

ROOT = Path(__file__).parents[2]

_PUSH = r"""
import json, re, sys
from pathlib import Path
from uploader import api

base = Path(sys.argv[1])
session = api.Session(environ={}, state=base / "state", ssh_folder=base / "ssh")
(outcome,) = api.push(session, api.PushRequest((sys.argv[2],), connections=int(sys.argv[3]))).outcomes
# Not getrusage: its maximum is of the process that started this one, too.
peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])
print(json.dumps([outcome.status, outcome.evidence, outcome.bytes_sent, peak]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_push_memory_does_not_grow_with_the_file_size(tmp_path: Path) -> None:
    needs_sshd("full")
    with OpenSSH(tmp_path / "server", "full") as server:
        here = world(tmp_path, server)
        model = here.model("big.safetensors", 300 * MIB)
        run = subprocess.run(
            [sys.executable, "-c", _PUSH, str(tmp_path), str(model), "4"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        status, evidence, sent, peak_kib = json.loads(run.stdout)
        assert (status, evidence, sent) == ("placed", "remote-hash", 300 * MIB)
        assert peak_kib * 1024 < 150 * MIB
        assert sha256(here.root / CHECKPOINTS / "big.safetensors") == sha256(model)
