"""The verbs: compose the rooms below; neither click nor print."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from uploader.app.accounts import login_source
from uploader.app.caching import Cleared, Kept, cleared, listed
from uploader.app.entering import login, logout
from uploader.app.identifying import identify
from uploader.app.pushing import push
from uploader.app.requests import (
    DryRun,
    Identified,
    LoginRequest,
    LoginResult,
    PushRequest,
    SearchRequest,
    TokenRequest,
    TokenResult,
)
from uploader.app.searching import search
from uploader.app.setting import Setting
from uploader.catalog import Catalog
from uploader.credentials import Asker
from uploader.events import Observer, silence
from uploader.profile import Target
from uploader.result import Report
from uploader.sources import Hit
from uploader.targets import state_folder

__all__ = [
    "App",
    "Cleared",
    "DryRun",
    "Identified",
    "Kept",
    "LoginRequest",
    "LoginResult",
    "PushRequest",
    "SearchRequest",
    "TokenRequest",
    "TokenResult",
]


class App:
    """Everything `uploader` does, for whoever wants it done: the command line, the demo, a test.

    `environ` is the process's environment; `asker` a person, or None; `state` the folder for all state, by default
    the one that `environ` and the platform name; `ssh_folder` is ~/.ssh unless given; `wait` waits that many seconds
    before another try and says whether it was stopped meanwhile; `silence_seconds` is how long a server may be silent.
    """

    def __init__(
        self,
        *,
        environ: Mapping[str, str],
        asker: Asker | None,
        observer: Observer = silence,
        state: Path | None = None,
        ssh_folder: Path | None = None,
        wait: Callable[[float], bool] | None = None,
        silence_seconds: float = 30.0,
    ) -> None:
        self._setting = Setting(
            environ=environ,
            asker=asker,
            observer=observer,
            state=state or state_folder(environ),
            ssh_folder=ssh_folder,
            wait=wait,
            silence_seconds=silence_seconds,
        )

    def push(self, request: PushRequest) -> Report | DryRun:
        return push(request, self._setting)

    def identify(self, references: Sequence[str], *, allow_http: bool = False) -> list[Identified]:
        return identify(references, self._setting, allow_http=allow_http)

    def login(self, request: LoginRequest) -> LoginResult:
        return login(request, self._setting)

    def login_source(self, request: TokenRequest) -> TokenResult:
        return login_source(request, self._setting)

    def search(self, request: SearchRequest) -> list[Hit]:
        return search(request, self._setting)

    def logout(self, name: str) -> list[str]:
        return logout(name, self._setting)

    def targets(self) -> list[Target]:
        return self._setting.targets.all()

    def cache(self) -> Kept:
        return listed(self._setting)

    def clear_cache(self, names: Sequence[str] = ()) -> Cleared:
        return cleared(self._setting, names)

    def catalog(self) -> Catalog:
        return self._setting.catalog
