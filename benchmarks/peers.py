"""The programs to measure, each called as its users call it."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from abc import abstractmethod
from pathlib import Path
from typing import Protocol

from benchmarks.site import Site

_ASYNCSSH = """
import asyncio, sys, asyncssh
host, port, user, key, known, folder, *files = sys.argv[1:]
async def main():
    async with asyncssh.connect(host, int(port), username=user, client_keys=[key], known_hosts=known) as connection:
        async with connection.start_sftp_client() as sftp:
            await sftp.put(files, folder)
asyncio.run(main())
"""


class Peer(Protocol):
    """A program to measure. Each member returns a command, or None when the program cannot do it.

    `command` puts files into the site's folder. `many` puts a folder of small files there. `sync` puts the files of a
    folder that are missing there. `pull` gets the files of the site's folder.
    """

    name: str
    install: str

    @abstractmethod
    def missing(self) -> bool: ...

    @abstractmethod
    def version(self) -> str: ...

    @abstractmethod
    def command(self, site: Site, files: list[Path]) -> list[str]: ...

    def many(self, site: Site, folder: Path) -> list[str] | None:
        return self.command(site, sorted(folder.iterdir()))

    def sync(self, site: Site, folder: Path) -> list[str] | None:  # noqa: ARG002 - for those who have it
        return None

    def pull(self, site: Site, into: Path) -> list[str] | None:  # noqa: ARG002 - for those who have it
        return None

    def prepare(self, site: Site, state: Path) -> dict[str, str]:  # noqa: ARG002 - for those who save it
        """Do what a user does once, such as a login. Return the variables to add to the environment."""
        return {"HOME": str(state)}


class Uploader(Peer):
    name = "uploader"
    install = "this project"

    def __init__(self, *extra: str, name: str = "uploader", python: str = sys.executable) -> None:
        self.name = name
        self._extra = extra
        self._python = python

    def missing(self) -> bool:
        return not self._python

    def version(self) -> str:
        return _line([self._python, "-P", "-m", "uploader", "--version"])

    def prepare(self, site: Site, state: Path) -> dict[str, str]:
        environment = {"HOME": str(state), "UPLOADER_HOME": str(state / "uploader")}
        command = [self._python, "-P", "-m", "uploader", "login", "generic", "--name", "bench", "--webui", "a1111"]
        command += ["--host", site.host, "--port", str(site.port), "--user", site.user, "--root", str(site.root)]
        command += ["--identity-file", str(site.key), "--accept-new-host-key"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, **environment})
        return environment

    def command(self, site: Site, files: list[Path]) -> list[str]:  # noqa: ARG002 - the site is the saved target
        listed = [str(path) for path in files]
        return [
            self._python,
            "-P",
            "-m",
            "uploader",
            "push",
            *listed,
            "--to",
            "bench",
            "--quiet",
            "--json",
            *self._extra,
        ]

    def sync(self, site: Site, folder: Path) -> list[str]:
        into = str(site.folder.relative_to(site.root))
        return [
            *(self._python, "-P", "-m", "uploader", "sync", str(folder), "--to", "bench", "--into", into),
            *("--quiet", "--json", *self._extra),
        ]

    def pull(self, site: Site, into: Path) -> list[str]:
        folder = str(site.folder.relative_to(site.root))
        return [
            *(self._python, "-P", "-m", "uploader", "pull", folder, str(into), "--to", "bench"),
            *("--quiet", "--json", *self._extra),
        ]


class Sftp(Peer):
    name = "sftp"
    install = "apt install openssh-client"

    def missing(self) -> bool:
        return shutil.which("sftp") is None

    def version(self) -> str:
        return subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=True).stderr.strip()

    def command(self, site: Site, files: list[Path]) -> list[str]:
        return self._batch(site, [f"put {path} {site.folder}/" for path in files])

    def pull(self, site: Site, into: Path) -> list[str]:
        return self._batch(site, [f"get {site.folder}/* {into}/"])

    def _batch(self, site: Site, lines: list[str]) -> list[str]:
        batch = site.key.parent / "batch"
        batch.write_text("".join(f"{line}\n" for line in lines))
        return ["sftp", "-q", "-b", str(batch), "-P", str(site.port), *_ssh_options(site), f"{site.user}@{site.host}"]


class Rclone(Peer):
    name = "rclone"
    install = "apt install rclone"

    def missing(self) -> bool:
        return shutil.which("rclone") is None

    def version(self) -> str:
        return _line(["rclone", "version"])

    def command(self, site: Site, files: list[Path]) -> list[str]:
        return ["rclone", "copy", str(files[0]), f":sftp:{site.folder}", *self._where(site)]

    def many(self, site: Site, folder: Path) -> list[str]:
        return ["rclone", "copy", str(folder), f":sftp:{site.folder}", "--transfers", "16", *self._where(site)]

    def sync(self, site: Site, folder: Path) -> list[str]:
        return ["rclone", "sync", str(folder), f":sftp:{site.folder}", "--transfers", "16", *self._where(site)]

    def pull(self, site: Site, into: Path) -> list[str]:
        return ["rclone", "copy", f":sftp:{site.folder}", str(into), *self._where(site)]

    def _where(self, site: Site) -> list[str]:
        return [
            *("--sftp-host", site.host, "--sftp-port", str(site.port), "--sftp-user", site.user),
            *("--sftp-key-file", str(site.key), "--sftp-known-hosts-file", str(site.known_hosts)),
        ]


class Lftp(Peer):
    name = "lftp"
    install = "apt install lftp"

    def missing(self) -> bool:
        return shutil.which("lftp") is None

    def version(self) -> str:
        return _line(["lftp", "--version"])

    def command(self, site: Site, files: list[Path]) -> list[str]:
        return self._run(site, f"mput -O {site.folder} {' '.join(map(str, files))}")

    def many(self, site: Site, folder: Path) -> list[str]:
        return self._run(site, f"mirror -R -P 16 {folder} {site.folder}")

    def sync(self, site: Site, folder: Path) -> list[str]:
        return self.many(site, folder)

    def _run(self, site: Site, what: str) -> list[str]:
        program = " ".join(["ssh", "-a", "-x", *_ssh_options(site)])
        script = f'set sftp:connect-program "{program}"; set net:max-retries 2; '
        return ["lftp", "-c", f"{script} open -p {site.port} -u {site.user}, sftp://{site.host}; {what}"]


class Asyncssh(Peer):
    name = "asyncssh"
    install = "pip install asyncssh"

    def missing(self) -> bool:
        return importlib.util.find_spec("asyncssh") is None

    def version(self) -> str:
        return _line([sys.executable, "-c", "import asyncssh; print('asyncssh', asyncssh.__version__)"])

    def command(self, site: Site, files: list[Path]) -> list[str]:
        where = [site.host, str(site.port), site.user, str(site.key), str(site.known_hosts), str(site.folder)]
        return [sys.executable, "-c", _ASYNCSSH, *where, *(str(path) for path in files)]

    def many(self, site: Site, folder: Path) -> None:  # noqa: ARG002 - its put is one file after another
        return None


class Before(Uploader):
    """An earlier version of this program. $BEFORE_PYTHON is the Python of its environment."""

    install = "set $BEFORE_PYTHON to the python of a virtual environment that has it"

    def __init__(self) -> None:
        super().__init__(name="before", python=os.environ.get("BEFORE_PYTHON", ""))


PEERS: tuple[Peer, ...] = (Uploader(), Before(), Sftp(), Rclone(), Lftp(), Asyncssh())


def iperf(site: Site) -> float | None:
    """Return the practical limit of a link in received Mbit/s; None when iperf3 is not installed.

    It runs `iperf3 -P 8` for ten seconds, slow start included.
    """
    if shutil.which("iperf3") is None:
        return None
    server = subprocess.Popen([*site.prefix, "iperf3", "-s", "-1"], stdout=subprocess.DEVNULL)
    try:
        command = ["iperf3", "-c", site.host, "-P", "8", "-J"]
        for _ in range(20):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return float(json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"]) / 1e6
    finally:
        server.kill()
        server.wait()
    return None


def _ssh_options(site: Site) -> list[str]:
    return ["-i", str(site.key), "-o", f"UserKnownHostsFile={site.known_hosts}", "-o", "IdentitiesOnly=yes"]


def _line(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0].strip()
