"""What servers can do by themselves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from uploader.state.atomic import replace_text

_VERSION = 1


@dataclass(frozen=True)
class ServerTools:
    """What a server can do by itself. `starter` begins a detached process; `downloaders` are names of the family."""

    starter: str | None
    downloaders: tuple[str, ...]


class ServerFactsStore:
    """Remembers each server by its host key: a rented machine that was set up again is another server.

    A record that cannot be read or written is found out again; nothing depends on it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def able(self, host_key: str, ask: Callable[[], ServerTools]) -> ServerTools:
        """Return what the server can do. Call `ask` when that is not known, or was not enough at the last time."""
        known = self._read(host_key)
        if known is not None and known.starter and known.downloaders:
            return known
        found = ask()
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_text(self._path(host_key), json.dumps({"version": _VERSION, "able": asdict(found)}))
        return found

    def forget_able(self, host_key: str) -> None:
        """Forget what the server can do, so that the next run asks again: a program is gone."""
        with suppress(OSError):
            self._path(host_key).unlink()

    def _read(self, host_key: str) -> ServerTools | None:
        with suppress(OSError, ValueError, RecursionError, KeyError, TypeError):
            data = json.loads(self._path(host_key).read_bytes())
            tools = data["able"]
            if data["version"] == _VERSION and tools["starter"] in ("setsid", "python3"):
                return ServerTools(
                    tools["starter"], tuple(name for name in tools["downloaders"] if isinstance(name, str))
                )
        return None

    def _path(self, host_key: str) -> Path:
        return self._folder / f"{hashlib.sha256(host_key.encode()).hexdigest()[:32]}.json"
