"""Models behind an https link."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from uploader.artifact import MODEL_EXTENSIONS, Artifact, WebFile
from uploader.errors import NotAModel
from uploader.http import Answer, Http, shown
from uploader.reference import UrlReference
from uploader.sources import elsewhere
from uploader.sources.interface import Stream
from uploader.sources.naming import safe_name
from uploader.sources.web import WebStream


def resolve(reference: UrlReference, http: Http) -> Artifact:
    """Asks the link what it leads to. Whether that is a model is for its bytes to say (see `identify`).

    Raises UsageError (plain http), NotAModel (nothing in it), CredentialsRefused, SourceMissing, SourceRefused (also
    the pages of services that have no downloads for programs), RateLimited, NetworkError.
    """
    elsewhere.refuse(reference.url)
    url = elsewhere.direct(reference.url)
    answer = http.probe(url)
    source = shown(reference.url)
    if answer.size == 0 or (answer.size is None and not answer.head):
        raise NotAModel(f"{source} leads to an empty file (0 bytes)", remedy="Open the link in a browser to see why.")
    return Artifact(
        source=source,
        name=_name(answer, reference.url),
        size=answer.size,
        origin=WebFile(url, answer.validator, answer.ranges),
        identity=_identity(answer, url),
    )


def open(artifact: Artifact, http: Http) -> Stream:
    """Opens what `resolve` returned. Asks nothing yet: each read is a request of its own."""
    return WebStream(artifact, http)


def _name(answer: Answer, url: str) -> str:
    """What the server calls it, else the last part of the address; the first that ends like a model wins."""
    said = (answer.filename or "", _last(answer.final_url), _last(url))
    names = [name for name in map(safe_name, said) if name]
    for name in names:
        if PurePosixPath(name).suffix.lower() in MODEL_EXTENSIONS:
            return name
    return names[0] if names else "model"


def _last(url: str) -> str:
    return unquote(urlsplit(url).path.rpartition("/")[2])


def _identity(answer: Answer, url: str) -> str:
    """Of the validator, else of the address without its query, which may be signed anew each time."""
    known = answer.validator or url.partition("#")[0].partition("?")[0]
    return hashlib.sha256(f"{known}\n{answer.size}".encode()).hexdigest()[:8]
