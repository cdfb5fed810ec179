"""~/.ssh/config: what the user told OpenSSH about a host holds for us too (ssh_config(5))."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from pathlib import Path

import paramiko

from uploader.errors import ConfigurationError


@dataclass(frozen=True)
class Address:
    """Where to dial and who to be. `identity_files` are named by the user, so only they are offered when
    `identities_only`; `jumps` are `user@host:port`, first hop first; `proxy_command` is run by the local shell."""

    host: str
    port: int
    user: str
    identity_files: tuple[Path, ...] = ()
    certificates: tuple[Path, ...] = ()
    identities_only: bool = False
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
    options = _read(path, alias)
    files = [identity_file] if identity_file else options.get("identityfile", [])
    jumps = jump or (options.get("proxyjump") or "")
    jumps = "" if jumps.lower() == "none" else jumps
    command = None if jump else options.get("proxycommand")
    return Address(
        host=options.get("hostname", alias),
        port=port or int(options.get("port", 22)),
        user=user or options.get("user") or getpass.getuser(),
        identity_files=tuple(Path(name).expanduser() for name in files if name.lower() != "none"),
        certificates=tuple(Path(name).expanduser() for name in options.get("certificatefile", [])),
        identities_only=bool(identity_file) or options.get("identitiesonly", "no").lower() == "yes",
        jumps=tuple(hop.strip() for hop in jumps.split(",") if hop.strip()),
        proxy_command=command if command and command.lower() != "none" else None,
    )


def parse_hop(hop: str) -> tuple[str, int | None, str | None]:
    """Splits `user@host:port`, as ProxyJump writes it, into host, port and user."""
    text = hop.removeprefix("ssh://")
    user, _, rest = text.rpartition("@")
    host, port = rest, ""
    if rest.startswith("["):
        host, _, port = rest[1:].partition("]")
        port = port.removeprefix(":")
    elif rest.count(":") == 1:
        host, _, port = rest.partition(":")
    if not host or (port and not (port.isdigit() and 0 < int(port) < 65536)):
        raise ConfigurationError(f"{hop!r} is not a jump host", remedy="Write it as user@host:port.")
    return host, int(port) if port else None, user or None


def _read(path: Path, alias: str) -> paramiko.SSHConfigDict:
    if not path.is_file():
        return paramiko.SSHConfigDict()
    try:
        return paramiko.SSHConfig.from_path(str(path)).lookup(alias)
    except (
        OSError,
        UnicodeDecodeError,
        ImportError,
        paramiko.ssh_exception.ConfigParseError,
        paramiko.ssh_exception.CouldNotCanonicalize,
    ) as error:
        raise ConfigurationError(
            f"{path} could not be read for {alias}: {error}",
            remedy="`ssh -G " + alias + "` shows how OpenSSH reads it.",
        ) from error
