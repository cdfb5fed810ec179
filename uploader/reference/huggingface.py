"""References to Hugging Face: its pages and links, `hf://org/repo@revision/path`, `hf://buckets/org/name/path`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from uploader.errors import ReferenceInvalid
from uploader.reference.links import Link, decoded, encoded, read_link

HOSTS = frozenset({"huggingface.co", "www.huggingface.co", "hf.co"})

SHAPES = "hf://ORG/REPO/FILE, hf://ORG/REPO@REVISION/FILE, or hf://ORG/REPO for the list of its files"

RepoType: TypeAlias = Literal["model", "dataset", "space", "bucket"]

_PREFIXES: dict[str, RepoType] = {"models": "model", "datasets": "dataset", "spaces": "space", "buckets": "bucket"}
_PLURALS = {kind: prefix for prefix, kind in _PREFIXES.items() if kind != "model"}
_SINGULARS = frozenset(_PREFIXES.values())
_ROUTES = frozenset({"resolve", "blob", "raw", "blame", "tree"})
_PAGES = frozenset(
    {
        *("api", "blog", "chat", "collections", "docs", "enterprise", "inference", "join", "kernels", "learn"),
        *("login", "models", "new", "organizations", "papers", "posts", "pricing", "search", "settings", "tasks"),
    }
)
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,96}")
_COPY = "Open the file's page and copy its address, or the link of its download button."


@dataclass(frozen=True)
class HuggingFaceReference:
    """A repository or a bucket, or one file in it.

    `revision` is a branch, tag or commit, None for the main one; a bucket has none. `path` is the file's, a folder's
    with a slash at its end, None for the whole repository.
    """

    repo: str
    revision: str | None = None
    path: str | None = None
    type: RepoType = "model"

    def __str__(self) -> str:
        prefix = f"{_PLURALS[self.type]}/" if self.type in _PLURALS else ""
        path = "" if self.path is None else f"/{encoded(self.path)}"
        if "/" not in self.repo:  # early repositories have no organization: only their links are unmistakable
            route = "resolve" if self.path is not None and not self.path.endswith("/") else "tree"
            return f"https://huggingface.co/{prefix}{self.repo}/{route}/{_revision(self.revision or 'main')}{path}"
        revision = "" if self.revision is None else f"@{_revision(self.revision)}"
        if not revision and path[1:].partition("/")[0] in _ROUTES:  # a folder, not a part of a page's address
            path = f"/%{ord(path[1]):02X}{path[2:]}"
        return f"hf://{prefix}{self.repo}{revision}{path}"


def from_short(text: str) -> HuggingFaceReference:
    """Parse `hf://[models/|datasets/|spaces/|buckets/]org/repo[@revision][/path]`.

    A page's address with hf:// before it is read as that page's. Raises ReferenceInvalid.
    """
    rest = text[len("hf://") :]
    parts = rest.split("/")
    first = parts[0].lower()
    if first in HOSTS:
        return from_link(read_link(f"https://{rest}"))
    _refuse_type(first)
    kind = _PREFIXES.get(first, "model")
    if first in _PREFIXES:
        parts = parts[1:]
    if _is_page(parts, kind):
        prefix = f"{_PLURALS[kind]}/" if kind in _PLURALS else ""
        return from_link(read_link(f"https://huggingface.co/{prefix}{'/'.join(parts)}"))
    if "?" in rest or "#" in rest or len(parts) < 2:
        raise _nothing()
    return _from_parts(parts, kind)


def _is_page(parts: list[str], kind: RepoType) -> bool:
    """Return whether these are the parts of a page's address: `blob` and a revision stand before the file."""
    if len(parts) < 4 or parts[2] not in _ROUTES or "@" in parts[1]:
        return False
    return len(parts) > 4 or kind == "bucket" or parts[2] == "tree"


def _from_parts(parts: list[str], kind: RepoType) -> HuggingFaceReference:
    name, at, revision = parts[1].partition("@")
    path = "/".join(parts[2:])
    if at and kind == "bucket":
        raise ReferenceInvalid(
            "a bucket of Hugging Face has no revisions", remedy="Write hf://buckets/ORG/NAME/FILE, without an @."
        )
    # refs/pr/1 and refs/convert/parquet are revisions, although they contain slashes.
    if at and revision == "refs" and len(parts) >= 4:
        revision, path = "/".join(("refs", *parts[2:4])), "/".join(parts[4:])
    if at and not revision:
        raise _nothing()
    return made(f"{parts[0]}/{name}", revision or None, path or None, kind)


def _refuse_type(first: str) -> None:
    """Raise ReferenceInvalid for what stands where the type does and is none that holds models."""
    if first in ("kernel", "kernels"):
        raise ReferenceInvalid("a kernel of Hugging Face is code for programs, not a model", remedy=_COPY)
    if first in _SINGULARS:
        raise ReferenceInvalid(
            f"hf://{first}/ is no type of Hugging Face", remedy=f"Write hf://{first}s/ORG/NAME/FILE, with an s."
        )


def from_link(link: Link) -> HuggingFaceReference:
    """Parse a link to one of its hosts. Raises ReferenceInvalid for pages that are no repository's."""
    segments = link.segments
    kind: RepoType = _PREFIXES.get(segments[0], "model") if segments else "model"
    if kind != "model":
        segments = segments[1:]
    if not segments or segments[0] in _PAGES:
        _refuse_type(segments[0] if segments else "")
        raise ReferenceInvalid("this page of Hugging Face is not a model's", remedy=_COPY)
    if kind == "bucket":
        return _from_bucket_link(segments)
    if len(segments) >= 3 and segments[1] in _ROUTES and segments[2] not in _ROUTES:
        repo, (route, *rest) = segments[0], segments[1:]
    elif len(segments) >= 4 and segments[2] in _ROUTES:
        repo, (route, *rest) = "/".join(segments[:2]), segments[2:]
    elif len(segments) == 2:
        return made("/".join(segments), None, None, kind)
    else:
        raise ReferenceInvalid("this page of Hugging Face is not a model's", remedy=_COPY)
    width = 3 if rest[0] == "refs" and len(rest) >= 3 else 1
    return _on_page(repo, "/".join(rest[:width]), "/".join(rest[width:]), route, kind)


def _from_bucket_link(segments: tuple[str, ...]) -> HuggingFaceReference:
    """Parse `ORG/NAME` and `ORG/NAME/resolve/FILE`, without a revision before the file."""
    repo, path = "/".join(segments[:2]), "/".join(segments[3:])
    if len(segments) == 2:
        return made(repo, None, None, "bucket")
    if len(segments) < 3 or segments[2] not in _ROUTES:
        raise ReferenceInvalid("this page of Hugging Face is not a file's", remedy=_COPY)
    return _on_page(repo, None, path, segments[2], "bucket")


def _on_page(repo: str, revision: str | None, path: str, route: str, kind: RepoType) -> HuggingFaceReference:
    if route == "tree":
        return made(repo, revision, f"{path}/" if path else None, kind)
    if not path:
        raise ReferenceInvalid("this link to Hugging Face names no file", remedy=_COPY)
    return made(repo, revision, path, kind)


def from_air(repo: str, revision: str | None, path: str | None) -> HuggingFaceReference:
    """Return the reference of an AIR's parts. Raises ReferenceInvalid."""
    return made(repo, revision, path, "model")


def made(repo: str, revision: str | None, path: str | None, kind: RepoType) -> HuggingFaceReference:
    """Return the reference of a link's parts. Raises ReferenceInvalid."""
    owner, *name = names = repo.split("/")
    if not all(_NAME.fullmatch(part) and part.strip(".") for part in names) or (name and owner.lower() in _PREFIXES):
        raise _nothing()
    revision = decoded(revision) if revision is not None else None
    if revision is not None and revision.endswith("/"):
        raise _nothing()
    return HuggingFaceReference(repo, revision, decoded(path) if path is not None else None, kind)


def _revision(text: str) -> str:
    return encoded(text, also="/@")


def _nothing() -> ReferenceInvalid:
    return ReferenceInvalid("this names no repository of Hugging Face", remedy=f"Write {SHAPES}.")
