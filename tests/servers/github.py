"""GitHub's releases, site and API at one address, with the store that the site sends its visitors to.

    with GitHub() as github:
        github.release("owner/repo", "v1", {"a.safetensors": content})    # the newest one is `latest`
        ...                                     # $GITHUB_ENDPOINT is github.url("")
        github.calls_left = 0                   # the API's quota is used up; the site goes on

Follows docs.github.com: REST "Releases" and "Rate limits for the REST API"; `digest` since 2025-06.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import quote, unquote, urlsplit

from tests.servers.http_origin import Origin, Request, Resource
from tests.servers.storage import Storage

RESET = 4_102_444_800
"""When the quota comes back: far away, as it is in the first minute of an hour."""


@dataclass
class Release:
    """One release. Its `files` by name; `digests` False: it is older than 2025-06."""

    tag: str
    files: dict[str, bytes]
    digests: bool = True
    draft_of_upload: set[str] = field(default_factory=set)


class GitHub(Origin):
    """`calls_left` is the API's quota, None for any number. `refusal` is the status of a used up quota, 403 or
    429. `outage`: the API answers 502 with a page."""

    def __init__(self) -> None:
        super().__init__()
        self.storage = Storage()
        self.releases: dict[str, list[Release]] = {}
        self.calls_left: int | None = None
        self.refusal = 403
        self.outage = False

    def __enter__(self) -> Self:
        self.storage.__enter__()
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self.storage.__exit__(kind, error, trace)

    def release(self, repo: str, tag: str, files: Mapping[str, bytes], *, digests: bool = True) -> Release:
        made = Release(tag, dict(files), digests)
        self.releases.setdefault(repo, []).append(made)
        return made

    def choose(self, request: Request) -> Resource | None:
        path = [unquote(part) for part in urlsplit(request.path).path.strip("/").split("/")]
        match path:
            case ["repos", owner, name, "releases", *which]:
                return self._api(f"{owner}/{name}", which)
            case [owner, name, "releases", "download", tag, file]:
                return self._download(self._find(f"{owner}/{name}", tag), file)
            case [owner, name, "releases", "latest", "download", file]:
                latest = self._find(f"{owner}/{name}", None)
                if latest is None:
                    return _page(404)
                where = f"/{owner}/{name}/releases/download/{quote(latest.tag, safe='')}/{quote(file)}"
                return Resource(b"", status=302, location=where)
        return _page(404)

    def _find(self, repo: str, tag: str | None) -> Release | None:
        known = self.releases.get(repo, [])
        if tag is None:
            return known[-1] if known else None
        return next((release for release in known if release.tag == tag), None)

    def _api(self, repo: str, which: list[str]) -> Resource:
        if self.outage:
            return _page(502)
        if self.calls_left is not None:
            if self.calls_left == 0:
                quota = {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(RESET)}
                return _json({"message": "API rate limit exceeded for 192.0.2.1."}, self.refusal, quota)
            self.calls_left -= 1
        match which:
            case ["latest"]:
                release = self._find(repo, None)
            case ["tags", tag]:
                release = self._find(repo, tag)
            case _:
                release = None
        if release is None:
            return _json({"message": "Not Found", "status": "404"}, 404)
        return _json({"tag_name": release.tag, "assets": [self._asset(repo, release, name) for name in release.files]})

    def _asset(self, repo: str, release: Release, name: str) -> dict[str, object]:
        content = release.files[name]
        return {
            "name": name,
            "size": len(content),
            "state": "starter" if name in release.draft_of_upload else "uploaded",
            "digest": f"sha256:{hashlib.sha256(content).hexdigest()}" if release.digests else None,
            "updated_at": "2026-01-02T03:04:05Z",
            "browser_download_url": self.url(f"/{repo}/releases/download/{quote(release.tag, safe='')}/{quote(name)}"),
        }

    def _download(self, release: Release | None, file: str) -> Resource:
        if release is None or file not in release.files or file in release.draft_of_upload:
            return _page(404)
        content = release.files[file]
        return Resource(b"", status=302, location=self.storage.link(content, f"attachment; filename={file}"))


def _json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Resource:
    return Resource(
        json.dumps(value).encode(),
        content_type="application/json; charset=utf-8",
        status=status,
        headers=dict(headers or {}),
        ranges=False,
    )


def _page(status: int) -> Resource:
    return Resource(b"<!DOCTYPE html><title>Not Found</title>", content_type="text/html", status=status, ranges=False)
