"""A reference without its secrets."""

from __future__ import annotations

import re

from uploader.errors import ReferenceInvalid
from uploader.http import shown
from uploader.reference import PathReference, UrlReference, parse

_PLAIN = re.compile(r"(?:civitai|(?:urn:)?air):[^?#\0]*|[^:@?#\0]*:?", re.IGNORECASE)
"""The start of a text that is no link: no query, fragment or password. An `@` names a version there."""


def shown_reference(text: str) -> str:
    """Return a reference without its secrets. A text that cannot be parsed may be a link with a secret, too."""
    bare = text.strip()
    try:
        reference = parse(text)
    except ReferenceInvalid:
        if "://" in bare:
            return shown(bare)
        plain = "".join(_PLAIN.findall(bare)[:1])
        return plain if plain == bare else f"{plain}…"
    match reference:
        case PathReference():
            return text
        case UrlReference():
            return shown(reference.url)
        case _:
            return str(reference)
