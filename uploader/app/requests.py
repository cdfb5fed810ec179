"""What the verbs are asked for and what they answer: one object each, instead of a dozen parameters."""

from __future__ import annotations

from dataclasses import dataclass, field

from uploader.app.introducing import WebUISeen
from uploader.artifact import Digest, Kind
from uploader.errors import UploaderError
from uploader.plan import PlannedStep
from uploader.profile import Target
from uploader.remote.interface import ServerFacts
from uploader.secret import Secret
from uploader.transfer import Verify


@dataclass(frozen=True)
class PushRequest:
    """`sources` are references as typed, those of `--from-file` included. `limit` is in bytes per second. `connections`
    None: as many as pay. `notify`: the WebUI is told, where its address is known; `select`: it is switched to the new
    checkpoint."""

    sources: tuple[str, ...]
    to: str | None = None
    kind: Kind | None = None
    name: str | None = None
    via: str = "auto"
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


@dataclass(frozen=True)
class DryRun:
    """What a push would do."""

    target: str
    steps: tuple[PlannedStep, ...] = ()


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
