"""`uploader push` of large files: killed on its way, over new SSH keys, in little memory."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path

import pytest

from tests.cli.program import Program
from tests.servers.models import write_sparse_safetensors
from tests.servers.openssh import OpenSSH, needs_sshd
from tests.until import until
from uploader.state.uploads import FLUSH_BYTES
from uploader.transfer.config import TransferConfig

CHUNK_BYTES = TransferConfig.chunk_bytes

MIB = 1 << 20
DREAM = "webui/models/Stable-diffusion/dream.safetensors"


pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _where_there_is_an_sshd() -> None:
    needs_sshd()
    if sys.platform == "win32":
        pytest.skip("no kill -9 there")


def prepared(program: Program, server: OpenSSH) -> None:
    server.make_folder(str(Path(DREAM).parent))
    program.save(server, "webui")


def peak_kib(pid: int) -> int:
    """Return the most memory (KiB) that a process had so far. wait4 would count the parent's memory as well."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return int(status.partition("VmHWM:")[2].split()[0]) if "VmHWM:" in status else 0


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_push_after_kill_resends_at_most_what_the_journal_loses(tmp_path: Path, program: Program) -> None:
    size, connections = 150 * MIB, 8
    model = program.home / "dream.safetensors"
    write_sparse_safetensors(model, size)
    with OpenSSH(tmp_path / "server") as server:
        prepared(program, server)
        folder = (server.home / DREAM).parent

        def arrived() -> int:
            """Return the bytes that the server has; holes take no blocks."""
            return sum(part.stat().st_blocks * 512 for part in folder.glob("*.part"))

        push = ("push", str(model), "--connections", str(connections), "--json")
        with program.start(*push, "--limit", "120M") as process:
            until(lambda: arrived() >= 0.8 * size or process.poll() is not None, "four fifths on the server")
            assert process.poll() is None, process.communicate()
            process.kill()
        assert not (server.home / DREAM).exists()
        server.kill_sessions()
        there = arrived()
        (outcome,) = program.run(*push).document["outcomes"]
        assert outcome["status"] == "placed"
        assert outcome["bytes_sent"] == size - outcome["resumed_from"]
        again = there - outcome["resumed_from"]
        assert again <= 2 * FLUSH_BYTES + connections * CHUNK_BYTES
        assert sha256(server.home / DREAM) == sha256(model)


def test_push_of_3_gib_over_new_keys_needs_little_memory(tmp_path: Path, program: Program) -> None:
    """A smaller file meets neither several new keys nor the memory of a whole checkpoint."""
    size = 3 << 30
    model = program.home / "dream.safetensors"
    write_sparse_safetensors(model, size)
    with OpenSSH(tmp_path / "server", extra=("RekeyLimit 128M",)) as server:
        prepared(program, server)
        try:
            push = ("push", str(model), "--connections", "8", "--json", "--quiet")
            process = program.start(*push)
            peak = 0
            while process.poll() is None:
                peak = max(peak, peak_kib(process.pid))
                time.sleep(0.05)  # the system keeps the peak, and only while the process lives
            out, _ = process.communicate()
            (outcome,) = json.loads(out)["outcomes"]
            assert (process.returncode, outcome["status"], outcome["evidence"]) == (0, "placed", "remote-hash")
            assert outcome["bytes_sent"] == size
            assert outcome["sha256"] == sha256(server.home / DREAM)
            assert outcome["seconds"] < 90
            assert 20 * 1024 < peak <= 150 * 1024
        finally:
            for file in (server.home / DREAM).parent.iterdir():
                file.unlink()
            model.unlink()
