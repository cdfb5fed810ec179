"""The Python API: one function per verb. A function imports its package when it is called.

    from uploader import api

    session = api.Session()
    report = api.push(session, api.PushRequest(("dreamshaper_8.safetensors",), to=("my-canvas",)))
    for outcome in report.outcomes:
        print(outcome.status, outcome.path, outcome.evidence)

Each function takes the `Session` first. Requests and results are frozen dataclasses: `api.PushRequest`, `api.Report`.
Sizes are bytes, durations seconds, paths on the server relative to the target's root, unless a class says otherwise.
A failed item is an outcome of the `Report`; what ends the whole call is raised as an `api.UploaderError`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uploader.artifact import Digest, Kind, Service
    from uploader.commands.cache import CacheListing, Cleared
    from uploader.commands.df import DiskUse
    from uploader.commands.doctor.diagnosis import Check, Diagnosis
    from uploader.commands.identify import Identified
    from uploader.commands.jobs import Cancelled, JobView
    from uploader.commands.login.request import LoginRequest, LoginResult, TokenRequest, TokenResult, WebUISeen
    from uploader.commands.ls import Listed
    from uploader.commands.pull.decide import PullStep
    from uploader.commands.pull.request import PullRequest
    from uploader.commands.push.plan import PushStep
    from uploader.commands.push.request import PushRequest
    from uploader.commands.rm import Removal
    from uploader.commands.search import SearchRequest
    from uploader.commands.sync.decide import SyncStep
    from uploader.commands.sync.request import SyncRequest
    from uploader.credentials import Prompter
    from uploader.errors import UploaderError
    from uploader.events import Observer
    from uploader.profile import Provider, Target, WebUI
    from uploader.profiles import Profiles
    from uploader.result import Evidence, Failure, Outcome, Report
    from uploader.secret import Secret
    from uploader.session.session import Session
    from uploader.sources import Hit
    from uploader.steps import Plan
    from uploader.webui.inspect import FolderDifference, WebUIFacts
    from uploader.webui.problems import Problem

_MODULES = {
    "uploader.artifact": ("Digest", "Kind", "Service"),
    "uploader.commands.cache": ("CacheListing", "Cleared"),
    "uploader.commands.df": ("DiskUse",),
    "uploader.commands.doctor.diagnosis": ("Check", "Diagnosis"),
    "uploader.commands.identify": ("Identified",),
    "uploader.commands.jobs": ("Cancelled", "JobView"),
    "uploader.commands.login.request": ("LoginRequest", "LoginResult", "TokenRequest", "TokenResult", "WebUISeen"),
    "uploader.commands.ls": ("Listed",),
    "uploader.commands.pull.decide": ("PullStep",),
    "uploader.commands.pull.request": ("PullRequest",),
    "uploader.commands.push.plan": ("PushStep",),
    "uploader.commands.push.request": ("PushRequest",),
    "uploader.commands.rm": ("Removal",),
    "uploader.commands.search": ("SearchRequest",),
    "uploader.commands.sync.decide": ("SyncStep",),
    "uploader.commands.sync.request": ("SyncRequest",),
    "uploader.credentials": ("Prompter",),
    "uploader.errors": ("UploaderError",),
    "uploader.events": ("Observer",),
    "uploader.profile": ("Provider", "Target", "WebUI"),
    "uploader.profiles": ("Profiles",),
    "uploader.result": ("Evidence", "Failure", "Outcome", "Report"),
    "uploader.secret": ("Secret",),
    "uploader.session.session": ("Session",),
    "uploader.sources": ("Hit",),
    "uploader.steps": ("Plan",),
    "uploader.webui.inspect": ("FolderDifference", "WebUIFacts"),
    "uploader.webui.problems": ("Problem",),
}
"""The classes of this API by their module. They are loaded on first use: a module may need paramiko or httpx."""

_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "CacheListing",
    "Cancelled",
    "Check",
    "Cleared",
    "Diagnosis",
    "Digest",
    "DiskUse",
    "Evidence",
    "Failure",
    "FolderDifference",
    "Hit",
    "Identified",
    "JobView",
    "Kind",
    "Listed",
    "LoginRequest",
    "LoginResult",
    "Observer",
    "Outcome",
    "Plan",
    "Problem",
    "Profiles",
    "Prompter",
    "Provider",
    "PullRequest",
    "PullStep",
    "PushRequest",
    "PushStep",
    "Removal",
    "Report",
    "SearchRequest",
    "Secret",
    "Service",
    "Session",
    "SyncRequest",
    "SyncStep",
    "Target",
    "TokenRequest",
    "TokenResult",
    "UploaderError",
    "WebUI",
    "WebUIFacts",
    "WebUISeen",
    "cache",
    "cancel_job",
    "clear_cache",
    "df",
    "doctor",
    "identify",
    "jobs",
    "login",
    "login_source",
    "logout",
    "ls",
    "profiles",
    "pull",
    "push",
    "rm",
    "search",
    "sync",
    "targets",
    "wait_for_job",
    "watch",
    "watch_pull",
    "webui_facts",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Return a class of this API from its module (PEP 562)."""
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_MODULE_OF[name]), name)


# models to and from a target --------------------------------------------------------------------------


def push(session: Session, request: PushRequest) -> Report | Plan[PushStep]:
    """Put models into the folders where the WebUI finds them.

    Return a `Plan` with `request.dry_run`, else a `Report` with an outcome per file and target. A reference that
    does not resolve is a failed outcome, and then no file moves. Raises UsageError when the request contradicts
    itself or names no target, ConfigurationError when `targets.toml` or a profile is wrong.
    """
    from uploader.commands.push.fanout import push

    return push(request, session)


def sync(session: Session, request: SyncRequest) -> Report | Plan[SyncStep]:
    """Make a folder of the target hold what a local folder holds.

    Return a `Plan` with `request.dry_run`, else a `Report` with an outcome per file. Raises UsageError,
    DeletionRefused when more files would be removed than allowed, NoSuchRoot, and what connecting raises.
    """
    from uploader.commands.sync.run import sync

    return sync(request, session)


def watch(session: Session, request: SyncRequest, tell: Callable[[Report], None]) -> None:
    """Sync a folder again at each change, until Ctrl-C.

    `tell` receives a `Report` with the changes of each round. Raises what `sync` raises in the first round.
    """
    from pathlib import Path

    from uploader.commands.sync.folder_watcher import FolderWatcher
    from uploader.commands.sync.run import open_sync
    from uploader.commands.sync.stable_files import StableFiles
    from uploader.commands.sync.watch import watch

    folder = Path(request.folder).absolute()
    with open_sync(request, session) as syncing:
        watch(syncing, FolderWatcher(folder), StableFiles(folder), session, tell)


def pull(session: Session, request: PullRequest) -> Report | Plan[PullStep]:
    """Fetch a file or a folder of the target into a local folder.

    Return a `Plan` with `request.dry_run`, else a `Report` with an outcome per file. Raises UsageError,
    NoSuchRoot, and what connecting raises.
    """
    from uploader.commands.pull.run import pull

    return pull(request, session)


def watch_pull(session: Session, request: PullRequest, tell: Callable[[Report], None]) -> None:
    """Fetch new files of the target as they come, until Ctrl-C.

    `tell` receives a `Report` with the changes of each round. Raises what `pull` raises in the first round.
    """
    from uploader.commands.pull.watch import watch_pull

    watch_pull(request, session, tell)


# what a target holds ----------------------------------------------------------------------------------


def ls(session: Session, to: str | None = None, kind: Kind | None = None) -> list[Listed]:
    """Return the models of a target; only those of `kind` if given. Raises what connecting raises."""
    from uploader.commands.ls import ls

    return ls(session, to, kind)


def df(session: Session, to: str | None = None) -> DiskUse:
    """Return how full the disk of a target is, and the bytes per kind. Raises Unsupported if the server hides it."""
    from uploader.commands.df import df

    return df(session, to)


def rm(session: Session, to: str, paths: Sequence[str], *, yes: bool = False) -> list[Removal]:
    """Remove files from a target and return what was removed.

    A path is a model's name or a path below the root. The session's prompter confirms unless `yes`. Raises
    UsageError for a path that leaves the root, for a folder, or without a prompter and without `yes`.
    """
    from uploader.commands.rm import rm

    return rm(session, to, paths, yes=yes)


def doctor(session: Session, to: str | None = None, *, report: bool = False) -> Diagnosis:
    """Check everything between this machine and a target; `report` masks hosts, users and paths."""
    from uploader.commands.doctor.checks import doctor
    from uploader.commands.doctor.mask import masked

    diagnosis = doctor(session, to)
    return masked(diagnosis) if report else diagnosis


def webui_facts(session: Session, to: str | None = None) -> WebUIFacts:
    """Ask a target's WebUI what it is and what it lists. Changes nothing.

    Raises UsageError when the WebUI's address is not known, and what connecting raises.
    """
    from uploader.commands.webui import webui_facts

    return webui_facts(to, session)


# downloads that a server does by itself ---------------------------------------------------------------


def jobs(session: Session) -> list[JobView]:
    """Return the downloads that servers do for us. A server that cannot be asked gives the state `unknown`."""
    from uploader.commands.jobs import list_jobs

    return list_jobs(session)


def wait_for_job(session: Session, id: str) -> Report:
    """Wait for a server's download, prove it and give it its name. Raises UsageError for an unknown id."""
    from uploader.commands.jobs import wait_for_job

    return wait_for_job(id, session)


def cancel_job(session: Session, id: str) -> Cancelled:
    """End a server's download and remove what it left. Raises UsageError for an unknown id."""
    from uploader.commands.jobs import cancel_job

    return cancel_job(id, session)


# accounts ---------------------------------------------------------------------------------------------


def login(session: Session, request: LoginRequest) -> LoginResult:
    """Connect to a server, look at it, and save it as a target.

    The session's prompter is asked for what the request lacks. Raises UsageError without a prompter, HostKeyUnknown,
    HostKeyChanged, CredentialsRefused, and what connecting raises.
    """
    from uploader.commands.login.run import login

    return login(request, session)


def login_source(session: Session, request: TokenRequest) -> TokenResult:
    """Keep the token of a source of models in the keyring.

    Raises CredentialsRefused when the source refuses it, KeyringUnavailable when no keyring works.
    """
    from uploader.commands.login.tokens import login_source

    return login_source(request, session)


def logout(session: Session, name: str) -> list[str]:
    """Forget a target, an address or a source's token; return what was removed, a sentence each."""
    from uploader.commands.login.logout import logout

    return logout(name, session)


def targets(session: Session) -> list[Target]:
    """Return the saved targets in the order of `targets.toml`. Raises ConfigurationError."""
    return session.targets.all()


# this machine and the sources -------------------------------------------------------------------------


def search(session: Session, request: SearchRequest) -> list[Hit]:
    """Return the models of Civitai that fit, best first. Raises UsageError for an unknown base model."""
    from uploader.commands.search import search

    return search(request, session)


def identify(session: Session, references: Sequence[str], *, allow_http: bool = False) -> list[Identified]:
    """Return what each file is, by its own bytes. A reference that fails carries its error in the answer."""
    from uploader.commands.identify import identify

    return identify(references, session, allow_http=allow_http)


def cache(session: Session) -> CacheListing:
    """Return the downloads that are kept on this disk. Raises ConfigurationError for a wrong limit."""
    from uploader.commands.cache import list_cache

    return list_cache(session)


def clear_cache(session: Session, names: Sequence[str] = ()) -> Cleared:
    """Remove the named downloads, or all of them. A download in use stays. Raises UsageError for an unknown name."""
    from uploader.commands.cache import clear_cache

    return clear_cache(session, names)


def profiles(session: Session) -> Profiles:
    """Return the providers and WebUIs that are known, the user's own included. Raises ConfigurationError."""
    return session.profiles
