"""Models on ModelScope: one file of a repository, with the size and sha256 of its list of files.

Follows modelscope's SDK (`hub/file_download.py`, `HubApi.get_model_files`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial
from urllib.parse import urlencode, urlsplit

from uploader.artifact import Artifact, Digest, Service
from uploader.errors import CredentialsRefused, SourceMissing, UploaderError
from uploader.http import Fields, Refusal, TokenScope
from uploader.reference import ModelScopeReference
from uploader.sources.endpoints import Sources
from uploader.sources.interface import Choice
from uploader.sources.listing import MOST_ENTRIES, Listed, chosen
from uploader.sources.published_file import Published, artifact, open_hosts, run_out

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_API = "/api/v1/models/"


def resolve(reference: ModelScopeReference, sources: Sources, choice: Choice) -> Artifact:
    """Return the file that a reference names, with its size and sha256 from the repository's list of files.

    Raises UsageError, which lists the models of a repository or a folder. Raises CredentialsRefused (private),
    SourceMissing, NotAModel (empty), RateLimited, NetworkError.
    """
    repo = _Repo(reference, sources)
    entries = repo.entries()
    path = reference.path
    if path is None or path.endswith("/"):
        path = chosen(
            f"{reference.repo} on ModelScope",
            repo.listed(entries, below=path or ""),
            choice.file,
            whole=len(entries) < MOST_ENTRIES,
        ).name
    if path not in entries:
        raise SourceMissing(
            f"{reference.repo} on ModelScope has no file {path}",
            remedy=f"See what it holds at {repo.page}/files; `uploader push` of its page lists its models.",
        )
    return repo.artifact(path, entries[path])


def scope_for(sources: Sources, at: str) -> TokenScope:
    """Return ModelScope's scope for `at`, a page or a link that `resolve` made. No host gets a token."""
    endpoint = sources.endpoint(Service.MODELSCOPE)
    name = urlsplit(at).path.removeprefix(_API).removeprefix("/models/").removesuffix("/repo")
    address = next((address for address in endpoint.addresses if at.startswith(f"{address}/")), endpoint.address)
    return TokenScope(open_hosts(endpoint), explain=partial(_explain, name, f"{address}/models/{name}"), remembers=True)


@dataclass(frozen=True)
class _Repo:
    """A repository at one of its revisions, on the site that has it."""

    reference: ModelScopeReference
    sources: Sources

    @property
    def address(self) -> str:
        endpoint = self.sources.endpoint(Service.MODELSCOPE)
        return endpoint.addresses[-1 if self.reference.site == "ai" else 0]

    @property
    def page(self) -> str:
        return f"{self.address}/models/{self.reference.repo}"

    @property
    def revision(self) -> str:
        return self.reference.revision or "master"

    def entries(self) -> dict[str, Fields]:
        """Return the files by their paths."""
        url = f"{self.address}{_API}{self.reference.repo}/repo/files"
        asked = {"Revision": self.revision, "Recursive": "true"}
        said = Fields(self.sources.http.json(url, params=asked, scope=scope_for(self.sources, self.page)))
        if said.flag("Success") is False:
            raise SourceMissing(
                f"ModelScope does not show {self.reference.repo}: {said.text('Message') or 'it says no more'}",
                remedy=f"Check the name and the revision at {self.page}.",
            )
        files = said.inner("Data").each("Files")[:MOST_ENTRIES]
        return {path: file for file in files if file.text("Type") != "tree" and (path := file.text("Path")) is not None}

    def listed(self, entries: dict[str, Fields], below: str) -> list[Listed]:
        return [
            Listed(path, str(replace(self.reference, revision=self.revision, path=path)), entry.whole("Size"))
            for path, entry in entries.items()
            if path.startswith(below)
        ]

    def artifact(self, path: str, entry: Fields) -> Artifact:
        query = urlencode({"Revision": self.revision, "FilePath": path})
        link = f"{self.address}{_API}{self.reference.repo}/repo?{query}"
        sha256 = entry.text("Sha256") or ""
        digest = Digest(sha256.lower()) if _SHA256.fullmatch(sha256) else None
        file = Published(str(self.reference), path, link, Service.MODELSCOPE, entry.whole("Size"), digest)
        return artifact(file, self.sources.http, scope_for(self.sources, link))


def _explain(name: str, page: str, refusal: Refusal) -> UploaderError | None:
    if refusal.location is not None:
        return None
    if not refusal.in_scope:
        return run_out(refusal)
    if refusal.status in (401, 403):
        return CredentialsRefused(
            f"ModelScope does not give {name} to everybody",
            remedy=f"Sign in at {page}, download the file in your browser, and push the file.",
        )
    if refusal.status == 404:
        return SourceMissing(
            f"{name} on ModelScope has no such revision or file, or there is no {name}", remedy=f"Check it at {page}."
        )
    return None
