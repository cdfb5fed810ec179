"""Requests to Civitai's API, at its first address and then at the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from uploader.artifact import Service
from uploader.errors import NetworkError, SourceMissing, SourceRefused, UploaderError
from uploader.http import Fields, Json, Refusal, TokenScope
from uploader.reference import CivitaiReference
from uploader.sources.civitai.errors import of_catalogue, of_download
from uploader.sources.civitai.values import Version, read_version
from uploader.sources.endpoints import Sources


@dataclass(frozen=True)
class Found:
    """A version, and the address that knows it."""

    version: Version
    address: str


def download_scope(sources: Sources) -> TokenScope:
    """Return the token scope of Civitai's download links."""
    scope = sources.endpoint(Service.CIVITAI).scope
    has_token = scope.token is not None
    return replace(scope, explain=lambda refusal: of_download(refusal, has_token), remembers=True)


def find(reference: CivitaiReference, sources: Sources) -> Found:
    """Return the version that a reference names; for a model alone, the newest one that is published.

    Raises SourceMissing, SourceRefused (archived, not for download), and what the API's refusals mean.
    """
    if reference.version is not None:
        said, address = ask(f"/api/v1/model-versions/{reference.version}", sources)
        version = read_version(Fields(said))
        if version is None:
            raise _unreadable()
        if reference.model not in (None, version.model):
            raise SourceMissing(
                f"version {version.id} belongs to model {version.model} of Civitai, not to {reference.model}",
                remedy=f"Push civitai:{version.model}@{version.id} if it is the one you mean.",
            )
    else:
        said, address = ask(f"/api/v1/models/{reference.model}", sources)
        version = _newest(Fields(said), reference)
    _refuse_withheld(version)
    return Found(version, address)


def ask(path: str, sources: Sources, params: Mapping[str, str | Sequence[str]] | None = None) -> tuple[Json, str]:
    """Return the API's answer, and the address that gave it.

    What one address does not show, another may: they are views of one catalogue.
    """
    endpoint = sources.endpoint(Service.CIVITAI)
    has_token = endpoint.scope.token is not None

    def explain(refusal: Refusal) -> UploaderError | None:
        return of_catalogue(refusal, has_token)

    scope = replace(endpoint.scope, explain=explain)
    missing: SourceMissing | None = None
    for address in endpoint.addresses:
        try:
            return sources.http.json(f"{address}{path}", params=params, scope=scope), address
        except SourceMissing as error:
            missing = missing or error
    raise missing or _unreadable()


def _newest(model: Fields, reference: CivitaiReference) -> Version:
    versions = [version for said in model.each("modelVersions") if (version := read_version(said, model)) is not None]
    published = [version for version in versions if version.published]
    if reference.file is not None:
        published = [one for one in published if any(file.id == reference.file for file in one.files)]
    if not published:
        held = model.text("mode")
        if held is not None:
            raise _withheld(model.text("name") or "this model", held)
        what = "no published version" if reference.file is None else "no version with such a file"
        raise SourceMissing(
            f"{model.text('name') or 'this model'} has {what} on Civitai", remedy="Open its page to see why."
        )
    return published[0]  # its page's own order, which is its creator's


def _refuse_withheld(version: Version) -> None:
    if version.mode is not None:
        raise _withheld(version.title, version.mode)
    if version.usage != "Download":
        raise SourceRefused(
            f"{version.title} may only be used on Civitai itself, not downloaded",
            remedy="Choose another version or another model.",
        )


def _withheld(title: str, mode: str) -> SourceRefused:
    if mode == "Archived":
        return SourceRefused(f"{title} is archived: Civitai keeps its page and gives no files of it any more")
    return SourceRefused(f"{title} was taken down by Civitai")


def _unreadable() -> NetworkError:
    return NetworkError("Civitai's answer is not the one its API documents", remedy="Try again in a few minutes.")
