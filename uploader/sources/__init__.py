"""Reference -> artifacts: where models come from, one file a member, and the table that says which."""

from __future__ import annotations

from uploader.artifact import Artifact, LocalFile, WebFile
from uploader.http import Http
from uploader.reference import PathReference, Reference, UrlReference
from uploader.sources import direct, local
from uploader.sources.handover import Handover, hand_over
from uploader.sources.interface import Stream
from uploader.sources.shared import Shared

__all__ = ["Handover", "Shared", "Stream", "hand_over", "open_stream", "resolve"]


def resolve(reference: Reference, http: Http) -> list[Artifact]:
    """Returns the artifacts that a reference names, at least one.

    Raises UsageError, SourceMissing, SourceRefused, NotAModel (an empty file), CredentialsRefused, RateLimited,
    NetworkError, and Several where a pattern names more than one file that will not do.
    """
    match reference:
        case PathReference():
            return local.resolve(reference)
        case UrlReference():
            return [direct.resolve(reference, http)]


def open_stream(artifact: Artifact, http: Http) -> Stream:
    """Opens an artifact that `resolve` returned. Raises SourceChanged when it is not what it was then."""
    match artifact.origin:
        case LocalFile():
            return local.open(artifact)
        case WebFile():
            return direct.open(artifact, http)
