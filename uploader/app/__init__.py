"""The verbs: compose the rooms below; neither click nor print."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from uploader.app.entering import login, logout
from uploader.app.inspecting import FolderDifference, WebUIFacts, webui_facts
from uploader.app.pushing import push
from uploader.app.requests import DryRun, LoginRequest, LoginResult, PushRequest
from uploader.app.setting import Setting
from uploader.app.troubles import Trouble
from uploader.app.visiting import WebUISeen
from uploader.catalog import Catalog
from uploader.credentials import Asker
from uploader.events import Observer, silence
from uploader.http.service import SECONDS
from uploader.profile import Target
from uploader.result import Report
from uploader.targets import state_folder

__all__ = [
    "App",
    "DryRun",
    "FolderDifference",
    "LoginRequest",
    "LoginResult",
    "PushRequest",
    "Trouble",
    "WebUIFacts",
    "WebUISeen",
]


class App:
    """Everything `uploader` does, for whoever wants it done: the command line, the demo, a test.

    `environ` is the process's environment; `asker` a person, or None; `state` the folder for all state, by default
    the one that `environ` and the platform name; `ssh_folder` is ~/.ssh unless given; `wait` waits that many seconds
    before another try and says whether it was stopped meanwhile; `silence_seconds` is how long a server may be silent,
    `webui_seconds` what the WebUI may cost a push in all.
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
        webui_seconds: float = SECONDS,
    ) -> None:
        self._setting = Setting(
            environ=environ,
            asker=asker,
            observer=observer,
            state=state or state_folder(environ),
            ssh_folder=ssh_folder,
            wait=wait,
            silence_seconds=silence_seconds,
            webui_seconds=webui_seconds,
        )

    def push(self, request: PushRequest) -> Report | DryRun:
        return push(request, self._setting)

    def login(self, request: LoginRequest) -> LoginResult:
        return login(request, self._setting)

    def logout(self, name: str) -> list[str]:
        return logout(name, self._setting)

    def webui_facts(self, to: str | None) -> WebUIFacts:
        return webui_facts(to, self._setting)

    def targets(self) -> list[Target]:
        return self._setting.targets.all()

    def catalog(self) -> Catalog:
        return self._setting.catalog
