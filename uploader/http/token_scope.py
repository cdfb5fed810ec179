"""Token scopes: which hosts may see a service's token, and what that service's refusals mean."""

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
    """An answer that is not the file, given by `host`. `in_scope`: it and every address before it are in the scope.

    `headers` have lower-case names. `text` is a body of text, at most 64 KiB; `body` is the object of a JSON body. A
    redirect is one too, before it is followed: its `location` is where it leads to.
    """

    host: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: Fields = field(repr=False)
    in_scope: bool
    text: str = field(default="", repr=False)
    location: str | None = field(default=None, repr=False)


Explainer: TypeAlias = Callable[[Refusal], UploaderError | None]
"""Returns a service's own error for one of its answers. None stands for the general errors of HTTP, and lets a redirect
be followed.
"""


def unexplained(_: Refusal) -> UploaderError | None:
    """Return None, for a service whose answers mean what HTTP says."""
    return None


@dataclass(frozen=True)
class TokenScope:
    """The hosts that may see a service's token, and what the service means by its refusals.

    `hosts` are exact names, with their port if it is not the scheme's own; sub-domains are other hosts. The token goes
    to these alone, over https or within this machine. It goes to none of them once a redirect came from elsewhere.

    `remembers`: an address outside of the scope that a link led to is used directly for a few minutes. It is forgotten
    when it refuses or its connection is lost. Services count how often their links are asked for.
    """

    hosts: frozenset[str]
    token: Secret | None = None
    explain: Explainer = field(default=unexplained, repr=False, compare=False)
    remembers: bool = False

    def admits(self, scheme: str, host: str, port: int | None) -> bool:
        """Return whether an address is in the scope. `host` is without brackets."""
        if scheme != "https" and not (scheme == "http" and is_loopback(host)):
            return False
        return authority(scheme, host, port) in self.hosts


def authority(scheme: str, host: str, port: int | None) -> str:
    """Return how a scope names an address: the host in lower case, and the port if it is not the scheme's own."""
    name = f"[{host.lower()}]" if ":" in host else host.lower()
    return name if port is None or port == _PORTS.get(scheme) else f"{name}:{port}"
