"""~/.ssh/config: what the user told OpenSSH about a host holds for us too (ssh_config(5))."""

from __future__ import annotations

import getpass
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import paramiko

from uploader.errors import ConfigurationError


@dataclass(frozen=True)
class Address:
    """Where to dial and who to be. `identity_files` are named by the user, so only they are offered when
    `identities_only`; `own_key`: the one was given for this very target, so that it must be of use. `jumps` are
    `user@host:port`, first hop first; `proxy_command` is run by the local shell."""

    host: str
    port: int
    user: str
    identity_files: tuple[Path, ...] = ()
    certificates: tuple[Path, ...] = ()
    identities_only: bool = False
    own_key: bool = False
    jumps: tuple[str, ...] = ()
    proxy_command: str | None = None

    @property
    def known_as(self) -> str:
        """The form that known_hosts files use."""
        return self.host if self.port == 22 else f"[{self.host}]:{self.port}"


def look_up(
    alias: str,
    *,
    port: int | None = None,
    user: str | None = None,
    identity_file: str | None = None,
    jump: str | None = None,
    config: Path | None = None,
) -> Address:
    """Resolves a host as `ssh` does: what is given here wins over the file, the file over the defaults."""
    path = config or Path.home() / ".ssh" / "config"
    options = _read(path, alias, {"Port": str(port or ""), "User": user or ""})
    files = [identity_file] if identity_file else options.get("identityfile", [])
    jumps = jump or (options.get("proxyjump") or "")
    jumps = "" if jumps.lower() == "none" else jumps
    command = None if jump else options.get("proxycommand")
    certificate = options.get("certificatefile", "none")  # one: paramiko keeps the first
    return Address(
        host=options.get("hostname", alias),
        port=port or _port(options.get("port", "22"), path),
        user=user or options.get("user") or _own_name(),
        identity_files=tuple(Path(name).expanduser() for name in files if name.lower() != "none"),
        certificates=() if certificate.lower() == "none" else (Path(certificate).expanduser(),),
        identities_only=bool(identity_file) or options.get("identitiesonly", "no").lower() == "yes",
        own_key=bool(identity_file),
        jumps=tuple(hop.strip() for hop in jumps.split(",") if hop.strip()),
        proxy_command=command if command and command.lower() != "none" else None,
    )


def _port(text: str, path: Path) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise ConfigurationError(f"{path} has the Port {text!r}", remedy="A port is a number from 1 to 65535.")
    return int(text)


def _own_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:  # a container's account may have a number alone
        raise ConfigurationError(
            "this machine has no name for your account, and no user was given", remedy="Give one by --user."
        ) from error


def parse_hop(hop: str) -> tuple[str, int | None, str | None]:
    """Splits `user@host:port`, as ProxyJump writes it, into host, port and user."""
    text = hop.removeprefix("ssh://")
    user, _, rest = text.rpartition("@")
    match = re.fullmatch(r"\[([^\[\]]+)\](?::([0-9]+))?", rest) or re.fullmatch(r"([^:\[\]]+)(?::([0-9]+))?", rest)
    host, port = match.groups() if match else (rest if rest.count(":") > 1 and "[" not in rest else "", None)
    if not host or (port and not 0 < int(port) < 65536):
        raise ConfigurationError(f"{hop!r} is not a jump host", remedy="Write it as user@host:port.")
    return host, int(port) if port else None, user or None


def _read(path: Path, alias: str, given: Mapping[str, str]) -> paramiko.SSHConfigDict:
    """Looks a host up; what is given stands before the file, so that %p and %r mean it, too."""
    if not path.is_file():
        return paramiko.SSHConfigDict()
    first = [f"{key} {value}\n" for key, value in given.items() if value and value.isprintable()]
    try:
        return paramiko.SSHConfig.from_text("".join(first) + path.read_text("utf-8")).lookup(alias)
    except (
        OSError,
        ImportError,
        KeyError,  # CanonicalizeHostname without its domains
        ValueError,  # a number that is none
        paramiko.ssh_exception.ConfigParseError,
        paramiko.ssh_exception.CouldNotCanonicalize,
    ) as error:
        raise ConfigurationError(
            f"{path} could not be read for {alias}: {error}",
            remedy="`ssh -G " + alias + "` shows how OpenSSH reads it.",
        ) from error
