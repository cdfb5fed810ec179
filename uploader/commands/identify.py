"""The verb identify: say what files are, on this disk or at a link, without moving them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from uploader.artifact import Artifact
from uploader.errors import Several, UploaderError
from uploader.http import Http
from uploader.identify import Identity, refuse, remarks
from uploader.identify.read import identify_source
from uploader.reference import parse
from uploader.reference.display import shown_reference
from uploader.retry import ATTEMPTS_TO_RESOLVE, Retry
from uploader.session.session import Session
from uploader.sources import Sources, open_stream, resolve


def identify(references: Sequence[str], session: Session, *, allow_http: bool = False) -> list[Identified]:
    """Look at every file that the references name. A failure is one of the answers, with its error."""
    with Http(allow_http=allow_http) as http:
        sources = session.sources(http)
        retry = Retry(threading.Event(), session.observer, session.wait, attempts=ATTEMPTS_TO_RESOLVE)
        return [found for text in dict.fromkeys(references) for found in _all(text, sources, retry)]


def _all(text: str, sources: Sources, retry: Retry) -> Iterable[Identified]:
    try:
        artifacts = retry(lambda: resolve(parse(text), sources))
    except Several as several:
        return [Identified(shown_reference(text), error=fault) for fault in several.faults]
    except UploaderError as error:
        return [Identified(shown_reference(text), error=error)]
    return [_one(artifact, sources, retry) for artifact in artifacts]


def _one(artifact: Artifact, sources: Sources, retry: Retry) -> Identified:
    try:
        identity = identify_source(partial(open_stream, artifact, sources), artifact.size, artifact.name, retry)
    except UploaderError as error:
        return Identified(artifact.source, error=error)
    return Identified(artifact.source, identity, artifact.size, _problems(identity, artifact.name))


def _problems(identity: Identity, name: str) -> tuple[str, ...]:
    """Return why push would refuse the file, and other remarks."""
    try:
        refuse(identity, name, allow_pickle=False)
    except UploaderError as error:
        return (error.message, *remarks(identity))
    return remarks(identity)


@dataclass(frozen=True)
class Identified:
    """What one file is. `source` may be shown. `size` is in bytes, None if not known. `problems` are sentences.

    `identity` is None where the file could not be looked at; `error` says why.
    """

    source: str
    identity: Identity | None = None
    size: int | None = None
    problems: tuple[str, ...] = ()
    error: UploaderError | None = None
