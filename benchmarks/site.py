"""A real sshd to measure with: on loopback, or on a host of its own at the far end of a wide-area link."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_FAR, _NEAR = "10.88.0.2", "10.88.0.1"
_WAN = Path(__file__).resolve().parent.parent.parent / "shared" / "wan" / "wan"


@dataclass(frozen=True)
class Link:
    """A wide-area link. `rtt_ms` is the whole round trip. `loss` is in lost packets of a million."""

    rtt_ms: int
    mbit: int
    loss: int = 0

    def __str__(self) -> str:
        lost = f", {self.loss} ppm loss" if self.loss else ""
        return f"{self.rtt_ms} ms, {self.mbit} Mbit/s{lost}"


@dataclass(frozen=True)
class Site:
    """The server that a program sends to. `prefix` runs a command on the far host; it is empty on loopback."""

    host: str
    port: int
    user: str
    key: Path
    known_hosts: Path
    root: Path
    prefix: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """The checkpoint folder, which all files are sent to."""
        return self.root / "models" / "Stable-diffusion"

    def clear(self) -> None:
        """Empty the checkpoint folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)


def why_no_link() -> str | None:
    """Return why no wide-area link can be made here; None when one can."""
    if os.geteuid() != 0:
        return "a network namespace needs root"
    if not shutil.which("ip"):
        return "iproute2 is not installed (apt install iproute2)"
    if _netem() or _WAN.exists():
        return None
    return "this kernel has no tc netem, and the link emulator is not beside the checkout"


@contextmanager
def loopback(base: Path) -> Iterator[Site]:
    """Start an sshd on 127.0.0.1."""
    with _sshd(base, "127.0.0.1", ()) as site:
        yield site


@contextmanager
def on_far_host(link: Link, base: Path) -> Iterator[Site]:
    """Start an sshd on a host of its own, at the far end of the link."""
    with _netem_link(link) if _netem() else _wan_link(link) as prefix, _sshd(base, _FAR, prefix) as site:
        yield site


# links ------------------------------------------------------------------------------------------------


@contextmanager
def _wan_link(link: Link) -> Iterator[tuple[str, ...]]:
    for attempt in range(3):  # on a busy machine the network device may be late
        subprocess.run([_WAN, "down"], check=False, capture_output=True)
        command = [str(_WAN), "up", str(link.rtt_ms), str(link.mbit), str(link.loss)]
        if subprocess.run(command, check=attempt == 2).returncode == 0:
            break
    try:
        yield (str(_WAN), "exec")
    finally:
        subprocess.run([_WAN, "down"], check=False)


@contextmanager
def _netem_link(link: Link) -> Iterator[tuple[str, ...]]:
    """Make one network namespace for the far host. The programs run unchanged in the caller's namespace."""
    _ip("netns add farhost")
    try:
        _ip("link add wan0 type veth peer name wan1 netns farhost")
        _ip(f"addr add {_NEAR}/30 dev wan0")
        _ip("link set wan0 up")
        _ip(f"-n farhost addr add {_FAR}/30 dev wan1")
        _ip("-n farhost link set wan1 up")
        _ip("-n farhost link set lo up")
        shape = f"netem delay {link.rtt_ms / 2}ms rate {link.mbit}mbit limit 20000"
        if link.loss:
            shape += f" loss {link.loss / 10_000}%"
        subprocess.run(["tc", "qdisc", "add", "dev", "wan0", "root", *shape.split()], check=True)
        subprocess.run(
            ["ip", "netns", "exec", "farhost", "tc", "qdisc", "add", "dev", "wan1", "root", *shape.split()], check=True
        )
        yield ("ip", "netns", "exec", "farhost")
    finally:
        subprocess.run(["ip", "netns", "del", "farhost"], check=False)


def _netem() -> bool:
    """Return True if this kernel has netem. It is tried in a namespace that is removed at once."""
    if os.geteuid() != 0 or not shutil.which("tc") or not shutil.which("ip"):
        return False
    _ip("netns add netem-probe")
    try:
        command = "ip netns exec netem-probe tc qdisc add dev lo root netem delay 1ms"
        return subprocess.run(command.split(), check=False, capture_output=True).returncode == 0
    finally:
        _ip("netns del netem-probe")


def _ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True, capture_output=True)


# sshd -------------------------------------------------------------------------------------------------


@contextmanager
def _sshd(base: Path, host: str, prefix: tuple[str, ...]) -> Iterator[Site]:
    server = base / f"sshd-{host}-{time.monotonic_ns()}"
    root = server / "data"
    root.mkdir(parents=True)
    port = 2222 if prefix else _free_port()
    for name in ("host_key", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(server / name)], check=True)
    known_hosts = server / "known_hosts"
    known_hosts.write_text(f"[{host}]:{port} {(server / 'host_key.pub').read_text()}")
    (server / "config").write_text(
        f"Port {port}\nListenAddress {host}\nHostKey {server}/host_key\nAuthorizedKeysFile {server}/key.pub\n"
        "StrictModes no\nPermitRootLogin yes\nUsePAM no\nPidFile none\nSubsystem sftp internal-sftp\n"
        "MaxStartups 100\nMaxSessions 100\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    sshd = shutil.which("sshd") or "/usr/sbin/sshd"
    with (server / "log").open("wb") as log:
        process = subprocess.Popen([*prefix, sshd, "-D", "-e", "-f", str(server / "config")], stderr=log)
        try:
            _wait_until_open(host, port)
            yield Site(host, port, _user(), server / "key", known_hosts, root, prefix)
        finally:
            process.kill()
            process.wait()
            shutil.rmtree(root, ignore_errors=True)


def _user() -> str:
    return os.environ.get("USER", "root") if os.geteuid() else "root"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait_until_open(host: str, port: int) -> None:
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=2):
            return
        time.sleep(0.1)
    raise SystemExit(f"no sshd answers at {host}:{port}")
