"""References to Civitai: its pages, its download links, `civitai:MODEL@VERSION+FILE`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from uploader.errors import ReferenceInvalid
from uploader.reference.links import Link

HOSTS = frozenset(f"{www}civitai.{end}" for www in ("", "www.") for end in ("com", "red", "green"))
"""Civitai's hosts. They show one catalogue."""

SHAPES = "civitai:MODEL (its newest version), civitai:MODEL@VERSION, civitai:@VERSION, each with +FILE if you like"

_SHAPE = re.compile(r"civitai:(?P<model>\d{1,18})?(?:@(?P<version>\d{1,18}))?(?:\+(?P<file>\d{1,18}))?")
_SHORT = re.compile(_SHAPE.pattern + r"(?:\?(?P<filters>[A-Za-z0-9&=._+%-]*))?", re.IGNORECASE)
_VALUE = re.compile(r"[A-Za-z0-9 ._-]{1,40}")
_FILTERS = ("type", "format", "size", "fp", "quantType")
_COPY = "Open the model's page and copy its address, or the link of its download button."


@dataclass(frozen=True)
class CivitaiReference:
    """A model of Civitai, one version of it, or one file of that version, by ids. A model or a version is given.

    `filters` are what a download link asks of the file (`type`, `format`, `size`, `fp`, `quantType`), as written."""

    model: int | None = None
    version: int | None = None
    file: int | None = None
    filters: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        version = "" if self.version is None else f"@{self.version}"
        file = "" if self.file is None else f"+{self.file}"
        filters = f"?{urlencode(self.filters)}" if self.filters else ""
        return f"civitai:{'' if self.model is None else self.model}{version}{file}{filters}"


def from_short(text: str) -> CivitaiReference:
    """Parse `civitai:MODEL@VERSION+FILE`. Raises ReferenceInvalid."""
    match = _SHORT.fullmatch(text)
    pairs = parse_qsl(match["filters"], keep_blank_values=True) if match is not None and match["filters"] else []
    if match is None or not all(name in _FILTERS for name, _ in pairs):
        raise ReferenceInvalid("this names nothing of Civitai", remedy=f"Write {SHAPES}.")
    return made(match["model"], match["version"], match["file"], pairs)


def from_link(link: Link) -> CivitaiReference:
    """Parse a link to one of Civitai's hosts and drop a token in it. Raises ReferenceInvalid for other pages."""
    filters = [(name, link.query[name]) for name in _FILTERS if link.query.get(name)]
    match tuple(segment.lower() for segment in link.segments):
        case ("api", "download", "models", version):
            return made(None, version, link.query.get("fileId"), filters)
        case ("models", model, *_) | ("api", "v1", "models", model):
            version = link.query.get("modelVersionId") or link.query.get("version") or ""
            return made(model, version or None, None)
        case ("model-versions", version, *_) | ("api", "v1", "model-versions", version):
            return made(None, version, None)
        case ("api", "v1", "model-versions", "mini", version):
            return made(None, version, link.query.get("modelFileId"))
    raise ReferenceInvalid("this page of Civitai is not a model's", remedy=_COPY)


def made(
    model: str | None, version: str | None, file: str | None, filters: Iterable[tuple[str, str]] = ()
) -> CivitaiReference:
    """Return the reference of ids, as written. Raises ReferenceInvalid when one is no number, or all are missing."""
    filters = tuple(filters)
    if not all(_VALUE.fullmatch(value) for _, value in filters):
        raise ReferenceInvalid("what this link to Civitai asks of the file cannot be read", remedy=_COPY)
    numbers = [_number(text) for text in (model, version, file)]
    if numbers[0] is None and numbers[1] is None:
        raise ReferenceInvalid("this reference to Civitai names neither a model nor a version", remedy=_COPY)
    return CivitaiReference(numbers[0], numbers[1], numbers[2], filters)


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", text) or not int(text):
        raise ReferenceInvalid("an id in this reference to Civitai is no number", remedy=_COPY)
    return int(text)
