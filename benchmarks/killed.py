"""Kill a push half way with SIGKILL and run it again, with three kinds of account on a real OpenSSH server.

    python -m benchmarks.killed [--mib 1024] [--connections 8]

Prints for each account how much the second run sent, how much was sent twice, and whether the server has the right
file. Fails when the bytes differ. Also fails when more than 32 MiB and one chunk for each connection were sent twice.
Needs root for the chrooted account.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.models import write_safetensors
from tests.servers.openssh import OpenSSH
from uploader.transfer.config import TransferConfig

_MOST_TWICE = 32 << 20


@dataclass(frozen=True)
class Shape:
    """One kind of account. `login` has the flags of `uploader login`, `secret` the variables of the environment."""

    name: str
    login: tuple[str, ...]
    secret: dict[str, str]
    folder: Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--connections", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        model = base / "model.safetensors"
        digest = write_safetensors(model, "checkpoint", options.mib << 20)
        results = [_try(shape, model, digest, base, options.connections) for shape in _shapes(base)]
    sys.exit(0 if all(results) else 1)


def _shapes(base: Path) -> Iterator[Shape]:
    for kind in (_full, _chroot, _jump):
        with kind(base) as shape:
            yield shape


@contextmanager
def _full(base: Path) -> Iterator[Shape]:
    with OpenSSH(base / "full") as server:
        root = server.make_folder("home/data/models/Stable-diffusion").parent.parent
        yield Shape("full account, key", (*_where(server, str(root)), *_key(server)), {}, root)


@contextmanager
def _chroot(base: Path) -> Iterator[Shape]:
    with OpenSSH(base / "chroot", "chroot") as server:
        root = server.make_folder("home/data/models/Stable-diffusion").parent.parent
        password = server.password.reveal() if server.password else ""
        yield Shape(
            "chrooted internal-sftp, password", _where(server, "home/data"), {"UPLOADER_PASSWORD": password}, root
        )


@contextmanager
def _jump(base: Path) -> Iterator[Shape]:
    with ExitStack() as stack:
        server = stack.enter_context(OpenSSH(base / "behind"))
        bastion = stack.enter_context(OpenSSH(base / "bastion", "jump"))
        bastion.authorize((server.identity_file.with_suffix(".pub")).read_text())
        root = server.make_folder("home/data/models/Stable-diffusion").parent.parent
        hop = ("--jump", f"{bastion.user}@{bastion.host}:{bastion.port}")
        yield Shape("key, jump host", (*_where(server, str(root)), *_key(server), *hop), {}, root)


def _where(server: OpenSSH, root: str) -> tuple[str, ...]:
    return ("--host", server.host, "--port", str(server.port), "--user", server.user, "--root", root)


def _key(server: OpenSSH) -> tuple[str, ...]:
    return ("--identity-file", str(server.identity_file))


def _try(shape: Shape, model: Path, digest: str, base: Path, connections: int) -> bool:
    home = base / f"state-{shape.folder.parent.parent.parent.name}"
    environment = {**os.environ, **shape.secret, "UPLOADER_HOME": str(home), "HOME": str(base)}
    uploader = [sys.executable, "-m", "uploader"]
    login = [
        *uploader,
        "login",
        "generic",
        "--name",
        "shape",
        "--webui",
        "a1111",
        "--accept-new-host-key",
        *shape.login,
    ]
    subprocess.run(login, env=environment, check=True, stdout=subprocess.DEVNULL)
    push = [*uploader, "push", str(model), "--to", "shape", "--json", "--quiet", "--connections", str(connections)]
    size = model.stat().st_size
    arrived = _kill_half_way(push, environment, shape.folder / "models" / "Stable-diffusion", size)
    began = time.monotonic()
    second = subprocess.run(push, env=environment, check=True, stdout=subprocess.PIPE)
    seconds = time.monotonic() - began
    outcome = json.loads(second.stdout)["outcomes"][0]
    twice = arrived + outcome["bytes_sent"] - size
    placed = shape.folder / "models" / "Stable-diffusion" / model.name
    with placed.open("rb") as file:
        same = hashlib.file_digest(file, "sha256").hexdigest() == digest
    print(
        f"{shape.name}: killed with {arrived:,} bytes on the server; second run sent {outcome['bytes_sent']:,} in "
        f"{seconds:.1f} s, resumed from {outcome['resumed_from']:,}, at most {max(0, twice):,} twice, "
        f"{outcome['evidence']}, sha256 {'identical' if same else 'DIFFERENT'}",
        flush=True,
    )
    return same and twice <= _MOST_TWICE + connections * TransferConfig.chunk_bytes and outcome["status"] == "placed"


def _kill_half_way(push: list[str], environment: dict[str, str], folder: Path, size: int) -> int:
    """Kill a push when half of it is on the server. Return how many bytes are there then."""
    process = subprocess.Popen(push, env=environment, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        part = next(iter(folder.glob("*.part")), None)
        if part is not None and part.stat().st_size >= size // 2:
            process.kill()
        time.sleep(0.005)
    parts = list(folder.glob("*.part"))
    if process.returncode != -9 or not parts:
        raise SystemExit("the push ended before it could be killed; use a larger --mib")
    return parts[0].stat().st_size


if __name__ == "__main__":
    main()
