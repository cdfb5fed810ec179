"""What was found out about servers."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from uploader.state.atomic import replace_text

Way = Literal["server", "here"]
"""Who moved the bytes: the server by itself, or this machine."""


_VERSION = 1


_LEAST_BYTES = 4 * 1024 * 1024


_LEAST_SECONDS = 0.5


_NEWEST = 0.5
"""The weight of the last measurement beside all before it."""


@dataclass(frozen=True)
class ServerFacts:
    """What is known of one server. Rates are in bytes per second, None where nothing was measured yet."""

    able: ServerTools | None = None
    server: float | None = None
    here: float | None = None


class ServerFactsStore:
    """Kept by the server's host key: a rented machine that was made anew is another server. What cannot be read or
    written is found out again; nothing depends on it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()

    def of(self, host_key: str) -> ServerFacts:
        with suppress(OSError, ValueError, RecursionError, KeyError, TypeError):
            data = json.loads(self._path(host_key).read_bytes())
            if data["version"] == _VERSION:
                return ServerFacts(_able(data["able"]), _rate(data["server"]), _rate(data["here"]))
        return ServerFacts()

    def able(self, host_key: str, ask: Callable[[], ServerTools]) -> ServerTools:
        """What the server can do; `ask` is called when that is not known, or was not enough when it was asked."""
        known = self.of(host_key).able
        if known is not None and known.starter and known.downloaders:
            return known
        found = ask()
        self._change(host_key, lambda survey: replace(survey, able=found))
        return found

    def forget_able(self, host_key: str) -> None:
        """Something was not there any more: the next run asks again."""
        self._change(host_key, lambda survey: replace(survey, able=None))

    def measured(self, host_key: str, way: Way, size: int, seconds: float) -> None:
        """Takes down how fast `size` bytes went. Too little of either says nothing about a line."""
        if size < _LEAST_BYTES or seconds < _LEAST_SECONDS:
            return

        def change(survey: ServerFacts) -> ServerFacts:
            before = survey.server if way == "server" else survey.here
            rate = size / seconds if before is None else _NEWEST * size / seconds + (1 - _NEWEST) * before
            return replace(survey, server=rate) if way == "server" else replace(survey, here=rate)

        self._change(host_key, change)

    def _change(self, host_key: str, change: Callable[[ServerFacts], ServerFacts]) -> None:
        with self._lock, suppress(OSError):
            now = change(self.of(host_key))
            able = None if now.able is None else {"starter": now.able.starter, "downloaders": now.able.downloaders}
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            record = {"version": _VERSION, "able": able, "server": now.server, "here": now.here}
            replace_text(self._path(host_key), json.dumps(record))

    def _path(self, host_key: str) -> Path:
        return self._folder / f"{hashlib.sha256(host_key.encode()).hexdigest()[:32]}.json"


def _able(data: object) -> ServerTools | None:
    if not isinstance(data, dict) or data["starter"] not in (None, "setsid", "python3"):
        return None
    return ServerTools(data["starter"], tuple(name for name in data["downloaders"] if isinstance(name, str)))


def _rate(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None


@dataclass(frozen=True)
class ServerTools:
    """What a server can do by itself. `starter` begins a detached process; `downloaders` are names of the family."""

    starter: str | None
    downloaders: tuple[str, ...]
