"""Reference -> artifacts: where models come from, one file a member, and the table that says which."""

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
from uploader.sources.shared import Shared

__all__ = [
    "FIRST_CHOICE",
    "PREFERENCES",
    "Choice",
    "Hit",
    "ServerLink",
    "Shared",
    "Sources",
    "Stream",
    "hand_over",
    "open_stream",
    "resolve",
    "search_civitai",
]


_DOORS: Mapping[Service, Callable[[Sources, str], TokenScope]] = {
    Service.CIVITAI: lambda sources, _: civitai.download_door(sources),
    Service.HUGGINGFACE: huggingface.door,
    Service.GITHUB: github.door,
    Service.MODELSCOPE: modelscope.door,
}
"""How each service's links are opened: the door for whoever reads that link."""


def resolve(reference: Reference, sources: Sources, choice: Choice = FIRST_CHOICE) -> list[Artifact]:
    """Returns the artifacts that a reference names, at least one. A token that is kept from a mirror is in its notes.

    Raises UsageError, SourceMissing, SourceRefused, NotAModel (an empty file), CredentialsMissing, CredentialsRefused,
    RateLimited, NetworkError, and Several where a pattern names more than one file that will not do.
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
    note = None if service is None else sources.site(service).note
    return artifact if note is None else replace(artifact, notes=(*artifact.notes, note))


def open_stream(artifact: Artifact, sources: Sources) -> Stream:
    """Opens an artifact that `resolve` returned. Raises SourceChanged when it is not what it was then."""
    match artifact.origin:
        case LocalFile():
            return local.open(artifact)
        case WebFile():
            return WebStream(artifact, sources.http, _door(artifact.origin, sources))


def hand_over(artifact: Artifact, sources: Sources) -> ServerLink:
    """Returns what of a link may be given to a server. Raises what the source raises, SourceChanged, and
    RouteUnavailable for what is no link."""
    door = _door(artifact.origin, sources) if isinstance(artifact.origin, WebFile) else None
    return follow(artifact, sources.http, door)


def _door(file: WebFile, sources: Sources) -> TokenScope | None:
    """The door that a link is opened with: its service's, with what that service means by its refusals."""
    return None if file.service is None else _DOORS[file.service](sources, file.url)
