"""What an OpenSSH server of the tests is made of: keys, sshd_config, a private mount namespace, and what it needs."""

from __future__ import annotations

import functools
import os
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Shape = Literal["full", "sftp_only", "chroot", "jump", "banner"]

ACCOUNT = "canvas"
ACCOUNT_ID = 61184
"""User and group of the account that exists in a mount namespace alone."""

_PRIVATE = Path("/mnt")  # root's own, unlike /tmp: sshd refuses a chroot below a folder that others may write to
_SFTP_SERVERS = ("/usr/lib/openssh", "/usr/libexec/openssh", "/usr/lib/ssh", "/usr/libexec")


@dataclass(frozen=True)
class Identity:
    """A private key on disk; its public half lies beside it. `passphrase` is empty when it is not encrypted."""

    path: Path
    passphrase: str = ""

    @property
    def public(self) -> Path:
        return self.path.with_name(self.path.name + ".pub")


@dataclass(frozen=True)
class Setup:
    """One server, as it is configured. `options` are lines of sshd_config that win over the shape's own."""

    base: Path
    shape: Shape
    options: tuple[str, ...]
    disk_mib: int | None
    banner: str

    @property
    def account(self) -> Path:
        """The login folder, outside of any namespace."""
        return self.base / "account"

    @property
    def namespace(self) -> bool:
        """Whether it needs mounts of its own."""
        return self.shape == "chroot" or self.disk_mib is not None


# what it needs ----------------------------------------------------------------------------------------


def sshd_path() -> str | None:
    """Where sshd is; it is seldom on a user's PATH."""
    return shutil.which("sshd", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin")))


def why_not(shape: Shape = "full", *, disk: bool = False) -> str | None:
    """Return the reason why this shape cannot run here; None when it can."""
    if sys.platform != "linux":
        return "the tests' sshd is run on Linux alone"
    if sshd_path() is None or shutil.which("ssh-keygen") is None:
        return "OpenSSH's server is not installed (Debian: apt install openssh-server)"
    if shape == "banner" and sftp_server() is None:
        return "OpenSSH's sftp-server is not installed (Debian: apt install openssh-sftp-server)"
    if shape != "chroot" and not disk:
        return None
    if os.getuid() != 0:
        return "an account or a disk of its own takes root"
    if shape == "chroot" and shutil.which("openssl") is None:
        return "the account's password takes openssl"
    return _why_no_namespace()


@functools.cache
def _why_no_namespace() -> str | None:
    unshare = shutil.which("unshare")
    if unshare is None:
        return "unshare is not installed (Debian: util-linux)"
    mount = [unshare, "--mount", "--propagation", "private", "mount", "-t", "tmpfs", "tests", str(_PRIVATE)]
    tried = subprocess.run(mount, capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"no mount namespace here: {tried.stderr.strip()}"


def sftp_server() -> str | None:
    """Where OpenSSH's sftp-server is."""
    return shutil.which("sftp-server", path=os.pathsep.join(_SFTP_SERVERS))


def this_user() -> str:
    """The name of the account that the tests run as."""
    import pwd  # is not there on Windows, where no shape runs

    return pwd.getpwuid(os.getuid()).pw_name


# keys -------------------------------------------------------------------------------------------------


def make_key(folder: Path, kind: str, passphrase: str = "", *, name: str | None = None) -> Identity:
    """Make a key pair: `ed25519`, `ecdsa` or `rsa`."""
    path = folder / (name or f"id_{kind}_{secrets.token_hex(4)}")
    size = ["-b", "2048"] if kind == "rsa" else []  # ten times as fast to make as ssh-keygen's own 3072
    subprocess.run(["ssh-keygen", "-q", "-t", kind, *size, "-N", passphrase, "-C", "tests", "-f", path], check=True)
    return Identity(path, passphrase)


def fingerprint(public: Path) -> str:
    """Return a public key's `SHA256:...`."""
    shown = subprocess.run(["ssh-keygen", "-l", "-f", public], check=True, capture_output=True, text=True)
    return shown.stdout.split()[1]


# sshd -------------------------------------------------------------------------------------------------


def free_port() -> int:
    """Find a port below those that outgoing connections take, so that a stopped server finds it free again."""
    for _ in range(200):
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as trial:
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port is free")


def configuration(setup: Setup, port: int) -> str:
    """Write sshd_config. sshd takes the first value of each key, hence the order."""
    base = setup.base
    keys = _PRIVATE / "authorized_keys" if setup.shape == "chroot" else base / "authorized_keys"
    lines = [
        *setup.options,
        *_shape_lines(setup),
        f"ListenAddress 127.0.0.1:{port}",
        f"HostKey {base / 'host_key'}",
        f"AuthorizedKeysFile {keys}",
        f"TrustedUserCAKeys {base / 'user_ca.pub'}",
        "PidFile none",
        "UsePAM no",
        "UseDNS no",
        "StrictModes no",
        "PermitRootLogin yes",
        f"PasswordAuthentication {'yes' if setup.shape == 'chroot' else 'no'}",
        "KbdInteractiveAuthentication no",
        "AllowTcpForwarding no",
        "X11Forwarding no",
        "PrintMotd no",
        "PrintLastLog no",
        "LogLevel VERBOSE",
    ]
    if _version() >= (9, 8):  # it would lock out the tests that fail on purpose
        lines.append("PerSourcePenalties no")
    return "\n".join(lines) + "\n"


def _shape_lines(setup: Setup) -> list[str]:
    home = setup.account
    match setup.shape:
        case "full":
            return [f"SetEnv HOME={home}", f"Subsystem sftp internal-sftp -d {home}"]
        case "banner":
            return [f"SetEnv HOME={home}", f"Subsystem sftp {_banner_command(setup)}"]
        case "sftp_only":
            return ["Subsystem sftp internal-sftp", f"ForceCommand internal-sftp -d {home}"]
        case "chroot":
            return [
                "Subsystem sftp internal-sftp",
                "ForceCommand internal-sftp",
                f"ChrootDirectory {_PRIVATE / 'account'}",
            ]
        case "jump":
            return ["AllowTcpForwarding yes", "ForceCommand /bin/false", "LogLevel DEBUG1"]


def _banner_command(setup: Setup) -> str:
    """sshd hands this to the user's shell. bash reads .bashrc before it; for another one the text is put in front."""
    import pwd

    serve = f"{sftp_server()} -d {setup.account}"
    if Path(pwd.getpwuid(os.getuid()).pw_shell).name == "bash":
        return serve
    return f"/bin/sh -c {shlex.quote(f'cat {setup.account}/.banner; exec {serve}')}"


@functools.cache
def _version() -> tuple[int, int]:
    told = subprocess.run([str(sshd_path()), "-V"], capture_output=True, text=True, check=False)
    _, _, rest = (told.stdout + told.stderr).partition("OpenSSH_")
    major, _, minor = rest.partition(".")
    digits = "".join(character for character in minor[:2] if character.isdigit())
    return (int(major), int(digits)) if major.isdigit() and digits else (0, 0)


def command(setup: Setup) -> list[str]:
    """The command that becomes sshd: its process keeps the number of the one that is started."""
    sshd = [str(sshd_path()), "-D", "-e", "-f", str(setup.base / "sshd_config")]
    if not setup.namespace:
        return sshd
    script = "\n".join(("set -e", *_mounts(setup), f"exec {shlex.join(sshd)}"))
    return ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", script]


def _mounts(setup: Setup) -> list[str]:
    account = shlex.quote(str(setup.account))
    mounts: list[str] = []
    if setup.disk_mib is not None:
        mounts.append(f"mount -t tmpfs -o size={setup.disk_mib}m,mode=755 tests {account}")
    if setup.shape == "chroot":
        keys = shlex.quote(str(setup.base / "authorized_keys"))
        mounts += [
            f"mount -t tmpfs -o mode=755 tests {_PRIVATE}",
            f"mkdir {_PRIVATE}/account",
            f"mount --bind {account} {_PRIVATE}/account",
            f"touch {_PRIVATE}/authorized_keys",
            f"mount --bind {keys} {_PRIVATE}/authorized_keys",
            *(f"mount --bind {shlex.quote(str(setup.base / name))} /etc/{name}" for name in _ACCOUNT_FILES),
        ]
    return mounts


_ACCOUNT_FILES = ("passwd", "group", "shadow")


def write_account_files(base: Path, password: str) -> None:
    """Write copies of /etc/passwd, group and shadow that know one account more."""
    hashed = subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"], input=password, capture_output=True, text=True, check=True
    ).stdout.strip()
    more = {
        "passwd": f"{ACCOUNT}:x:{ACCOUNT_ID}:{ACCOUNT_ID}::/:/usr/sbin/nologin",
        "group": f"{ACCOUNT}:x:{ACCOUNT_ID}:",
        "shadow": f"{ACCOUNT}:{hashed}:19000:0:99999:7:::",
    }
    for name, line in more.items():
        (base / name).write_text(Path("/etc", name).read_text().rstrip("\n") + f"\n{line}\n")
        (base / name).chmod(0o600 if name == "shadow" else 0o644)
