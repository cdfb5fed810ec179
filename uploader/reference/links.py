"""Links, split into host, segments and query."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from uploader.errors import ReferenceInvalid

COPY = "Copy the download link once more."
_UNWRITTEN = frozenset("%?#")
_OWN_PORTS = {"http": 80, "https": 443}
_WITH_A_HOST = re.compile(r"(?://)?[\w-]+(?:(?:\.[\w-]+)+\.?(?::\d+)?|:\d+)/?(?:(?<=/)[^?]*)?\?(.*)", re.DOTALL)
"""A host with a dot or a port, a path, and a query."""

_VALUE = re.compile(r"(?:^|[?&;])[\w.~%\[\]-]+=")


@dataclass(frozen=True)
class Link:
    """A link in its parts.

    `host` is in lower case, without a dot at its end, with its port unless that is the scheme's own. `segments` are
    those of the path as typed, without empty ones at its end. `query` has the first value of each name."""

    text: str = field(repr=False)
    host: str
    segments: tuple[str, ...]
    query: Mapping[str, str] = field(repr=False)


def read_link(text: str) -> Link:
    """Split an http or https link. Raises ReferenceInvalid, which repeats no more than its host."""
    host = _host(text).rstrip(".")  # "civitai.com." and "civitai.com:443" are civitai.com to DNS and to HTTP
    parts = urlsplit(text)
    port = "" if parts.port in (None, _OWN_PORTS.get(parts.scheme)) else f":{parts.port}"
    segments = parts.path.rstrip("/").split("/")[1:]
    pairs = parse_qsl(parts.query, keep_blank_values=True, max_num_fields=100) if parts.query.count("&") < 100 else []
    return Link(text, host.lower() + port, tuple(segments), dict(reversed(pairs)))


def lacks_its_scheme(text: str) -> bool:
    """Return True for a link without a scheme that has a value in its query.

    As a path it would be shown, and such a value is often a signature or a token."""
    found = _WITH_A_HOST.fullmatch(text)
    return found is not None and _VALUE.search(found[1]) is not None


def _host(text: str) -> str:
    try:
        parts: SplitResult = urlsplit(text)
        host = parts.hostname
    except ValueError:
        raise ReferenceInvalid("this is no link: its host cannot be read", remedy=COPY) from None
    if not host:
        raise ReferenceInvalid("this is a link without a host", remedy=COPY)
    try:
        _ = parts.port
    except ValueError:
        raise ReferenceInvalid(f"the port in the link to {host} is no port", remedy=COPY) from None
    if parts.username or parts.password:
        raise ReferenceInvalid(
            f"the link to {host} holds a user name or a password",
            remedy="Take it out of the link: links end up in histories and logs.",
        )
    return host


def decoded(text: str) -> str:
    """Return a path or a revision with its %XX decoded.

    Raises ReferenceInvalid for parts that lead elsewhere or cannot be shown."""
    plain = unquote(text)
    parts = plain.removesuffix("/").split("/")
    if any(part in ("", ".", "..") for part in parts) or any(
        unicodedata.category(char) in ("Cc", "Cs") for char in plain
    ):
        raise ReferenceInvalid("this reference's path has a part that names nothing", remedy=COPY)
    return plain


def encoded(text: str, also: str = "") -> str:
    """Return the inverse of `decoded`. Only what needs it, and the characters `also`, become %XX."""
    return re.sub(r".", lambda match: _letter(match[0], also), text, flags=re.DOTALL)


def _letter(char: str, also: str) -> str:
    if char in _UNWRITTEN or char in also or char.isspace():
        return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))
    return char
