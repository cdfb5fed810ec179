"""References to Hugging Face: its pages and links, `hf://org/repo@revision/path`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from uploader.errors import ReferenceInvalid
from uploader.reference.links import Link, decoded, encoded

HOSTS = frozenset({"huggingface.co", "www.huggingface.co", "hf.co"})

SHAPES = "hf://ORG/REPO/FILE, hf://ORG/REPO@REVISION/FILE, or hf://ORG/REPO for the list of its files"

RepoType: TypeAlias = Literal["model", "dataset", "space"]

_PREFIXES: dict[str, RepoType] = {"datasets": "dataset", "spaces": "space"}
_PLURALS = {kind: prefix for prefix, kind in _PREFIXES.items()}
_ROUTES = frozenset({"resolve", "blob", "raw", "blame", "tree"})
_PAGES = frozenset(
    {
        *("api", "blog", "chat", "collections", "docs", "enterprise", "inference", "join", "learn", "login", "models"),
        *("new", "organizations", "papers", "posts", "pricing", "search", "settings", "tasks"),
    }
)
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,96}")
_COPY = "Open the file's page and copy its address, or the link of its download button."


@dataclass(frozen=True)
class HuggingFaceReference:
    """A repository, or one file or folder in it.

    `revision` is a branch, tag or commit; None is the main branch. `path` ends with a slash for a folder; None is the
    whole repository."""

    repo: str
    revision: str | None = None
    path: str | None = None
    type: RepoType = "model"

    def __str__(self) -> str:
        prefix = f"{_PLURALS[self.type]}/" if self.type in _PLURALS else ""
        if "/" not in self.repo:  # early repositories have no organization: only their links are unmistakable
            route = "resolve" if self.path is not None and not self.path.endswith("/") else "tree"
            path = "" if self.path is None else f"/{encoded(self.path)}"
            return f"https://huggingface.co/{prefix}{self.repo}/{route}/{_revision(self.revision or 'main')}{path}"
        revision = "" if self.revision is None else f"@{_revision(self.revision)}"
        path = "" if self.path is None else f"/{encoded(self.path)}"
        return f"hf://{prefix}{self.repo}{revision}{path}"


def from_short(text: str) -> HuggingFaceReference:
    """Parse `hf://[datasets/|spaces/]org/repo[@revision][/path]`. Raises ReferenceInvalid."""
    rest = text[len("hf://") :]
    if "?" in rest or "#" in rest:
        raise _nothing()
    parts = rest.split("/")
    kind = _PREFIXES.get(parts[0].lower(), "model")
    if kind != "model":
        parts = parts[1:]
    if len(parts) < 2:
        raise _nothing()
    name, at, revision = parts[1].partition("@")
    path = "/".join(parts[2:])
    # refs/pr/1 and refs/convert/parquet are revisions, although they contain slashes.
    if at and revision == "refs" and len(parts) >= 4:
        revision, path = "/".join(("refs", *parts[2:4])), "/".join(parts[4:])
    if at and not revision:
        raise _nothing()
    return made(f"{parts[0]}/{name}", revision or None, path or None, kind)


def from_link(link: Link) -> HuggingFaceReference:
    """Parse a link to one of its hosts. Raises ReferenceInvalid for pages that are no repository's."""
    segments = link.segments
    kind: RepoType = _PREFIXES.get(segments[0], "model") if segments else "model"
    if kind != "model":
        segments = segments[1:]
    if not segments or segments[0] in _PAGES:
        raise ReferenceInvalid("this page of Hugging Face is not a model's", remedy=_COPY)
    if len(segments) >= 3 and segments[1] in _ROUTES and segments[2] not in _ROUTES:
        repo, (route, *rest) = segments[0], segments[1:]
    elif len(segments) >= 4 and segments[2] in _ROUTES:
        repo, (route, *rest) = "/".join(segments[:2]), segments[2:]
    elif len(segments) == 2:
        return made("/".join(segments), None, None, kind)
    else:
        raise ReferenceInvalid("this page of Hugging Face is not a model's", remedy=_COPY)
    width = 3 if rest[0] == "refs" and len(rest) >= 3 else 1
    revision, path = "/".join(rest[:width]), "/".join(rest[width:])
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
    if not all(_NAME.fullmatch(part) and part.strip(".") for part in repo.split("/")):
        raise _nothing()
    revision = decoded(revision) if revision is not None else None
    if revision is not None and revision.endswith("/"):
        raise _nothing()
    return HuggingFaceReference(repo, revision, decoded(path) if path is not None else None, kind)


def _revision(text: str) -> str:
    return encoded(text, also="/@")


def _nothing() -> ReferenceInvalid:
    return ReferenceInvalid("this names no repository of Hugging Face", remedy=f"Write {SHAPES}.")
