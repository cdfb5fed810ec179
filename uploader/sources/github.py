"""Models among the assets of GitHub releases, with GitHub's own sha256.

Follows docs.github.com: REST "Releases" (`digest` since 2025-06), "Rate limits for the REST API".
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from functools import partial
from urllib.parse import quote

from uploader.artifact import Artifact, Digest, Service
from uploader.errors import NetworkError, RateLimited, SourceMissing, UploaderError
from uploader.http import Fields, Http, Refusal, TokenScope
from uploader.reference import GitHubReference
from uploader.sources.endpoints import Endpoint, Sources
from uploader.sources.interface import Choice
from uploader.sources.listing import Listed, chosen
from uploader.sources.published_file import Published, artifact, open_hosts, run_out

_API = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
_DIGEST = re.compile(r"sha256:([0-9a-fA-F]{64})")
_NUMBER = re.compile(r"\d{1,12}")
_LONGEST_QUOTA_WAIT = 240.0
"""Seconds to wait at most for a used up quota. GitHub's may take an hour."""


def resolve(reference: GitHubReference, sources: Sources, choice: Choice) -> Artifact:
    """Return the asset that a reference names, with its size and sha256 from GitHub's API.

    If the API does not answer, both come from the link itself. Raises UsageError, which lists the models of a release.
    Raises SourceMissing, NotAModel (empty), RateLimited, NetworkError.
    """
    endpoint = sources.endpoint(Service.GITHUB)
    name = f"{reference.owner}/{reference.repo}"
    repo = _Repo(reference, name, endpoint, scope_for(sources, name), sources.http)
    try:
        release = repo.release()
    except NetworkError as error:
        if reference.asset is None:
            raise
        return repo.linked(reference.asset, error)
    tag = release.text("tag_name") or reference.tag or ""
    assets = {
        title: asset
        for asset in release.each("assets")
        if (title := asset.text("name")) is not None and asset.text("state") in (None, "uploaded")
    }
    listed = [
        Listed(title, str(replace(reference, tag=tag, asset=title)), asset.whole("size"))
        for title, asset in assets.items()
    ]
    asset = chosen(f"the release {tag} of {name}", listed, reference.asset or choice.file).name
    return repo.told(tag, asset, assets[asset])


def scope_for(sources: Sources, at: str) -> TokenScope:
    """Return GitHub's scope for `at`, a repository's name or a link that `resolve` made.

    Its site and its API are two hosts, and neither gets a token.
    """
    endpoint = sources.endpoint(Service.GITHUB)
    name = at.removeprefix(f"{endpoint.address}/").partition("/releases/")[0]
    return TokenScope(
        open_hosts(endpoint), explain=partial(_explain, name, f"{endpoint.address}/{name}/releases"), remembers=True
    )


@dataclass(frozen=True)
class _Repo:
    """A repository, and which of its releases is meant."""

    reference: GitHubReference
    name: str
    endpoint: Endpoint
    scope: TokenScope
    http: Http

    def release(self) -> Fields:
        tag = self.reference.tag
        which = "latest" if tag is None else f"tags/{quote(tag, safe='')}"
        url = f"{self.endpoint.addresses[-1]}/repos/{self.name}/releases/{which}"
        return Fields(self.http.json(url, headers=_API, scope=self.scope))

    def link(self, tag: str | None, asset: str) -> str:
        which = "latest/download" if tag is None else f"download/{quote(tag, safe='')}"
        return f"{self.endpoint.address}/{self.name}/releases/{which}/{quote(asset, safe='')}"

    def told(self, tag: str, asset: str, fields: Fields) -> Artifact:
        """Return the artifact of an asset as the API describes it."""
        hashed = _DIGEST.fullmatch(fields.text("digest") or "")
        digest = Digest(hashed[1].lower()) if hashed else None
        return self._artifact(self._published(asset, self.link(tag, asset), fields.whole("size"), digest))

    def linked(self, asset: str, error: NetworkError) -> Artifact:
        """Return the artifact of an asset as its link describes it. An asset of the latest release is pinned to that
        release.
        """
        link = self.link(self.reference.tag, asset)
        if self.reference.tag is None:
            to = self.http.ask(link, scope=self.scope).location or ""
            if to.startswith(f"{self.endpoint.address}/{self.name}/releases/download/"):
                link = to
        note = f"GitHub's API did not tell the sha256 of {asset}: {error.message}"
        return self._artifact(replace(self._published(asset, link, None, None), notes=(note,)))

    def _published(self, asset: str, link: str, size: int | None, digest: Digest | None) -> Published:
        return Published(str(self.reference), asset, link, Service.GITHUB, size, digest)

    def _artifact(self, file: Published) -> Artifact:
        return artifact(file, self.http, self.scope)


def _explain(name: str, page: str, refusal: Refusal) -> UploaderError | None:
    if refusal.location is not None:
        return None
    if not refusal.in_scope:
        return run_out(refusal)
    if refusal.status == 404:
        return SourceMissing(
            f"{name} on GitHub has no such release or file, or it is private",
            remedy=f"See {page}; of a private repository, download the file in a browser and push that.",
        )
    spent = refusal.headers.get("x-ratelimit-remaining") == "0" or "retry-after" in refusal.headers
    if refusal.status == 429 or (refusal.status == 403 and spent):
        return _throttled(refusal)
    return None


def _throttled(refusal: Refusal) -> RateLimited:
    after, reset = refusal.headers.get("retry-after", ""), refusal.headers.get("x-ratelimit-reset", "")
    wait: float | None = None
    if _NUMBER.fullmatch(after):
        wait = float(after)
    elif _NUMBER.fullmatch(reset):
        wait = max(0.0, float(reset) - time.time())
    error = RateLimited(
        f"GitHub answers no more questions from this address for a while ({refusal.status})",
        remedy="Push the link of the file itself, or try again in an hour.",
        wait=wait,
    )
    error.retryable = wait is None or wait <= _LONGEST_QUOTA_WAIT
    return error
