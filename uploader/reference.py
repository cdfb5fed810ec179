"""Text <-> Reference: parses what people type, never resolves it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import urlsplit

from uploader.errors import ReferenceInvalid

_LATER = ("civitai:", "urn:air:", "air:", "hf://")
_COPY = "Copy the download link once more."
_WAYS = "Give a path or an https:// link."
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:")


@dataclass(frozen=True)
class PathReference:
    """A path or a glob pattern on this machine."""

    path: str

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True)
class UrlReference:
    """A file behind http or https."""

    url: str = field(repr=False)  # a signed link is a secret

    def __str__(self) -> str:
        return self.url


Reference: TypeAlias = PathReference | UrlReference


def parse(text: str) -> Reference:
    """Parses one reference; `parse(str(ref)) == ref` for all that it returns.

    Raises ReferenceInvalid, which never repeats the text: what was typed may hold a password or a signed query."""
    if not text.strip():
        raise ReferenceInvalid("an empty reference names no model", remedy=_WAYS)
    if "\x00" in text:
        raise ReferenceInvalid("a reference cannot hold a NUL character")
    bare = text.strip()
    scheme = bare.partition(":")[0].lower() if _SCHEME.match(bare) else ""
    if scheme in ("http", "https") and bare[len(scheme) :].startswith("://"):
        return _parse_url(bare)
    if (later := next((begin for begin in _LATER if bare.lower().startswith(begin)), None)) is not None:
        raise ReferenceInvalid(
            f"references that begin with {later} are not known to this version, only paths and https:// links",
            remedy="Open the model's page, copy the download link of the file, and push that.",
        )
    if scheme in ("http", "https"):
        raise ReferenceInvalid(
            f"a link begins with {scheme}:// and this one only with {scheme}:",
            remedy=f"Write {scheme}:// with both slashes; before a file of such a name, write ./",
        )
    if scheme and bare[len(scheme) :].startswith("://"):
        raise ReferenceInvalid(f"{scheme}:// links are not known", remedy=_WAYS)
    return PathReference(text)


def _parse_url(text: str) -> UrlReference:
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        raise ReferenceInvalid("this is no link: its host cannot be read", remedy=_COPY) from None
    if not host:
        raise ReferenceInvalid("this is a link without a host", remedy=_COPY)
    try:
        _ = parts.port
    except ValueError:
        raise ReferenceInvalid(f"the port in the link to {host} is no port", remedy=_COPY) from None
    if parts.username or parts.password:
        raise ReferenceInvalid(
            f"the link to {host} holds a user name or a password",
            remedy="Take it out of the link: links end up in histories and logs.",
        )
    return UrlReference(text)
