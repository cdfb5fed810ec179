"""A fake of the Hugging Face Hub: repositories, revisions, gates, error headers, and a separate store.

    with HuggingFace() as hub:
        repo = hub.repo("org/model", {"a.safetensors": content, "config.json": b"{}"})
        hub.tokens["hf_good"] = {"org/gated"}          # a token, and the gated repositories that it opens
        ...                                            # $HF_ENDPOINT is hub.url("")
        repo.commit({"a.safetensors": other})          # the branch moves

Answers follow huggingface_hub's `hf_raise_for_status` and `get_hf_file_metadata`, and hub/rate-limits of the docs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tests.servers.http_origin import Origin, Request, Resource
from tests.servers.storage import Storage


@dataclass
class Repo:
    """One repository. `commits` are its trees, newest last. `gate`: users must accept its terms first.

    Files of at least `large` bytes lie in the store, with a sha256; smaller files lie in git. `claimed` maps a path to
    the wrong sha256 that the repository publishes for it.
    """

    name: str
    kind: str = "models"
    gate: bool = False
    private: bool = False
    disabled: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    large: int = 1000
    claimed: dict[str, str] = field(default_factory=dict)

    def commit(self, files: Mapping[str, bytes], ref: str = "main") -> str:
        """Commit these files to a branch. Return the commit."""
        digest = hashlib.sha1(f"{self.name} {len(self.commits)}".encode()).hexdigest()
        self.commits[digest] = dict(files)
        self.refs[ref] = digest
        return digest

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        commit = self.refs.get(revision, revision)
        return (commit, self.commits[commit]) if commit in self.commits else None


class HuggingFace(Origin):
    """A Hub with repositories, tokens and faults.

    `tokens` maps a token to the repositories that it opens. `renamed` maps an old name to the new one. `throttle`
    makes each of the next answers a 429 with that wait in seconds. `page_size` is the number of entries on a page of
    a listing. `small_by_cache`: small files redirect within the host, as on the Hub since 2025. `next_at` is the
    address of the next page in a listing; a mirror may name the Hub there. `codes` False: refusals have a status and
    no error code.
    """

    def __init__(self) -> None:
        super().__init__()
        self.storage = Storage()
        self.repos: dict[str, Repo] = {}
        self.tokens: dict[str, set[str]] = {}
        self.renamed: dict[str, str] = {}
        self.throttle: list[int] = []
        self.page_size = 1000
        self.small_by_cache = False
        self.next_at: str | None = None
        self.codes = True

    def __enter__(self) -> Self:
        self.storage.__enter__()
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self.storage.__exit__(kind, error, trace)

    def repo(self, name: str, files: Mapping[str, bytes], **behaviour: Any) -> Repo:
        made = self.repos[name] = Repo(name, **behaviour)
        made.commit(files)
        return made

    def choose(self, request: Request) -> Resource | None:
        answer = self._answer(request)
        if answer is not None and not self.codes:
            answer.headers = {name: value for name, value in answer.headers.items() if "Error" not in name}
        return answer

    def _answer(self, request: Request) -> Resource | None:
        if self.throttle:
            seconds = self.throttle.pop(0)
            limits = {"RateLimit": f'"resolvers";r=0;t={seconds}', "RateLimit-Policy": '"fixed window";"resolvers"'}
            return _failed(429, None, "We had to rate limit you", limits)
        parts = urlsplit(request.path)
        path = _parts(parts.path)
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token and token not in self.tokens:
            return _failed(401, None, "Invalid credentials in Authorization header")
        match path:
            case ["api", "resolve-cache", _, owner, name, commit, *inside]:
                return self._cached(self.repos[f"{owner}/{name}"].commits[commit]["/".join(inside)])
            case ["api", kind, owner, name, "tree", revision, *below]:
                query = parse_qs(parts.query)
                return self._tree(kind, f"{owner}/{name}", revision, "/".join(below), query, token)
            case ["api", kind, name, "tree", revision, *below]:
                query = parse_qs(parts.query)
                return self._tree(kind, name, revision, "/".join(below), query, token)
            case [name, "resolve", revision, *inside]:
                return self._resolve("models", name, revision, "/".join(inside), token)
            case [("datasets" | "spaces" | "buckets") as kind, owner, name, "resolve", revision, *inside]:
                return self._resolve(kind, f"{owner}/{name}", revision, "/".join(inside), token)
            case [owner, name, "resolve", revision, *inside]:
                return self._resolve("models", f"{owner}/{name}", revision, "/".join(inside), token)
        return None

    def _resolve(self, kind: str, name: str, revision: str, inside: str, token: str) -> Resource:
        if name in self.renamed:
            prefix = "" if kind == "models" else f"{kind}/"
            return Resource(
                b"", status=307, location=f"/{prefix}{self.renamed[name]}/resolve/{revision}/{quote(inside)}"
            )
        repo = self.repos.get(name)
        if (refusal := self._refusal(repo, kind, name, token)) is not None:
            return refusal
        assert repo is not None
        there = repo.at(revision)
        if there is None:
            return _failed(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        commit, files = there
        if inside not in files:
            return _failed(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit})
        content = files[inside]
        if len(content) >= repo.large or repo.kind == "buckets":
            return self._linked(repo, content, commit, inside)
        etag = f'"{_git_digest(content)}"'
        if self.small_by_cache:
            told = {"X-Repo-Commit": commit, "X-Linked-Size": str(len(content)), "X-Linked-Etag": etag}
            where = f"/api/resolve-cache/{kind}/{name}/{commit}/{quote(inside)}?etag=x"
            return Resource(b"Temporary Redirect", status=307, location=where, headers=told)
        return Resource(content, etag=etag, content_type="text/plain", headers={"X-Repo-Commit": commit})

    def _linked(self, repo: Repo, content: bytes, commit: str, inside: str) -> Resource:
        disposition = f'inline; filename="{inside.rpartition("/")[2]}"'
        told = {
            "X-Repo-Commit": commit,
            "X-Linked-Size": str(len(content)),
            "X-Linked-Etag": f'"{repo.claimed.get(inside) or hashlib.sha256(content).hexdigest()}"',
            "X-Xet-Hash": hashlib.sha256(b"xet" + content).hexdigest(),
            "Link": '<https://huggingface.co/api/models/x/xet-read-token/y>; rel="xet-auth"',
        }
        body = b"Found. Redirecting to the store"
        if repo.kind == "buckets":  # a bucket has no versions, and all its files lie in the store
            told.pop("X-Repo-Commit")
        return Resource(body, status=302, location=self.storage.link(content, disposition), headers=told)

    @staticmethod
    def _cached(content: bytes) -> Resource:
        return Resource(content, etag=f'"{_git_digest(content)}"')

    def _refusal(self, repo: Repo | None, kind: str, name: str, token: str) -> Resource | None:
        opened = name in self.tokens.get(token, set())
        if repo is None or repo.kind != kind or (repo.private and not opened):
            # Without a token the Hub hides whether such a repository exists.
            return _failed(404 if token else 401, "RepoNotFound", "Repository not found")
        if repo.disabled:
            return _failed(403, None, "Access to this resource is disabled.")
        if repo.gate and not token:
            return _failed(401, "GatedRepo", f"Access to model {name} is restricted. Please log in.")
        if repo.gate and not opened:
            return _failed(403, "GatedRepo", f"You are not in the authorized list. Visit the page of {name}.")
        return None

    def _tree(
        self, kind: str, name: str, revision: str, below: str, query: Mapping[str, list[str]], token: str
    ) -> Resource:
        repo = self.repos.get(name)
        # The listing of a gated repository is public; its files are not.
        if repo is None or not repo.gate:
            refusal = self._refusal(repo, kind, name, token)
            if refusal is not None:
                return refusal
        assert repo is not None
        there = repo.at(revision)
        if there is None:
            return _failed(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        entries = [
            _entry(path, content, repo.large)
            for path, content in there[1].items()
            if _is_below(path, below, prefix=kind == "buckets")
        ]
        if below and not entries:
            return _failed(404, "EntryNotFound", f"{below} does not exist on {revision}")
        folders = {path.rpartition("/")[0] for path in there[1] if "/" in path}
        entries += [{"type": "directory", "oid": "0" * 40, "size": 0, "path": path} for path in sorted(folders)]
        at = int(query.get("cursor", ["0"])[0])
        headers = {}
        if at + self.page_size < len(entries):
            following = f"/api/{kind}/{name}/tree/{revision}?recursive=true&cursor={at + self.page_size}"
            headers["Link"] = f'<{self.next_at or self.url("")}{following}>; rel="next"'
        return _json(entries[at : at + self.page_size], headers)


def _parts(address: str) -> list[str]:
    """Return the parts of an address, with a revision also for a bucket. A revision may contain an escaped slash."""
    path = [unquote(part) for part in address.strip("/").split("/")]
    at = 5 if path[:2] == ["api", "buckets"] else 4 if path[0] == "buckets" else None
    return path if at is None else [*path[:at], "main", *path[at:]]


def _is_below(path: str, folder: str, *, prefix: bool) -> bool:
    """Return True if `path` is below `folder`, or starts with it if `prefix` (as in a bucket)."""
    return not folder or path == folder or path.startswith(folder if prefix else f"{folder}/")


def _git_digest(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _entry(path: str, content: bytes, large: int) -> dict[str, object]:
    entry: dict[str, object] = {"type": "file", "oid": _git_digest(content), "size": len(content), "path": path}
    if len(content) >= large:
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 135}
    return entry


def _json(value: object, headers: Mapping[str, str], status: int = 200) -> Resource:
    return Resource(
        json.dumps(value).encode(), content_type="application/json", headers=dict(headers), status=status, ranges=False
    )


def _failed(status: int, code: str | None, message: str, headers: Mapping[str, str] | None = None) -> Resource:
    told = {"X-Error-Message": message, **(headers or {})}
    if code is not None:
        told["X-Error-Code"] = code
    return _json({"error": message}, told, status)
