"""References to ModelScope: its pages and its links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from uploader.errors import ReferenceInvalid
from uploader.reference.links import Link, decoded, encoded

HOSTS = frozenset(f"{www}modelscope.{end}" for www in ("", "www.") for end in ("cn", "ai"))

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_COPY = "Open the file's page and copy its address."


@dataclass(frozen=True)
class ModelScopeReference:
    """A repository of models, or one file or folder in it.

    `site` is `cn`, or `ai` for the international site, which has models of its own. A `revision` of None is the main
    one. `path` ends with a slash for a folder; None is the whole repository."""

    repo: str
    revision: str | None = None
    path: str | None = None
    site: Literal["cn", "ai"] = "cn"

    def __str__(self) -> str:
        page = f"https://modelscope.{self.site}/models/{self.repo}"
        if self.path is None and self.revision is None:
            return page
        route = "tree" if self.path is None or self.path.endswith("/") else "resolve"
        path = "" if self.path is None else f"/{encoded(self.path)}"
        return f"{page}/{route}/{encoded(self.revision or 'master', also='/')}{path}"


def from_link(link: Link) -> ModelScopeReference:
    """Parse a link to one of its hosts. Raises ReferenceInvalid for pages that are no model's."""
    match link.segments:
        case ("models", owner, name) | ("models", owner, name, "files" | "summary" | "feedback"):
            return _made(link, owner, name, None, None)
        case ("models", owner, name, "resolve", revision, *path) | (
            "models", owner, name, "file", "view", revision, *path
        ) if path:  # fmt: skip
            return _made(link, owner, name, revision, "/".join(path))
        case ("models", owner, name, "tree", revision, *path):
            return _made(link, owner, name, revision, f"{'/'.join(path)}/" if path else None)
        case ("api", "v1", "models", owner, name, "repo"):
            asked = (link.query.get("Revision"), link.query.get("FilePath"))
            return _made(link, owner, name, *(encoded(value) if value else None for value in asked))
    raise ReferenceInvalid("this page of ModelScope is not a model's", remedy=_COPY)


def _made(link: Link, owner: str, name: str, revision: str | None, path: str | None) -> ModelScopeReference:
    if not all(_NAME.fullmatch(part) and part.strip(".") for part in (owner, name)):
        raise ReferenceInvalid("this link to ModelScope names no model", remedy=_COPY)
    revision = None if revision is None else decoded(revision)
    path = None if path is None else decoded(path)
    if revision is not None and revision.endswith("/"):
        raise ReferenceInvalid("this link to ModelScope names no revision", remedy=_COPY)
    if path is not None and revision is None:
        revision = "master"
    return ModelScopeReference(f"{owner}/{name}", revision, path, "ai" if link.host.endswith(".ai") else "cn")
