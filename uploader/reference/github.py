"""References to what a GitHub release holds."""

from __future__ import annotations

import re
from dataclasses import dataclass

from uploader.reference.links import Link, decoded, encoded

HOSTS = frozenset({"github.com", "www.github.com"})

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")


@dataclass(frozen=True)
class GitHubReference:
    """An asset of a release. A `tag` of None is the latest release; an `asset` of None is all of them."""

    owner: str
    repo: str
    tag: str | None = None
    asset: str | None = None

    def __str__(self) -> str:
        releases = f"https://github.com/{self.owner}/{self.repo}/releases"
        if self.asset is None:
            return f"{releases}/latest" if self.tag is None else f"{releases}/tag/{encoded(self.tag)}"
        asset = encoded(self.asset, also="/")
        if self.tag is None:
            return f"{releases}/latest/download/{asset}"
        return f"{releases}/download/{encoded(self.tag)}/{asset}"


def from_link(link: Link) -> GitHubReference | None:
    """Parse a link to a release or its asset. Return None for other pages of GitHub. Raises ReferenceInvalid."""
    match link.segments:
        case (owner, repo, "releases") | (owner, repo, "releases", "latest"):
            return _made(owner, repo, None, None)
        case (owner, repo, "releases", "latest", "download", asset):
            return _made(owner, repo, None, asset)
        case (owner, repo, "releases", "tag", *tag) if tag:
            return _made(owner, repo, "/".join(tag), None)
        case (owner, repo, "releases", "download", *tag, asset) if tag:
            return _made(owner, repo, "/".join(tag), asset)
    return None


def _made(owner: str, repo: str, tag: str | None, asset: str | None) -> GitHubReference | None:
    if not all(_NAME.fullmatch(name) and name.strip(".") for name in (owner, repo)):
        return None
    tag, asset = (None if text is None else decoded(text) for text in (tag, asset))
    return GitHubReference(owner, repo, tag, asset)
