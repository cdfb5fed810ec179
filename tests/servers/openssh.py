"""Real OpenSSH servers on loopback, in the shapes that rented machines come in.

    needs_sshd("chroot")                                   # skips, or fails where CI is set
    with OpenSSH(tmp_path / "server", "chroot") as server:
        folder = server.make_folder("home/data/models")    # the account's own; seen from here as it is from there
        ... server.host, server.port, server.user, server.password, server.fingerprint ...
        server.kill_sessions()                             # the cable is cut

Shapes: `full` (this user, by key, with a shell), `sftp_only` (this user, by key, no shell), `chroot` (an account of
its own, by password or key, without a shell, locked into a folder that it cannot write to itself), `jump` (a bastion:
forwards, and nothing else), `banner` (as `full`, with a login script that prints a text into everything).
With `disk_mib` the account lives on a disk of that size, which is gone when the server stops.
The machine's own accounts are not touched: an account of its own exists in a private mount namespace alone.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.servers.openssh_setup import (
    ACCOUNT,
    ACCOUNT_ID,
    Identity,
    Setup,
    Shape,
    command,
    configuration,
    fingerprint,
    free_port,
    make_key,
    this_user,
    why_not,
    write_account_files,
)
from uploader.secret import Secret

__all__ = ["Identity", "OpenSSH", "Shape", "needs_sshd", "why_not"]


def needs_sshd(shape: Shape = "full", *, disk: bool = False) -> None:
    """Skip the test where this shape cannot run, with the reason; fails it where CI is set."""
    reason = why_not(shape, disk=disk)
    if reason is None:
        return
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


class OpenSSH:
    """One sshd and what belongs to it, below `base` (made if missing; no spaces in its path).

    `extra` are more lines for sshd_config, which win over the shape's own.
    """

    def __init__(
        self,
        base: Path,
        shape: Shape = "full",
        *,
        disk_mib: int | None = None,
        extra: Sequence[str] = (),
        max_auth_tries: int = 6,
        max_startups: str = "64:30:128",
        banner: str = "Welcome to the pod",
    ) -> None:
        options = (*extra, f"MaxAuthTries {max_auth_tries}", f"MaxStartups {max_startups}")
        base.mkdir(parents=True, exist_ok=True)
        self._setup = Setup(base.resolve(), shape, options, disk_mib, banner)
        self.base = self._setup.base
        self.host = "127.0.0.1"
        self.port = 0
        self.user = ACCOUNT if shape == "chroot" else this_user()
        self.password = Secret("correct horse battery") if shape == "chroot" else None
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._said = ""
        self._news = threading.Condition()
        self._prepare()

    # what tests ask -----------------------------------------------------------------------------------

    @property
    def home(self) -> Path:
        """The folder that a login starts in, as seen from here. On a small disk it is there only while sshd runs."""
        if self._setup.disk_mib is None:
            return self._setup.account
        return Path(f"/proc/{self.pid}/root{self._setup.account}")

    @property
    def remote_home(self) -> str:
        """The same folder, by the name it has for the account."""
        return "/" if self._setup.shape == "chroot" else str(self._setup.account)

    @property
    def pid(self) -> int:
        """The listening sshd's. Raises RuntimeError when it does not run."""
        if self._process is None:
            raise RuntimeError("this sshd does not run")
        return self._process.pid

    @property
    def identity_file(self) -> Path:
        """An ed25519 key that the account takes."""
        return self.base / "id_ed25519"

    @property
    def fingerprint(self) -> str:
        """The host key's, `SHA256:...`."""
        return fingerprint(self.base / "host_key.pub")

    @property
    def host_key(self) -> str:
        """The host key as in known_hosts: type and base64."""
        return " ".join((self.base / "host_key.pub").read_text().split()[:2])

    def identity(self, kind: str = "ed25519", *, passphrase: str = "", authorized: bool = True) -> Identity:
        """Make one more key: `ed25519`, `ecdsa` or `rsa`. Not `authorized`: the account does not know it."""
        identity = make_key(self.base, kind, passphrase)
        if authorized:
            self.authorize(identity.public.read_text())
        return identity

    def authorize(self, public_key: str) -> None:
        """Let one more public key in, such as another server's `identity_file`."""
        with (self.base / "authorized_keys").open("a") as keys:
            keys.write(public_key.rstrip("\n") + "\n")

    def certified_identity(self, kind: str = "ed25519") -> Identity:
        """Make a key that is known by its certificate alone; that lies beside it as `<name>-cert.pub`."""
        identity = self.identity(kind, authorized=False)
        authority, key = str(self.base / "user_ca"), str(identity.public)
        sign = ["ssh-keygen", "-q", "-s", authority, "-I", "tests", "-n", self.user, key]
        subprocess.run(sign, check=True, capture_output=True)
        return identity

    def make_folder(self, path: str) -> Path:
        """Make a folder below `home`, parents too, that the account may write to. Returns it as seen from here."""
        folder = self.home
        for part in Path(path).parts:
            folder = folder / part
            folder.mkdir(exist_ok=True)
            if self._setup.shape == "chroot":
                os.chown(folder, ACCOUNT_ID, ACCOUNT_ID)
        return folder

    def log(self) -> str:
        """All that sshd has said so far."""
        with self._news:
            return self._said

    def wait_for_log(self, text: str, timeout: float = 10) -> bool:
        """Wait (seconds) until the log holds `text`; false when it does not come."""
        with self._news:
            return self._news.wait_for(lambda: text in self._said, timeout)

    # its life -----------------------------------------------------------------------------------------

    def start(self, *, new_host_key: bool = False) -> None:
        """Begin to listen; after a `stop()` on the same port. Raises RuntimeError with the log when it cannot."""
        if new_host_key:
            self._make_host_key()
        if self._launched(self.port or free_port()):
            return
        if not self.port and any(self._launched(free_port()) for _ in range(5)):  # another process took the port
            return
        raise RuntimeError(f"sshd does not start:\n{self.log()}")

    def kill_sessions(self) -> int:
        """Kill the processes of every connection, so that each client sees its line end; returns how many."""
        victims = _descendants(self.pid)
        for victim in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        return len(victims)

    def freeze_sessions(self) -> int:
        """Stop the processes of every connection, so that nothing is read or answered; returns how many."""
        stopped = _descendants(self.pid)
        for process in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGSTOP)
        return len(stopped)

    def stop(self) -> None:
        """End sshd and every connection."""
        if self._process is None or self._reader is None:
            return
        self._process.send_signal(signal.SIGSTOP)  # no connection begins between looking and killing
        self.kill_sessions()
        self._process.kill()
        self._process.wait()
        self._reader.join()
        self._process = None

    def reset(self) -> None:
        """Make it as new for the next test: no connection, an empty account, one key that opens it, an empty log."""
        if self._process is None:
            self.start()
        self.kill_sessions()
        self._setup.account.chmod(0o755)
        for path in self._setup.account.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        (self.base / "authorized_keys").write_text(self.identity_file.with_suffix(".pub").read_text())
        with self._news:
            self._said = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # how ----------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        account, keys = self._setup.account, self.base / "authorized_keys"
        account.mkdir(exist_ok=True)
        account.chmod(0o755)
        self._make_host_key()
        make_key(self.base, "ed25519", name="user_ca")
        keys.write_text(make_key(self.base, "ed25519", name="id_ed25519").public.read_text())
        keys.chmod(0o644)
        if self._setup.shape == "banner":
            (account / ".bashrc").write_text(f"echo {shlex.quote(self._setup.banner)}\n")
            (account / ".banner").write_text(self._setup.banner + "\n")
        if self.password is not None:
            write_account_files(self.base, self.password.reveal())
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # what Debian's service does before it starts sshd

    def _make_host_key(self) -> None:
        for old in self.base.glob("host_key*"):
            old.unlink()
        make_key(self.base, "ed25519", name="host_key")

    def _launched(self, port: int) -> bool:
        """Start sshd and waits until it listens; false when it ended instead."""
        (self.base / "sshd_config").write_text(configuration(self._setup, port))
        before = self.log()
        process = subprocess.Popen(
            command(self._setup),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        ended = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(process, ended), name="sshd-log", daemon=True)
        self._reader.start()
        with self._news:
            self._news.wait_for(lambda: "Server listening" in self._said[len(before) :] or ended.is_set(), 30)
            listening = "Server listening" in self._said[len(before) :]
        if not listening:
            process.kill()
            process.wait()
            self._reader.join()
            return False
        self._process, self.port = process, port
        return True

    def _read(self, process: subprocess.Popen[bytes], ended: threading.Event) -> None:
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                with self._news:
                    self._said += line.decode(errors="replace")
                    self._news.notify_all()
        with self._news:
            ended.set()
            self._news.notify_all()


def _descendants(ancestor: int) -> list[int]:
    """Find the living processes below one, children first."""
    parents: dict[int, int] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = status.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                parents[int(status.parent.name)] = int(parent)
    found = [ancestor]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found[1:]
