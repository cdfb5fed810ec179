"""Text to Reference and back: parses what the user types, and never resolves it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TypeAlias

from uploader.errors import ReferenceInvalid
from uploader.reference import civitai, github, huggingface, modelscope
from uploader.reference.air import looks_like_air, read_air
from uploader.reference.civitai import CivitaiReference
from uploader.reference.github import GitHubReference
from uploader.reference.huggingface import HuggingFaceReference
from uploader.reference.links import lacks_its_scheme, read_link
from uploader.reference.modelscope import ModelScopeReference

__all__ = [
    "CivitaiReference",
    "GitHubReference",
    "HuggingFaceReference",
    "ModelScopeReference",
    "PathReference",
    "Reference",
    "UrlReference",
    "parse",
]

_WAYS = "Give a path, an https:// link, civitai:MODEL@VERSION, an AIR, or hf://ORG/REPO/FILE."
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:")
_HAS_FORMAT = re.compile(r"civitai:[0-9@+]+\.[A-Za-z]+", re.IGNORECASE)
"""An AIR without its `urn:air:` prefix."""

_BARE_HOST = re.compile(
    "|".join(re.escape(host) for site in (civitai, huggingface, github, modelscope) for host in sorted(site.HOSTS)),
    re.IGNORECASE,
)


@dataclass(frozen=True)
class PathReference:
    """A path or a glob pattern on this machine."""

    path: str

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True)
class UrlReference:
    """A file at an http or https link."""

    url: str = field(repr=False)  # a signed link is a secret

    def __str__(self) -> str:
        return self.url


Reference: TypeAlias = (
    PathReference | UrlReference | CivitaiReference | HuggingFaceReference | GitHubReference | ModelScopeReference
)


def parse(text: str) -> Reference:
    """Parse one reference. `parse(str(ref)) == ref` holds for each result.

    Raises ReferenceInvalid, which never repeats the text: that may hold a password or a signed query."""
    if not text.strip():
        raise ReferenceInvalid("an empty reference names no model", remedy=_WAYS)
    if "\x00" in text:
        raise ReferenceInvalid("a reference cannot hold a NUL character")
    bare = text.strip()
    _refuse_bare_number(bare)
    scheme = bare.partition(":")[0].lower() if _SCHEME.match(bare) else ""
    slashes = bare[len(scheme) :].startswith("://")
    if scheme in ("http", "https") and slashes:
        return _from_link(bare)
    if (host := _BARE_HOST.match(bare)) is not None and bare[host.end() : host.end() + 1] == "/":
        return _from_link(f"https://{bare}")
    if scheme == "civitai":
        return _from_air(bare) if _HAS_FORMAT.fullmatch(bare) else civitai.from_short(bare)
    if scheme == "hf" and slashes:
        return huggingface.from_short(bare)
    if looks_like_air(bare):
        return _from_air(bare)
    _refuse_almost_a_link(bare, scheme, slashes=slashes)
    return PathReference(text)


def _refuse_almost_a_link(bare: str, scheme: str, *, slashes: bool) -> None:
    if scheme in ("http", "https"):
        raise ReferenceInvalid(
            f"a link begins with {scheme}:// and this one only with {scheme}:",
            remedy=f"Write {scheme}:// with both slashes; before a file of such a name, write ./",
        )
    if scheme and slashes:
        raise ReferenceInvalid(f"{scheme}:// links are not known", remedy=_WAYS)
    if lacks_its_scheme(bare):
        raise ReferenceInvalid(
            "a link begins with https://, and this one without",
            remedy="Write https:// before it; before a file of such a name, write ./",
        )


def _refuse_bare_number(bare: str) -> None:
    if re.fullmatch(r"[0-9]+", bare):
        number = bare[:18]
        raise ReferenceInvalid(
            "a number alone may be a model or a version of Civitai",
            remedy=f"Write civitai:{number} for the model's newest version, civitai:@{number} for that version, "
            f"or ./{number} for a file of that name.",
        )


def _from_link(text: str) -> Reference:
    link = read_link(text)
    if link.host in civitai.HOSTS:
        return civitai.from_link(link)
    if link.host in huggingface.HOSTS:
        return huggingface.from_link(link)
    if link.host in modelscope.HOSTS:
        return modelscope.from_link(link)
    if link.host in github.HOSTS and (asset := github.from_link(link)) is not None:
        return asset
    return UrlReference(text)


def _from_air(bare: str) -> Reference:
    air = read_air(bare)
    if air.source == "huggingface":
        return _huggingface_air(air.id, air.version, air.file)
    filters = [("format", air.format)] if air.format else []
    return civitai.made(air.id, air.version, air.file, filters)


def _huggingface_air(id: str, version: str | None, file: str | None) -> HuggingFaceReference:
    """Return the parts of an AIR. The path follows the revision, the repository, or a plus."""
    owner, _, rest = id.partition("/")
    name, _, path = rest.partition("/")
    revision = version
    if version is not None:
        revision, _, behind = version.partition("/")
        path = path or behind
    return huggingface.from_air(f"{owner}/{name}", revision, file or path or None)
