"""Reference -> artifacts: one file for each source of models, and the table that chooses one.

artifacts = resolve(parse(text), sources, choice)     # one per file; asks the service, reads no content
stream = open_stream(artifact, sources)               # reads any range; raises SourceChanged
link = hand_over(artifact, sources)                   # what a server needs to download by itself
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from uploader.artifact import Artifact, LocalFile, Service, WebFile
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


def resolve(reference: Reference, sources: Sources, choice: Choice = FIRST_CHOICE) -> list[Artifact]:
    """Return the artifacts that a reference names, at least one. Their notes say when a mirror is sent no token.

    Raises UsageError, SourceMissing, SourceRefused, NotAModel (an empty file), CredentialsMissing, CredentialsRefused,
    RateLimited, NetworkError. Raises Several where a pattern names more than one file that cannot be used.
    """
    return [_noted(artifact, sources) for artifact in _resolved(reference, sources, choice)]


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
    note = None if service is None else sources.endpoint(service).note
    return artifact if note is None else replace(artifact, notes=(*artifact.notes, note))


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
