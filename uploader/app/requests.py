"""What the verbs are asked for and what they answer: one object each, instead of a dozen parameters."""

from __future__ import annotations

from dataclasses import dataclass, field

from uploader.app.visiting import WebUISeen
from uploader.artifact import Digest, Kind, Service
from uploader.errors import UploaderError
from uploader.identify import Identity
from uploader.jobs import Record
from uploader.plan import PlannedStep
from uploader.profile import Target
from uploader.remote.interface import ServerFacts
from uploader.secret import Secret
from uploader.transfer import Verify


@dataclass(frozen=True)
class PushRequest:
    """`sources` are references as typed, those of `--from-file` included; `to` are targets, addresses and groups
    (`@name`). `prefer` and `file` say which file is meant where a source has several; `limit` is in bytes per second.
    `connections` None: as many as pay. `detach`: nobody waits for what a server downloads; `token_on_server`: the token
    of a source may go there. `notify`: the WebUI is told, where its address is known; `select`: it is switched to the
    new checkpoint."""

    sources: tuple[str, ...]
    to: tuple[str, ...] = ()
    kind: Kind | None = None
    name: str | None = None
    via: str = "auto"
    prefer: tuple[str, ...] = ()
    file: str | None = None
    sha256: Digest | None = None
    verify: Verify = "auto"
    limit: float | None = None
    connections: int | None = None
    dry_run: bool = False
    replace: bool = False
    mkdir: bool = False
    allow_pickle: bool = False
    allow_http: bool = False
    notify: bool = True
    select: bool = False
    detach: bool = False
    token_on_server: bool = False
    sidecars: bool = False


@dataclass(frozen=True)
class DryRun:
    """What a push would do. `target` names all of them; `places` the one of each step where there are several."""

    target: str
    steps: tuple[PlannedStep, ...] = ()
    places: tuple[str, ...] = ()

    def by_target(self) -> list[tuple[str, PlannedStep]]:
        """Each step with the name of its target."""
        return list(zip(self.places or (self.target,) * len(self.steps), self.steps, strict=True))


@dataclass(frozen=True)
class JobView:
    """A download that a server does for us, as it is now. `done` is in bytes, None if not known; `state` is `running`,
    `finished` (not yet proven and placed), `failed`, `stopped`, `gone` (the server knows nothing of it), or `unknown`
    for that `reason`."""

    record: Record
    state: str
    done: int | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Cancelled:
    """A job that is no more. `there`: the server was told; else its target had been forgotten, and only we have.
    `left` is the part file that stays on the server, which knows of no such download."""

    record: Record
    there: bool
    left: str | None = None


@dataclass(frozen=True)
class LoginRequest:
    """The facts given by flags; what is None is taken from the saved target, the profile, or asked for. An empty
    `webui_url` takes the WebUI's address out."""

    provider: str
    name: str | None = None
    host: str | None = None
    port: int | None = None
    user: str | None = None
    root: str | None = None
    webui: str | None = None
    identity_file: str | None = None
    jump: str | None = None
    webui_url: str | None = None
    webui_tunnel: int | None = None
    webui_ca: str | None = None
    password: Secret | None = None
    host_key: str | None = None
    accept_new_host_key: bool = False
    check: bool = True


@dataclass(frozen=True)
class LoginResult:
    """What was saved and what was found. `facts` and `free` (bytes) are None when it was not looked at;
    `root` is the root as the server resolves it. `secrets` says in words what went into the keyring. `webui` is None
    when its address is not known, or nothing was looked at."""

    target: Target
    updated: bool
    facts: ServerFacts | None = None
    root: str | None = None
    free: int | None = None
    secrets: tuple[str, ...] = field(default_factory=tuple)
    keyring_fault: UploaderError | None = None
    webui: WebUISeen | None = None


@dataclass(frozen=True)
class TokenRequest:
    """A source's token to keep; None: it is asked for. `check`: the source is asked whether it takes it."""

    service: Service
    token: Secret | None = None
    check: bool = True


@dataclass(frozen=True)
class TokenResult:
    """What was kept in the keyring: the token of `user` as the source names it, None where it does not or was not
    asked. `overruled`: the environment holds another one, which is used while it does."""

    service: Service
    title: str
    user: str | None
    checked: bool
    overruled: bool


@dataclass(frozen=True)
class SearchRequest:
    """`words` are searched for; `kind` and `base` narrow it; `prefer` says which file of a model is meant."""

    words: str
    kind: Kind | None = None
    base: str | None = None
    prefer: tuple[str, ...] = ()
    count: int = 20


@dataclass(frozen=True)
class Identified:
    """What one file is. `source` is fit to be shown; `size` in bytes, None if not known; `problems` are sentences.
    `identity` is None where it could not be looked at, and `error` says why."""

    source: str
    identity: Identity | None = None
    size: int | None = None
    problems: tuple[str, ...] = ()
    error: UploaderError | None = None
