"""The verbs: compose the rooms below; neither click nor print."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from uploader.artifact import Kind
from uploader.commands.cache import CacheListing, Cleared, clear_cache, list_cache
from uploader.commands.df import DiskUse, df
from uploader.commands.doctor.checks import doctor
from uploader.commands.doctor.diagnosis import Check, Diagnosis
from uploader.commands.doctor.mask import masked
from uploader.commands.identify import Identified, identify
from uploader.commands.jobs import Cancelled, JobView, cancel_job, list_jobs, wait_for_job
from uploader.commands.login.logout import logout
from uploader.commands.login.request import LoginRequest, LoginResult, TokenRequest, TokenResult, WebUISeen
from uploader.commands.login.run import login
from uploader.commands.login.tokens import login_source
from uploader.commands.ls import Listed, ls
from uploader.commands.pull.request import PullPlan, PullRequest
from uploader.commands.pull.run import pull, watch_pull
from uploader.commands.push.fanout import push
from uploader.commands.push.request import DryRun, PushRequest
from uploader.commands.rm import Removal, rm
from uploader.commands.search import SearchRequest, search
from uploader.commands.sync.folder_watcher import FolderWatcher
from uploader.commands.sync.request import SyncPlan, SyncRequest
from uploader.commands.sync.run import open_sync, sync
from uploader.commands.sync.stable_files import StableFiles
from uploader.commands.sync.watch import watch
from uploader.commands.webui import webui_facts
from uploader.credentials import Prompter
from uploader.events import Observer, silence
from uploader.profile import Target
from uploader.profiles import Profiles
from uploader.result import Report
from uploader.session.session import WEBUI_SECONDS, Session
from uploader.sources import Hit
from uploader.state.targets import state_folder
from uploader.transfer.config import TransferConfig
from uploader.webui.inspect import FolderDifference, WebUIFacts
from uploader.webui.problems import Problem

__all__ = [
    "App",
    "CacheListing",
    "Cancelled",
    "Check",
    "Cleared",
    "Diagnosis",
    "DiskUse",
    "DryRun",
    "FolderDifference",
    "Identified",
    "JobView",
    "Listed",
    "LoginRequest",
    "LoginResult",
    "Problem",
    "PullPlan",
    "PullRequest",
    "PushRequest",
    "Removal",
    "SearchRequest",
    "SyncPlan",
    "SyncRequest",
    "TokenRequest",
    "TokenResult",
    "WebUIFacts",
    "WebUISeen",
]


class App:
    """Everything `uploader` does, for whoever wants it done: the command line, the demo, a test.

    `environ` is the process's environment; `prompter` a person, or None; `state` the folder for all state, by default
    the one that `environ` and the platform name; `ssh_folder` is ~/.ssh unless given; `wait` waits that many seconds
    before another try and says whether it was stopped meanwhile; `silence_seconds` is how long a server may be silent,
    `webui_seconds` what the WebUI may cost a push in all.
    """

    def __init__(
        self,
        *,
        environ: Mapping[str, str],
        prompter: Prompter | None,
        observer: Observer = silence,
        state: Path | None = None,
        ssh_folder: Path | None = None,
        wait: Callable[[float], bool] | None = None,
        silence_seconds: float = 30.0,
        webui_seconds: float = WEBUI_SECONDS,
        config: TransferConfig | None = None,
    ) -> None:
        self._session = Session(
            environ=environ,
            prompter=prompter,
            observer=observer,
            state=state or state_folder(environ),
            ssh_folder=ssh_folder,
            wait=wait,
            silence_seconds=silence_seconds,
            webui_seconds=webui_seconds,
            config=config,
        )

    def push(self, request: PushRequest) -> Report | DryRun:
        return push(request, self._session)

    def jobs(self) -> list[JobView]:
        return list_jobs(self._session)

    def wait_for_job(self, id: str) -> Report:
        return wait_for_job(id, self._session)

    def cancel_job(self, id: str) -> Cancelled:
        return cancel_job(id, self._session)

    def identify(self, references: Sequence[str], *, allow_http: bool = False) -> list[Identified]:
        return identify(references, self._session, allow_http=allow_http)

    def login(self, request: LoginRequest) -> LoginResult:
        return login(request, self._session)

    def login_source(self, request: TokenRequest) -> TokenResult:
        return login_source(request, self._session)

    def search(self, request: SearchRequest) -> list[Hit]:
        return search(request, self._session)

    def logout(self, name: str) -> list[str]:
        return logout(name, self._session)

    def webui_facts(self, to: str | None) -> WebUIFacts:
        return webui_facts(to, self._session)

    def sync(self, request: SyncRequest) -> Report | SyncPlan:
        return sync(request, self._session)

    def watch(self, request: SyncRequest, tell: Callable[[Report], None]) -> None:
        """Keeps a sync going until it is stopped; `tell` is given what became of each."""
        folder = Path(request.folder).absolute()
        with open_sync(request, self._session) as syncing:
            watch(syncing, FolderWatcher(folder), StableFiles(folder), self._session, tell)

    def pull(self, request: PullRequest) -> Report | PullPlan:
        return pull(request, self._session)

    def watch_pull(self, request: PullRequest, tell: Callable[[Report], None]) -> None:
        """Fetches what comes until it is stopped; `tell` is given what became of each."""
        watch_pull(request, self._session, tell)

    def ls(self, to: str | None, kind: Kind | None = None) -> list[Listed]:
        return ls(self._session, to, kind)

    def df(self, to: str | None) -> DiskUse:
        return df(self._session, to)

    def rm(self, to: str, paths: Sequence[str], *, yes: bool = False) -> list[Removal]:
        return rm(self._session, to, paths, yes=yes)

    def doctor(self, to: str | None, *, report: bool = False) -> Diagnosis:
        """Looks at all that lies between this machine and a target; `report` masks who and where."""
        diagnosis = doctor(self._session, to)
        return masked(diagnosis) if report else diagnosis

    def targets(self) -> list[Target]:
        return self._session.targets.all()

    def cache(self) -> CacheListing:
        return list_cache(self._session)

    def clear_cache(self, names: Sequence[str] = ()) -> Cleared:
        return clear_cache(self._session, names)

    def profiles(self) -> Profiles:
        return self._session.profiles
