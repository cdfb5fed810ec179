"""Reference -> artifacts: one file for each source of models, and the table that chooses one.

artifacts = resolve(parse(text), sources, choice)     # one per file; asks the service, reads no content
stream = open_stream(artifact, sources)               # reads any range; raises SourceChanged
link = hand_over(artifact, sources)                   # what a server needs to download by itself
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from uploader.artifact import Artifact, LocalFile, Service, WebFile
from uploader.errors import CredentialsMissing, CredentialsRefused, NetworkError, UploaderError
from uploader.http import TokenScope
from uploader.reference import (
    CivitaiReference,
    GitHubReference,
    HuggingFaceReference,
    ModelScopeReference,
    PathReference,
    Reference,
    UrlReference,
)
from uploader.sources import civitai, direct, github, huggingface, local, modelscope
from uploader.sources.civitai import Hit
from uploader.sources.civitai import search as search_civitai
from uploader.sources.endpoints import Sources
from uploader.sources.http_stream import WebStream
from uploader.sources.interface import FIRST_CHOICE, PREFERENCES, Choice, Stream
from uploader.sources.server_link import ServerLink
from uploader.sources.server_link import hand_over as follow

__all__ = [
    "FIRST_CHOICE",
    "PREFERENCES",
    "Choice",
    "Hit",
    "ServerLink",
    "Sources",
    "Stream",
    "hand_over",
    "open_stream",
    "resolve",
    "search_civitai",
]


_SCOPES: Mapping[Service, Callable[[Sources, str], TokenScope]] = {
    Service.CIVITAI: lambda sources, _: civitai.download_scope(sources),
    Service.HUGGINGFACE: huggingface.scope_for,
    Service.GITHUB: github.scope_for,
    Service.MODELSCOPE: modelscope.scope_for,
}
"""The token scope of each service for a link of its own."""


_SERVICES: Mapping[type[Reference], Service] = {
    CivitaiReference: Service.CIVITAI,
    HuggingFaceReference: Service.HUGGINGFACE,
    GitHubReference: Service.GITHUB,
    ModelScopeReference: Service.MODELSCOPE,
}


def resolve(reference: Reference, sources: Sources, choice: Choice = FIRST_CHOICE) -> list[Artifact]:
    """Return the artifacts that a reference names, at least one.

    Their notes say when a mirror is sent no token, and when it leads elsewhere.

    Raises UsageError, SourceMissing, SourceRefused, NotAModel (an empty file), CredentialsMissing, CredentialsRefused,
    RateLimited, NetworkError. Raises Several where a pattern names more than one file that cannot be used.
    """
    try:
        return [_noted(artifact, sources) for artifact in _resolved(reference, sources, choice)]
    except (CredentialsMissing, CredentialsRefused, NetworkError) as error:
        if (told := _of_mirror(error, reference, sources)) is error:
            raise
        raise told from error


def _resolved(reference: Reference, sources: Sources, choice: Choice) -> list[Artifact]:
    match reference:
        case PathReference():
            return local.resolve(reference)
        case UrlReference():
            return [direct.resolve(reference, sources.http)]
        case CivitaiReference():
            return [civitai.resolve(reference, sources, choice)]
        case HuggingFaceReference():
            return [huggingface.resolve(reference, sources, choice)]
        case GitHubReference():
            return [github.resolve(reference, sources, choice)]
        case ModelScopeReference():
            return [modelscope.resolve(reference, sources, choice)]


def _noted(artifact: Artifact, sources: Sources) -> Artifact:
    service = artifact.origin.service if isinstance(artifact.origin, WebFile) else None
    if service is None:
        return artifact
    moved = sources.moved(service)
    notes = (sources.endpoint(service).note, f"{moved}; that is asked without a token of yours" if moved else None)
    return replace(artifact, notes=(*artifact.notes, *filter(None, notes)))


def _of_mirror(error: UploaderError, reference: Reference, sources: Sources) -> UploaderError:
    """Return the error as one of the mirror that was asked, where there is one."""
    service = _SERVICES.get(type(reference))
    if service is None:
        return error
    endpoint, moved = sources.endpoint(service), sources.moved(service)
    if moved and type(error) is NetworkError:
        return NetworkError(f"{moved}; {error.message}", remedy=f"Take ${endpoint.variable} away, or name another one.")
    if (moved or endpoint.note) and not isinstance(error, NetworkError):
        error.remedy = f"{error.remedy or ''} A mirror is sent no token: take ${endpoint.variable} away for this."
    return error


def open_stream(artifact: Artifact, sources: Sources) -> Stream:
    """Open an artifact that `resolve` returned. Raises SourceChanged when it is another file now."""
    match artifact.origin:
        case LocalFile():
            return local.open(artifact)
        case WebFile():
            return WebStream(artifact, sources.http, _scope(artifact.origin, sources))


def hand_over(artifact: Artifact, sources: Sources) -> ServerLink:
    """Return what a server needs to download a link.

    Raises what the source raises, SourceChanged, and RouteUnavailable for a local file.
    """
    scope = _scope(artifact.origin, sources) if isinstance(artifact.origin, WebFile) else None
    return follow(artifact, sources.http, scope)


def _scope(file: WebFile, sources: Sources) -> TokenScope | None:
    """Return the token scope of the link's service, None for any other link."""
    return None if file.service is None else _SCOPES[file.service](sources, file.url)
