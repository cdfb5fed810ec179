"""Each service's addresses, its own or the environment's, and which hosts may see its token."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from uploader.artifact import Service
from uploader.errors import UsageError
from uploader.http import Http, TokenScope, authority, host_of, is_loopback
from uploader.secret import Token


@dataclass(frozen=True)
class DefaultEndpoint:
    """A service's own addresses, the first to ask at the head. `hosts` may see its token.

    `variable` names the environment variable that replaces the addresses.
    """

    addresses: tuple[str, ...]
    variable: str
    hosts: frozenset[str]


DEFAULT_ENDPOINTS: Mapping[Service, DefaultEndpoint] = {
    # Its storage is partly a sub-domain (b2.civitai.com): the names are exact, never a pattern.
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
    """A service as this run asks it. `addresses` have no slash at their end.

    `replaced`: the environment names it, so what it says is not the publisher's word. `note` says that a token is kept
    from it. `variable` is the one of the environment that may name it.
    """

    addresses: tuple[str, ...]
    scope: TokenScope
    replaced: bool
    variable: str
    note: str | None = None

    @property
    def address(self) -> str:
        """Return the address to ask first."""
        return self.addresses[0]


class Sources:
    """What all sources need to ask a service: the HTTP client, addresses and tokens. Thread-safe.

    `tokens` finds a service's token; it is called when that service is first asked. `environ` may hold
    $CIVITAI_ENDPOINT, $HF_ENDPOINT, $GITHUB_ENDPOINT, $MODELSCOPE_ENDPOINT.
    """

    def __init__(
        self,
        http: Http,
        *,
        environ: Mapping[str, str] | None = None,
        tokens: Callable[[Service], Token | None] | None = None,
        defaults: Mapping[Service, DefaultEndpoint] = DEFAULT_ENDPOINTS,
    ) -> None:
        self.http = http
        self._environ = environ or {}
        self._tokens = tokens
        self._defaults = defaults
        self._endpoints: dict[Service, Endpoint] = {}
        self._lock = threading.Lock()

    def endpoint(self, service: Service) -> Endpoint:
        """Return a service's endpoint. Raises UsageError for a variable that holds no address, and what `tokens`
        raises.
        """
        with self._lock:
            if service not in self._endpoints:
                token = self._tokens(service) if self._tokens is not None else None
                self._endpoints[service] = _endpoint(self._defaults[service], self._environ, token)
            return self._endpoints[service]

    def moved(self, service: Service) -> str | None:
        """Return a sentence that says where a mirror of this service leads, None for one that answers itself."""
        endpoint = self.endpoint(service)
        to = self.http.moved_to(endpoint.address) if endpoint.replaced else None
        if to is None:
            return None
        return f"${endpoint.variable} names {host_of(endpoint.address)}, a mirror that leads to {to}"


def _endpoint(default: DefaultEndpoint, environ: Mapping[str, str], token: Token | None) -> Endpoint:
    address = environ.get(default.variable, "").strip().rstrip("/")
    if not address:
        scope = TokenScope(default.hosts, token.secret if token else None)
        return Endpoint(default.addresses, scope, False, default.variable)
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if not host or parts.scheme not in ("http", "https") or "@" in parts.netloc or parts.query or parts.fragment:
        raise UsageError(
            f"${default.variable} is no address of a server", remedy="Write it like https://mirror.example.com."
        )
    # A token belongs to the service, wherever it was found: a mirror that gets it can use it there.
    known = is_loopback(host) or host in default.hosts
    note = (
        None if token is None or known else f"${default.variable} names {host}, a mirror: it is sent no token of yours"
    )
    hosts = frozenset({authority(parts.scheme, host, port)})
    scope = TokenScope(hosts, token.secret if token and known else None)
    return Endpoint((address,), scope, True, default.variable, note)
