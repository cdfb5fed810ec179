"""Addresses: which part of them may be shown, and which ones are this machine's own."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from urllib.parse import SplitResult, urlencode, urlsplit

from uploader.errors import SourceRefused

_OTHER = "Open the link in a browser and copy the address of the download itself."
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=://)")


def shown(url: str) -> str:
    """Return the address as it may be shown, with `?…` for its query: a query may hold a signed secret.

    Text that is no address is shown as its scheme and host at most: a secret may begin anywhere in it.
    """
    host = ""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        return _hint(url, host)
    if not (parts.scheme and host):
        return _hint(url, "")
    place = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{place}{parts.path}" + ("?…" if parts.query else "")


def _hint(text: str, host: str) -> str:
    scheme = _SCHEME.match(text)
    return f"{scheme[0]}://{host}…" if scheme else "…"


def is_loopback(host: str) -> bool:
    """Return True for the names and addresses of this machine."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def split(url: str) -> SplitResult:
    """Split an address. Raises SourceRefused for text that is no address.

    The reference's own syntax was checked when it was parsed, so only a redirect leads here.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise SourceRefused("a redirect leads to something that is no web address", remedy=_OTHER) from None
    return parts


def host_of(url: str) -> str:
    return split(url).hostname or "the link"


def with_query(url: str, params: Mapping[str, str | Sequence[str]]) -> str:
    """Return the address with these names added to its query. A sequence is a name that comes several times."""
    if not params:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode(params, doseq=True)}"


_PLAIN = re.compile(r"[\x20-\x7e]+")


def base_fault(base: str) -> str | None:
    """Return what is wrong with a WebUI's address, or None."""
    try:
        parts = urlsplit(base)
        _ = parts.port
    except ValueError:
        return "it is no web address"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "it begins with https:// or http://, and a host"
    if "@" in parts.netloc:
        return "it holds a sign-in; leave that out, it is asked for"
    if parts.query or parts.fragment:
        return "it ends before a ? or a #"
    if not _PLAIN.fullmatch(base) or " " in base:
        return "it holds a blank or a character that no address has"
    return None
