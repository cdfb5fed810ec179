"""Doors: which hosts may see a service's token, and how that service's refusals read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from uploader.errors import UploaderError
from uploader.http.address import is_loopback
from uploader.http.json_fields import Fields
from uploader.secret import Secret

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Refusal:
    """An answer that is not the file. `host` gave it; `at_door`: it is one of the door's own, and no hop before it
    was another. `headers` have lower-case names; `text` is the body where it is one, of at most 64 KiB, and `body` the
    object of a JSON one. A redirect is one too, before it is followed: its `location` is where it leads to."""

    host: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: Fields = field(repr=False)
    at_door: bool
    text: str = field(default="", repr=False)
    location: str | None = field(default=None, repr=False)


Explainer: TypeAlias = Callable[[Refusal], UploaderError | None]
"""Returns a service's own error for an answer of its own; None leaves it to the web's general ones, and lets a
redirect be followed."""


def unexplained(_: Refusal) -> UploaderError | None:
    """The explainer of a service whose answers mean what HTTP says."""
    return None


@dataclass(frozen=True)
class TokenScope:
    """How a service is visited. `hosts` are exact names, with their port where it is not the scheme's own; sub-domains
    are other hosts. The token goes to these alone, over https or within this machine, and to none of them any more
    once a redirect came from elsewhere.

    `remembers`: the address behind a link, outside of the door, is gone to directly for a few minutes, until it refuses
    or its line is lost. Services count how often their links are asked for."""

    hosts: frozenset[str]
    token: Secret | None = None
    explain: Explainer = field(default=unexplained, repr=False, compare=False)
    remembers: bool = False

    def admits(self, scheme: str, host: str, port: int | None) -> bool:
        """Whether an address is one of the door's. `host` is without brackets."""
        if scheme != "https" and not (scheme == "http" and is_loopback(host)):
            return False
        return authority(scheme, host, port) in self.hosts


def authority(scheme: str, host: str, port: int | None) -> str:
    """How a door names an address: the host in lower case, and the port where it is not the scheme's own."""
    name = f"[{host.lower()}]" if ":" in host else host.lower()
    return name if port is None or port == _PORTS.get(scheme) else f"{name}:{port}"
