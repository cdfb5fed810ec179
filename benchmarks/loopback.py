"""Compare one connection on loopback with OpenSSH's sftp: throughput, in pairs of runs, and peak memory.

    python -m benchmarks.loopback [--rounds 5] [--mib 1024] [--memory-mib 2048] [--connections 1]

Starts an sshd of its own. Prints MB/s of whole processes, their medians and the ratio. The times include start and
connecting. Only ours include the proof of the bytes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.servers.models import write_safetensors
from tests.servers.openssh import OpenSSH


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--memory-mib", type=int, default=2048)
    parser.add_argument("--connections", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        with OpenSSH(base / "server") as server:
            _run(server, base, options)


def _run(server: OpenSSH, base: Path, options: argparse.Namespace) -> None:
    model = base / "model.safetensors"
    write_safetensors(model, "checkpoint", options.mib << 20)
    folder = server.make_folder("data/models/Stable-diffusion")
    environment = {**os.environ, "UPLOADER_HOME": str(base / "state"), "HOME": str(base)}
    uploader = [sys.executable, "-m", "uploader"]
    login = [
        *("login", "generic", "--name", "bench", "--host", server.host, "--port", str(server.port)),
        *("--user", server.user, "--root", str(folder.parent.parent), "--webui", "a1111"),
        *("--identity-file", str(server.identity_file), "--accept-new-host-key"),
    ]
    subprocess.run([*uploader, *login], env=environment, check=True, stdout=subprocess.DEVNULL)
    push = [*uploader, "push", str(model), "--to", "bench", "--quiet", "--connections", str(options.connections)]
    batch = base / "batch"
    batch.write_text(f"put {model} {folder}/by-sftp.bin\n")
    sftp = [
        *("sftp", "-q", "-b", str(batch), "-P", str(server.port), "-i", str(server.identity_file)),
        *("-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={base / 'kh'}", f"{server.user}@{server.host}"),
    ]
    rates: dict[str, list[float]] = {"sftp put": [], "uploader push": []}
    for number in range(options.rounds):
        for name, command in (("sftp put", sftp), ("uploader push", push)):
            for old in folder.iterdir():
                old.unlink()
            began = time.monotonic()
            subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
            rates[name].append((options.mib << 20) / (time.monotonic() - began) / 1e6)
            print(f"round {number + 1}  {name:14} {rates[name][-1]:6.0f} MB/s", flush=True)
    ours, theirs = (statistics.median(rates[name]) for name in ("uploader push", "sftp put"))
    print(f"median: sftp put {theirs:.0f} MB/s, uploader push {ours:.0f} MB/s, ratio {ours / theirs:.2f}")
    if options.memory_mib:
        _memory(push, model, folder, options.memory_mib, environment)


def _memory(push: list[str], model: Path, folder: Path, mib: int, environment: dict[str, str]) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    write_safetensors(model, "checkpoint", mib << 20, seed=2)
    process = subprocess.Popen(push, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the push of {mib} MiB failed with {process.returncode}")
    print(f"peak memory with a file of {mib} MiB: {usage.ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
