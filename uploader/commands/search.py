"""The verb search: find models that can be pushed."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from uploader.artifact import Kind
from uploader.http import Http
from uploader.retry import ATTEMPTS_TO_RESOLVE, Retry
from uploader.session.session import Session
from uploader.sources import FIRST_CHOICE, Choice, Hit, search_civitai


def search(request: SearchRequest, session: Session) -> list[Hit]:
    """Return the models that fit, best first.

    Raises UsageError for a base model that is not known, and what the source raises after three tries.
    """
    retry = Retry(threading.Event(), session.observer, session.wait, attempts=ATTEMPTS_TO_RESOLVE)
    choice = Choice(request.prefer or FIRST_CHOICE.prefer)
    with Http() as http:
        sources = session.sources(http)
        return retry(
            lambda: search_civitai(
                request.words, sources, choice, kind=request.kind, base=request.base, limit=request.count
            )
        )


@dataclass(frozen=True)
class SearchRequest:
    """What to search for: `words`, narrowed by `kind` and `base`. `prefer` says which file of a model is meant."""

    words: str
    kind: Kind | None = None
    base: str | None = None
    prefer: tuple[str, ...] = ()
    count: int = 20
