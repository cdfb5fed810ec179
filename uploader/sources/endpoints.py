"""Where each service is: its own address or the one the environment puts in its place, and who may see its token."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from uploader.artifact import Service
from uploader.errors import UsageError
from uploader.http import Http, TokenScope, authority, is_loopback
from uploader.secret import Token


@dataclass(frozen=True)
class DefaultEndpoint:
    """A service's own facts. `addresses` are its front doors, the one to ask first at the head; `variable` names the
    one of the environment that takes their place; `hosts` may see its token."""

    addresses: tuple[str, ...]
    variable: str
    hosts: frozenset[str]


DEFAULT_ENDPOINTS: Mapping[Service, DefaultEndpoint] = {
    # The storage behind it is partly a sub-domain (b2.civitai.com): the names are exact, never a pattern.
    Service.CIVITAI: DefaultEndpoint(
        ("https://civitai.com", "https://civitai.red"),
        "CIVITAI_ENDPOINT",
        frozenset(
            ["civitai.com", "www.civitai.com", "civitai.red", "www.civitai.red", "civitai.green", "www.civitai.green"]
        ),
    ),
    Service.HUGGINGFACE: DefaultEndpoint(("https://huggingface.co",), "HF_ENDPOINT", frozenset({"huggingface.co"})),
    Service.GITHUB: DefaultEndpoint(("https://github.com", "https://api.github.com"), "GITHUB_ENDPOINT", frozenset()),
    Service.MODELSCOPE: DefaultEndpoint(
        ("https://modelscope.cn", "https://www.modelscope.ai"), "MODELSCOPE_ENDPOINT", frozenset()
    ),
}


@dataclass(frozen=True)
class Endpoint:
    """A service as this run visits it. `addresses` have no slash at their end; `replaced`: the environment names it,
    and what it tells is no word of the publisher's; `note` says of a token that is kept from it."""

    addresses: tuple[str, ...]
    door: TokenScope
    replaced: bool
    note: str | None = None

    @property
    def address(self) -> str:
        """The one to ask first."""
        return self.addresses[0]


class Sources:
    """What all members look things up with: the HTTP client, the services' addresses, their tokens. Thread-safe.

    `tokens` finds a service's token, and is asked no sooner than that service is; `environ` may hold
    $CIVITAI_ENDPOINT, $HF_ENDPOINT, $GITHUB_ENDPOINT, $MODELSCOPE_ENDPOINT.
    """

    def __init__(
        self,
        http: Http,
        *,
        environ: Mapping[str, str] | None = None,
        tokens: Callable[[Service], Token | None] | None = None,
        homes: Mapping[Service, DefaultEndpoint] = DEFAULT_ENDPOINTS,
    ) -> None:
        self.http = http
        self._environ = environ or {}
        self._tokens = tokens
        self._homes = homes
        self._sites: dict[Service, Endpoint] = {}
        self._lock = threading.Lock()

    def site(self, service: Service) -> Endpoint:
        """Raises UsageError for an endpoint that is no address, and what `tokens` raises."""
        with self._lock:
            if service not in self._sites:
                token = self._tokens(service) if self._tokens is not None else None
                self._sites[service] = _site(self._homes[service], self._environ, token)
            return self._sites[service]


def _site(home: DefaultEndpoint, environ: Mapping[str, str], token: Token | None) -> Endpoint:
    endpoint = environ.get(home.variable, "").strip().rstrip("/")
    if not endpoint:
        return Endpoint(home.addresses, TokenScope(home.hosts, token.secret if token else None), replaced=False)
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if not host or parts.scheme not in ("http", "https") or "@" in parts.netloc or parts.query or parts.fragment:
        raise UsageError(
            f"${home.variable} is no address of a server", remedy="Write it like https://mirror.example.com."
        )
    # A token belongs to the service, wherever it was found: a mirror that gets it can use it there.
    known = is_loopback(host) or host in home.hosts
    note = None if token is None or known else f"${home.variable} names {host}, a mirror: it is sent no token of yours"
    hosts = frozenset({authority(parts.scheme, host, port)})
    return Endpoint((endpoint,), TokenScope(hosts, token.secret if token and known else None), replaced=True, note=note)
