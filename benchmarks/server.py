"""Check route `server` with a large file: a real sshd downloads from a throttled origin and is watched all the time.

    python -m benchmarks.server [--mib 1024] [--rate-mib 200]

With a full account it checks:

    this machine sends no payload
    a watcher finds neither the token nor the signed link; it reads the arguments and environment of every process, and
        every file of the server's home
    a second run after SIGKILL half way asks the origin for no byte twice

With an account without a shell: `auto` relays, and `--via server` is refused. Fails when one of these is not so.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.http_origin import Origin
from tests.servers.models import write_safetensors
from tests.servers.openssh import OpenSSH
from tests.servers.watcher import Watcher

_TOKEN, _SIGNATURE = "hush-hush", "squeamish-ossifrage"
_UPLOADER = (sys.executable, "-m", "uploader")


@dataclass(frozen=True)
class Account:
    """A run of this program with a target of its own. `link` is in a list file: other users can read arguments."""

    server: OpenSSH
    environment: dict[str, str]
    link: str

    @property
    def folder(self) -> Path:
        return self.server.home / "webui" / "models" / "Stable-diffusion"

    def command(self, *more: str) -> list[str]:
        return [*_UPLOADER, "push", "--from-file", "-", "--json", "--quiet", *more]

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            self.command(*more), env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdin is not None
        process.stdin.write(self.link.encode())
        process.stdin.close()
        process.stdin = None
        return process

    def push(self, *more: str) -> tuple[int, dict[str, Any]]:
        """Return the exit code and the one outcome."""
        process = self.start(*more)
        out, _ = process.communicate()
        outcome: dict[str, Any] = json.loads(out)["outcomes"][0]
        return process.returncode, outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rate-mib", type=int, default=200, help="what the origin gives, MiB a second")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Origin() as origin:
        base = Path(folder)
        model = base / "model.safetensors"
        digest = write_safetensors(model, "checkpoint", options.mib << 20)
        origin.serve("/store", model, etag='"v1"', pace=options.rate_mib << 20)
        origin.redirect("/model.safetensors", origin.url(f"/store?sig={_SIGNATURE}"))
        link = origin.url(f"/model.safetensors?token={_TOKEN}")
        with OpenSSH(base / "full") as server:
            full = _account(server, base / "full-state", link)
            good = [_whole(full, digest), _killed(full, origin, digest)]
        with OpenSSH(base / "bare", "sftp_only") as server:
            good.append(_without_shell(_account(server, base / "bare-state", link), digest))
    sys.exit(0 if all(good) else 1)


def _account(server: OpenSSH, state: Path, link: str) -> Account:
    server.make_folder("webui/models/Stable-diffusion")
    environment = {**os.environ, "UPLOADER_HOME": str(state), "HOME": str(state)}
    login = ("--name", "box", "--webui", "a1111", "--root", f"{server.home}/webui", "--accept-new-host-key")
    where = ("--host", server.host, "--port", str(server.port), "--user", server.user)
    key = ("--identity-file", str(server.identity_file))
    command = [*_UPLOADER, "login", "generic", *login, *where, *key]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return Account(server, environment, link)


def _whole(account: Account, digest: str) -> bool:
    with Watcher(account.server.home, [_TOKEN, _SIGNATURE]) as watcher:
        _, outcome = account.push("--sha256", digest)
    same = _sha256(account.folder / "model.safetensors") == digest
    left = sorted(path.name for path in account.server.home.iterdir())
    print(
        f"full account: {outcome['status']} by route {outcome['route']}, {outcome['bytes_sent']} bytes sent from here, "
        f"{outcome['evidence']}, {outcome['seconds']:.1f} s, sha256 {'identical' if same else 'DIFFERENT'}; "
        f"watched {watcher.rounds} times, seen: {watcher.found[:1] or 'nothing'}; left in the home: {left}",
        flush=True,
    )
    (account.folder / "model.safetensors").unlink()
    good = (outcome["status"], outcome["route"], outcome["bytes_sent"]) == ("placed", "server", 0)
    return good and same and watcher.rounds > 100 and not watcher.found and left == ["webui"]


def _killed(account: Account, origin: Origin, digest: str) -> bool:
    origin.forget()
    process = account.start("--sha256", digest)
    half = _half(account, process)
    process.kill()
    process.communicate()
    code, outcome = account.push("--sha256", digest)
    same = _sha256(account.folder / "model.safetensors") == digest
    # The requests of the server: those of this machine have the address of the project in their User-Agent.
    asked = [request.range for request in origin.requests if "+https" not in request.headers["user-agent"]]
    left = sorted(path.name for path in account.server.home.iterdir())
    print(
        f"killed with {half:,} bytes there and run again: {outcome['status']} ({code}), resumed from "
        f"{outcome['resumed_from']:,}, the server asked its source for {asked}, "
        f"sha256 {'identical' if same else 'DIFFERENT'}; left in the home: {left}",
        flush=True,
    )
    (account.folder / "model.safetensors").unlink()
    joined = asked.count(None) == 1
    return code == 0 and same and joined and outcome["resumed_from"] >= half and left == ["webui"]


def _half(account: Account, process: subprocess.Popen[bytes]) -> int:
    """Wait until the size is not zero. Return it in bytes."""
    while process.poll() is None:
        part = next(iter(account.folder.glob("*.part")), None)
        if part is not None and part.stat().st_size > 16 << 20:
            return part.stat().st_size
        time.sleep(0.005)
    raise SystemExit("the push ended before it could be killed; use a larger --mib")


def _without_shell(account: Account, digest: str) -> bool:
    refused, failed = account.push("--via", "server")
    code, outcome = account.push("--sha256", digest)
    print(
        f"without a shell: --via server ends with {refused}: {failed['error']['message']}; auto: "
        f"{outcome['status']} by route {outcome['route']}",
        flush=True,
    )
    return (refused, code, outcome["status"], outcome["route"]) == (2, 0, "placed", "relay")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    main()
