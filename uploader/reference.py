"""Text <-> Reference: parses what people type, never resolves it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import urlsplit

from uploader.errors import ReferenceInvalid

_LATER = ("civitai:", "urn:air:", "air:", "hf://")
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+:")


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
    """Parses one reference; `parse(str(ref)) == ref` for all that it returns. Raises ReferenceInvalid."""
    if not text.strip():
        raise ReferenceInvalid("an empty reference names no model", remedy="Give a path or an https:// link.")
    if "\x00" in text:
        raise ReferenceInvalid("a reference cannot hold a NUL character")
    bare = text.strip()
    scheme = bare.partition(":")[0].lower() if _SCHEME.match(bare) else ""
    if scheme in ("http", "https") and bare[len(scheme) :].startswith("://"):
        return _parse_url(bare)
    if bare.lower().startswith(_LATER):
        raise ReferenceInvalid(
            f"{text!r}: this version knows paths and https:// links only",
            remedy="Open the model's page, copy the download link of the file, and push that.",
        )
    if scheme and bare[len(scheme) :].startswith("://"):
        raise ReferenceInvalid(f"{text!r}: {scheme}:// links are not known", remedy="Give a path or an https:// link.")
    return PathReference(text)


def _parse_url(text: str) -> UrlReference:
    try:
        parts = urlsplit(text)
        host = parts.hostname
        _ = parts.port
    except ValueError as error:
        raise ReferenceInvalid(f"{text!r} is not a link: {error}") from None
    if not host:
        raise ReferenceInvalid(f"{text!r} is a link without a host")
    if parts.username or parts.password:
        raise ReferenceInvalid(
            f"the link to {host} holds a user name or a password",
            remedy="Take it out of the link: links end up in histories and logs.",
        )
    return UrlReference(text)
