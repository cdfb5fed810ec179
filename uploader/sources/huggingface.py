"""Models on Hugging Face: one file of a repository, pinned to its commit, or the list of what a repository holds.

Follows huggingface_hub (`get_hf_file_metadata`, `hf_raise_for_status`, `list_repo_tree`) and hub/rate-limits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from urllib.parse import parse_qs, quote, urlsplit

from uploader.artifact import Artifact, Digest, Service
from uploader.errors import (
    CredentialsMissing,
    CredentialsRefused,
    RateLimited,
    SourceMissing,
    SourceRefused,
    UploaderError,
)
from uploader.http import Fields, Http, Refusal, TokenScope, authority, host_of
from uploader.reference import HuggingFaceReference
from uploader.sources.endpoints import Sources
from uploader.sources.interface import Choice
from uploader.sources.listing import MOST_ENTRIES, Listed, chosen
from uploader.sources.published_file import Published, artifact, run_out

_MOST_HOPS = 5
_MOST_PAGES = 50
_PREFIXES = {"model": "", "dataset": "datasets/", "space": "spaces/", "bucket": "buckets/"}
_SIGN_IN = "`uploader login huggingface`"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r'"?([0-9a-f]{64})"?')
_NUMBER = re.compile(r"\d{1,18}")
_SECONDS = re.compile(r";\s*t=(\d{1,6})\b")


def resolve(reference: HuggingFaceReference, sources: Sources, choice: Choice) -> Artifact:
    """Return the file that a reference names: its size, its sha256 if the Hub has one, and a link.

    The link names the commit, so a branch that moves changes nothing. Raises UsageError, which lists the models of a
    repository or a folder. Raises CredentialsMissing and CredentialsRefused (gated, private), SourceMissing,
    SourceRefused (disabled), NotAModel (empty), RateLimited, NetworkError.
    """
    endpoint = sources.endpoint(Service.HUGGINGFACE)
    repo = _Repo(reference, endpoint.address, scope_for(sources, _repo(reference)), sources.http)
    path = reference.path
    if path is None or path.endswith("/"):
        files, whole = repo.files(path or "")
        path = chosen(f"{repo.name} on Hugging Face", files, choice.file, whole=whole).name
    # Whether a mirror can do ranges is not known beforehand.
    return artifact(repo.file(path), sources.http, repo.scope, ask=endpoint.replaced)


def scope_for(sources: Sources, at: str) -> TokenScope:
    """Return the Hub's scope for `at`, a repository's name or a link that `resolve` made.

    Its refusals name that repository's page. Raises what `Sources.endpoint` raises.
    """
    endpoint = sources.endpoint(Service.HUGGINGFACE)
    name = at.removeprefix(f"{endpoint.address}/").partition("/resolve/")[0]
    explain = partial(_explain, name, f"{endpoint.address}/{name}", bool(endpoint.scope.token))
    return replace(endpoint.scope, explain=explain, remembers=True)


@dataclass(frozen=True)
class _Repo:
    """A repository at one of its revisions."""

    reference: HuggingFaceReference
    address: str
    scope: TokenScope
    http: Http

    @property
    def name(self) -> str:
        return _repo(self.reference)

    def link(self, path: str, revision: str) -> str:
        """Return a file's link. Buckets have no revisions: theirs leads to the file of today."""
        at = "" if self.reference.type == "bucket" else f"{quote(revision, safe='')}/"
        return f"{self.address}/{self.name}/resolve/{at}{quote(path)}"

    def file(self, path: str) -> Published:
        """Ask for a file's headers. Of a redirect, only what it says of the file counts, never its own length."""
        revision = self.reference.revision or "main"
        told = self._told(self.link(path, revision))
        commit = told.get("x-repo-commit", "")
        pinned = _COMMIT.fullmatch(commit) is not None
        link = self.link(path, commit if pinned else revision)
        hashed, size = _SHA256.fullmatch(told.get("x-linked-etag", "")), told.get("x-linked-size", "")
        if hashed and hashed[1] == told.get("x-xet-hash"):  # the hash of its store, which is no sha256
            hashed = None
        return Published(
            str(self.reference),
            path,
            link,
            Service.HUGGINGFACE,
            int(size) if _NUMBER.fullmatch(size) else None,
            Digest(hashed[1]) if hashed else None,  # git's own small files have a sha1 there
            () if pinned or hashed or self.reference.type == "bucket" else (_unpinned(self.address, path),),
        )

    def _told(self, link: str) -> Mapping[str, str]:
        """Return the headers of the first answers, until they say which file it is.

        Follows redirects within the Hub, such as from a repository's old name to its new one. Some mirrors redirect to
        the Hub itself: that is asked without a token.
        """
        told: dict[str, str] = {}
        at, scope = link, self.scope
        for _ in range(_MOST_HOPS):
            reply = self.http.ask(at, method="HEAD", scope=scope, origin=link)
            told = {**reply.headers, **told}
            at = reply.location or ""
            if not at or "x-linked-etag" in told:
                break
            if not at.startswith(f"{self.address}/"):
                if "/resolve/" not in at.partition("?")[0]:  # a store, which has no more to tell
                    break
                self.http.note_move(self.address, at)
                scope = self._elsewhere(at)
        return told

    def _elsewhere(self, at: str) -> TokenScope:
        parts = urlsplit(at)
        hosts = frozenset({authority(parts.scheme, parts.hostname or "", parts.port)})
        return TokenScope(hosts, explain=partial(_explain, self.name, f"{self.address}/{self.name}", False))

    def files(self, folder: str) -> tuple[list[Listed], bool]:
        """Return all files below a folder, and whether the listing is complete."""
        url = f"{self.address}/api/{self.reference.type}s/{self.reference.repo}/tree/"
        if self.reference.type == "bucket":  # not a folder but the beginning of its names, as one segment
            url = f"{url}{quote(folder.rstrip('/'), safe='')}".rstrip("/")
        else:
            url = f"{url}{quote(self.reference.revision or 'main', safe='')}/{quote(folder)}".rstrip("/")
        entries: list[Fields] = []
        asked = {"recursive": "true"}
        for _ in range(_MOST_PAGES):
            page, following = self.http.page(url, params=asked, scope=self.scope)
            entries += [Fields(entry) for entry in page] if isinstance(page, list) else []
            # Of the next page's address nothing is used but where it begins: a mirror names the Hub itself there.
            cursor = parse_qs(urlsplit(following or "").query).get("cursor")
            if not cursor:
                return self._listed(entries, folder), True
            if len(entries) >= MOST_ENTRIES:
                break
            asked["cursor"] = cursor[0]
        return self._listed(entries, folder), False

    def _listed(self, entries: list[Fields], folder: str) -> list[Listed]:
        return [
            Listed(path, str(replace(self.reference, path=path)), entry.whole("size"))
            for entry in entries
            if entry.text("type") == "file" and (path := entry.text("path")) is not None and path.startswith(folder)
        ]


def _unpinned(address: str, path: str) -> str:
    return f"{host_of(address)} tells neither commit nor sha256 of {path}: its bytes are compared with nothing"


def _repo(reference: HuggingFaceReference) -> str:
    """Return a repository's name as it stands in its page's address."""
    return _PREFIXES[reference.type] + reference.repo


def _explain(name: str, page: str, signed_in: bool, refusal: Refusal) -> UploaderError | None:
    """Return the Hub's error for an answer. The Hub that a mirror leads to is shown no token."""
    if refusal.location is not None:
        return None
    if not refusal.in_scope and "x-error-code" not in refusal.headers:
        return run_out(refusal)
    return _refused(name, page, signed_in and refusal.in_scope, refusal)


def _refused(name: str, page: str, signed_in: bool, refusal: Refusal) -> UploaderError | None:
    """Return what an answer means by its error code first (`X-Error-Code`), then by its status."""
    code = refusal.headers.get("x-error-code", "")
    if refusal.status == 429:
        return _throttled(refusal, signed_in=signed_in)
    if code == "GatedRepo":
        return _gated(name, page, refusal.status)
    if code == "RepoNotFound" or (refusal.status == 401 and not signed_in):
        return _hidden(name, page, signed_in=signed_in)
    if refusal.status == 404:
        tree = "" if name.startswith(_PREFIXES["bucket"]) else "/tree/main"
        missing = "no such revision" if code == "RevisionNotFound" else "no such file"
        return SourceMissing(
            f"{name} on Hugging Face has {missing}",
            remedy=f"`uploader push hf://{name}` lists its models; see also {page}{tree}.",
        )
    if "access to this resource is disabled" in refusal.headers.get("x-error-message", "").lower():
        return SourceRefused(f"Hugging Face has disabled {name}: nobody can download it", remedy=f"See {page}.")
    if refusal.status == 401:
        return _unknown(name, page)
    if refusal.status == 403:
        return CredentialsRefused(
            f"Hugging Face does not give {name} to this token",
            remedy=f"Give the token the right to read that repository at {_tokens(name, page)}, or see {page}.",
        )
    return None


def _throttled(refusal: Refusal, *, signed_in: bool) -> UploaderError:
    seconds = _SECONDS.search(refusal.headers.get("ratelimit", ""))
    after = refusal.headers.get("retry-after", "")
    wait = seconds[1] if seconds else after if _NUMBER.fullmatch(after) else None
    more = "" if signed_in else f" Signed in ({_SIGN_IN}) you may ask more often."
    return RateLimited(
        "Hugging Face asks us to slow down (429)",
        remedy=f"Try again in five minutes.{more}",
        wait=None if wait is None else float(wait),
    )


def _gated(name: str, page: str, status: int) -> UploaderError:
    if status == 401:
        return CredentialsMissing(
            f"{name} on Hugging Face is gated: it is given to those alone who have accepted its terms",
            remedy=f"Accept them at {page}, then sign in with {_SIGN_IN} (or set $HF_TOKEN) and push again.",
        )
    return CredentialsRefused(
        f"{name} on Hugging Face is gated, and your account is not (yet) on its list",
        remedy=f"Ask for access at {page}; a fine-grained token also needs the right to read gated repositories.",
    )


def _hidden(name: str, page: str, *, signed_in: bool) -> UploaderError:
    """Return the error for a repository that is not shown. Without a token the Hub does not say if there is one."""
    if signed_in:
        return SourceMissing(
            f"Hugging Face has no {name} that this token may see",
            remedy=f"Check the name at {page}; a private repository wants a token of an account that may read it.",
        )
    return CredentialsMissing(
        f"Hugging Face shows no {name} to the public: there is none, or it is private",
        remedy=f"Check the name at {page}. If it is private, sign in with {_SIGN_IN} (or set $HF_TOKEN).",
    )


def _unknown(name: str, page: str) -> UploaderError:
    return CredentialsRefused(
        "Hugging Face does not know this token (any more)",
        remedy=f"Make a new one at {_tokens(name, page)} and sign in with {_SIGN_IN}; or take the old one out of "
        "$HF_TOKEN, or of the file where Hugging Face's own tools keep it (~/.cache/huggingface/token).",
    )


def _tokens(name: str, page: str) -> str:
    return f"{page.removesuffix(name)}settings/tokens"
