"""Shells and tools that a rented machine may have: run here by themselves, or as the login shell of an account.

shell = LocalShell(home, ["busybox", "sh"])            # fulfils remote.interface.Shell without any server
OpenSSH(base, extra=[login_shell(base, ["fish"])])     # an account whose login shell is fish
OpenSSH(base, extra=[login_shell(base, ["bash"], path=tools(base, "curl"))])   # and what it finds there
"""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.servers.openssh_setup import sftp_server
from uploader.errors import RemoteRefused

_BASICS = ("sh", "cat", "ls", "mkdir", "rm", "rmdir", "mv", "sleep", "dd", "date", "df", "setsid", "sha256sum", "bash")
_START = 'IFS= read -r program && eval "$program"'


def needs(*programs: str) -> None:
    """Skip the test where one of these is not installed; fails it where CI is set."""
    missing = [name for name in programs if shutil.which(name) is None]
    if missing and os.environ.get("CI"):
        pytest.fail(f"{', '.join(missing)} is not installed")
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed")


@dataclass
class LocalShell:
    """Runs programs as a server would, in a process of this machine. `said` holds what they wrote on stderr;
    `environ` is what the account exports beside its home and its path."""

    home: Path
    sh: Sequence[str] = ("sh",)
    path: str = os.defpath
    said: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)

    def run(self, program: str, stdin: bytes = b"", *, silence_seconds: float = 30.0) -> str:
        done = subprocess.run(
            [*self.sh, "-c", _START],
            input=program.encode() + b"\n" + stdin,
            capture_output=True,
            env={**self.environ, "HOME": str(self.home), "PATH": self.path},
            timeout=silence_seconds,
            check=False,
        )
        self.said += done.stderr.decode(errors="replace")
        if done.returncode:
            raise RemoteRefused(f"status {done.returncode}")
        return done.stdout.decode()


def tools(base: Path, *more: str, busybox: bool = False) -> str:
    """Make a folder with the basic commands and those in `more`; with `busybox` the basic ones are its own."""
    folder = base / ("tools-busybox" if busybox else "tools")
    folder.mkdir(parents=True)
    for name in (*_BASICS, *more):
        there = shutil.which("busybox") if busybox and name in _BASICS and name != "bash" else shutil.which(name)
        if there is not None:
            (folder / name).symlink_to(there)
    return str(folder)


def login_shell(base: Path, shell: Sequence[str], *, path: str | None = None, banner: str = "") -> str:
    """Return the line of sshd_config by which every command runs as if this were the account's login shell.

    `banner` is what a login script prints into everything but SFTP."""
    base.mkdir(parents=True, exist_ok=True)
    script = base / "login-shell"
    script.write_text(
        "#!/bin/sh\n"
        f"case $SSH_ORIGINAL_COMMAND in internal-sftp*) exec {sftp_server()} -d {base}/account;; esac\n"
        + (f"printf %s {shlex.quote(banner)}\n" if banner else "")
        + (f"PATH={shlex.quote(path)}; export PATH\n" if path else "")
        + f'exec {shlex.join([shutil.which(shell[0]) or shell[0], *shell[1:]])} -c "$SSH_ORIGINAL_COMMAND"\n'
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return f"ForceCommand {script}"


def group(leader: int) -> list[str]:
    """The living processes of a group, by their numbers."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group = status.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(group) == leader and state != "Z":
            found.append(status.parent.name)
    return found
