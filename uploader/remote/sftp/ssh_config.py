"""~/.ssh/config: what the user told OpenSSH about a host holds for us too (ssh_config(5))."""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from uploader.errors import ConfigurationError
from uploader.remote.sftp.ssh_config_reader import HostOptions, SshConfigReader, with_variables


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
    tell: Callable[[str], None] = lambda _text: None,
) -> Address:
    """Resolve a host as `ssh` does: what is given here wins over the file, the file over the defaults.

    `tell` is given a sentence for each block of the file that cannot be judged. Raises ConfigurationError.
    """
    path = config or Path.home() / ".ssh" / "config"
    options = HostOptions()
    for key, value in (("port", str(port or "")), ("user", user or ""), ("proxyjump", jump or "")):
        if value:
            options.keep(key, value)
    tokens = _Tokens(alias, options)
    if path.is_file():
        reader = SshConfigReader(
            alias, options, local_user=_local_user() or "", fill=tokens.fill, tell=tell, folder=path.parent
        )
        reader.read(path)
    files = [identity_file] if identity_file else options.many.get("identityfile", [])
    try:
        return Address(
            host=tokens.host,
            port=_port(options.get("port") or "22", path),
            user=options.get("user") or _own_name(),
            identity_files=() if _is_none(files) else _paths(files, tokens),
            certificates=_paths(options.many.get("certificatefile", []), tokens),
            identities_only=bool(identity_file) or _is_yes(options.get("identitiesonly")),
            own_key=bool(identity_file),
            jumps=_jumps(options, tokens),
            proxy_command=None if jump else _command(options, tokens),
        )
    except ValueError as error:
        raise ConfigurationError(
            f"{path} could not be used for {alias}: {error}", remedy=f"`ssh -G {alias}` shows how OpenSSH reads it."
        ) from error


class _Tokens:
    """The tokens of ssh_config(5), TOKENS, for one host; they follow what is read."""

    def __init__(self, alias: str, options: HostOptions) -> None:
        self._alias = alias
        self._options = options

    @property
    def host(self) -> str:
        name = self._options.get("hostname")
        return self._replaced(name, {"%": "%", "h": self._alias}) if name else self._alias

    def fill(self, text: str) -> str:
        """Return the text with its tokens filled in. Raises ValueError for a token that does not exist."""
        local = socket.gethostname()
        user = _local_user() or ""
        port, remote_user = self._options.get("port") or "22", self._options.get("user") or user
        jump = self._options.get("proxyjump") or ""
        hashed = f"{local}{self.host}{port}{remote_user}{jump}"
        return self._replaced(
            text,
            {
                "%": "%",
                "C": hashlib.sha1(hashed.encode(), usedforsecurity=False).hexdigest(),
                "d": str(Path.home()),
                "h": self.host,
                "i": str(os.getuid()) if hasattr(os, "getuid") else "",
                "j": jump,
                "k": self._options.get("hostkeyalias") or self._alias,
                "L": local.partition(".")[0],
                "l": local,
                "n": self._alias,
                "p": port,
                "r": remote_user,
                "u": user,
            },
        )

    @staticmethod
    def _replaced(text: str, values: Mapping[str, str]) -> str:
        def value(found: re.Match[str]) -> str:
            if found[1] not in values:
                raise ValueError(f"{found[0]} is no token that OpenSSH has here")
            return values[found[1]]

        return re.sub(r"%(.?)", value, text, flags=re.DOTALL)


def _paths(names: Sequence[str], tokens: _Tokens) -> tuple[Path, ...]:
    filled = (tokens.fill(with_variables(name, os.environ)) for name in names if name.lower() != "none")
    return tuple(dict.fromkeys(Path(name).expanduser() for name in filled))


def _jumps(options: HostOptions, tokens: _Tokens) -> tuple[str, ...]:
    jumps = options.get("proxyjump") or ""
    return () if jumps.lower() == "none" else tuple(tokens.fill(hop.strip()) for hop in jumps.split(",") if hop.strip())


def _command(options: HostOptions, tokens: _Tokens) -> str | None:
    command = options.get("proxycommand")
    return tokens.fill(command) if command and command.lower() != "none" else None


def _is_none(names: Sequence[str]) -> bool:
    return bool(names) and all(name.lower() == "none" for name in names)


def _is_yes(value: str | None) -> bool:
    return (value or "no").lower() in ("yes", "true")


def _port(text: str, path: Path) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise ConfigurationError(f"{path} has the Port {text!r}", remedy="A port is a number from 1 to 65535.")
    return int(text)


def _local_user() -> str | None:
    """Return the name of this account; None where it has a number alone, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None


def _own_name() -> str:
    if (name := _local_user()) is None:
        raise ConfigurationError(
            "this machine has no name for your account, and no user was given", remedy="Give one by --user."
        )
    return name


def parse_hop(hop: str) -> tuple[str, int | None, str | None]:
    """Splits `user@host:port`, as ProxyJump writes it, into host, port and user."""
    text = hop.removeprefix("ssh://")
    user, _, rest = text.rpartition("@")
    match = re.fullmatch(r"\[([^\[\]]+)\](?::([0-9]+))?", rest) or re.fullmatch(r"([^:\[\]]+)(?::([0-9]+))?", rest)
    host, port = match.groups() if match else (rest if rest.count(":") > 1 and "[" not in rest else "", None)
    if not host or (port and not 0 < int(port) < 65536):
        raise ConfigurationError(f"{hop!r} is not a jump host", remedy="Write it as user@host:port.")
    return host, int(port) if port else None, user or None
