"""What `login` is asked for and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field

from uploader.artifact import Service
from uploader.errors import UploaderError
from uploader.profile import Target
from uploader.remote.interface import ConnectionInfo
from uploader.secret import Secret
from uploader.webui.inspect import WebUIFacts


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
    facts: ConnectionInfo | None = None
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
class WebUISeen:
    """What login saw of a WebUI: its facts, or why there are none. `typed` is a sign-in that a person gave and that
    was taken."""

    facts: WebUIFacts | None
    fault: UploaderError | None = None
    typed: Secret | None = None
