"""The verb search: what could be pushed."""

from __future__ import annotations

import threading

from uploader.app.patience import Patience
from uploader.app.requests import SearchRequest
from uploader.app.setting import Setting
from uploader.http import Http
from uploader.sources import FIRST_CHOICE, Choice, Hit, search_civitai

_ATTEMPTS = 3


def search(request: SearchRequest, setting: Setting) -> list[Hit]:
    """Returns the models that fit, best first. Raises UsageError for a base model that is not known, and what the
    source raises once it was asked again."""
    patience = Patience(threading.Event(), setting.observer, setting.wait, attempts=_ATTEMPTS)
    choice = Choice(request.prefer or FIRST_CHOICE.prefer)
    with Http() as http:
        sources = setting.sources(http)
        return patience(
            lambda: search_civitai(
                request.words, sources, choice, kind=request.kind, base=request.base, limit=request.count
            ),
            lambda: 0,
        )
