"""What servers can do by themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass

from uploader.errors import UploaderError
from uploader.state.database import Database


@dataclass(frozen=True)
class ServerTools:
    """What a server can do by itself. `starter` begins a detached process; `downloaders` are names of the family."""

    starter: str | None
    downloaders: tuple[str, ...]


class ServerFactsStore:
    """Remembers each server by its host key: a rented machine that was set up again is another server.

    What cannot be read or written is found out again; nothing depends on it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def able(self, host_key: str, ask: Callable[[], ServerTools]) -> ServerTools:
        """Return what the server can do. Call `ask` when that is not known, or was not enough at the last time."""
        known = self._read(host_key)
        if known is not None and known.starter and known.downloaders:
            return known
        found = ask()
        tools = json.dumps(asdict(found))
        self._write("INSERT OR REPLACE INTO server (host_key, tools) VALUES (?, ?)", host_key, tools)
        return found

    def forget_able(self, host_key: str) -> None:
        """Forget what the server can do, so that the next run asks again: a program is gone."""
        self._write("DELETE FROM server WHERE host_key = ?", host_key)

    def _write(self, sql: str, *parameters: str) -> None:
        with suppress(UploaderError):
            self._database.write((sql, [parameters]))

    def _read(self, host_key: str) -> ServerTools | None:
        with suppress(ValueError, RecursionError, KeyError, TypeError):
            for (text,) in self._database.read("SELECT tools FROM server WHERE host_key = ?", host_key):
                tools = json.loads(text)
                if tools["starter"] in ("setsid", "python3"):
                    names = tuple(name for name in tools["downloaders"] if isinstance(name, str))
                    return ServerTools(tools["starter"], names)
        return None
