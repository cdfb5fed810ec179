"""AIRs: `urn:air:ECOSYSTEM:TYPE:SOURCE:ID@VERSION+FILE.FORMAT` (developer.civitai.com/site/guide/air)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from uploader.errors import ReferenceInvalid

_START = re.compile(r"(?:urn:)?air:|[A-Za-z0-9_-]+:[A-Za-z0-9_-]+:(?:civitai|huggingface):", re.IGNORECASE)
_SHAPE = re.compile(
    r"(?:(?:urn:)?air:)?(?:[\w-]+:[\w-]+:)?(?P<source>[\w-]+):(?P<id>[^@+:?#]+)"
    r"(?:@(?P<version>[^+:?#]+))?(?:\+(?P<file>[^:?#]+?))?(?::[\w-]+)?",
    re.IGNORECASE,
)
_FORMAT = re.compile(r"\.([A-Za-z]+)$")
_WAYS = "Copy the AIR from the model's page once more, or push the page's address."


@dataclass(frozen=True)
class Air:
    """The parts of an AIR, as written. Only Civitai's have a `format`: elsewhere a dot is part of a name."""

    source: str
    id: str
    version: str | None
    file: str | None
    format: str | None


def looks_like_air(text: str) -> bool:
    """Return True if a text begins like an AIR and like nothing else."""
    return _START.match(text) is not None


def read_air(text: str) -> Air:
    """Split an AIR into its parts. Raises ReferenceInvalid for other texts and unsupported sources."""
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise ReferenceInvalid("this begins like an AIR and is none", remedy=_WAYS)
    source = match["source"].lower()
    if source not in ("civitai", "huggingface"):
        raise ReferenceInvalid(
            "an AIR of this source names nothing that can be downloaded; those of civitai and huggingface do",
            remedy="Push the model's page or a link to the file.",
        )
    parts = [match["id"], match["version"], match["file"]]
    ending: str | None = None
    if source == "civitai":
        last = max(index for index, part in enumerate(parts) if part is not None)
        if (found := _FORMAT.search(parts[last])) is not None:
            parts[last], ending = parts[last][: found.start()], found[1]
    return Air(source, parts[0], parts[1], parts[2], ending)
