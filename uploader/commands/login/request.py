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
    """The facts given by flags. One that is None comes from the saved target, the profile, or a question.

    An empty `webui_url` removes the WebUI's address.
    """

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
    """What was saved and what was found. `facts` and `free` (bytes) are None when the server was not looked at.

    `root` is the root as the server resolves it. `secrets` names what went into the keyring. `webui` is None when its
    address is not known, or nothing was looked at.
    """

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
    """A source's token to keep. None: it is asked for. `check`: ask the source whether it takes the token."""

    service: Service
    token: Secret | None = None
    check: bool = True


@dataclass(frozen=True)
class TokenResult:
    """What was kept in the keyring: the token of `user`, as the source names it.

    `user` is None where the source does not say or was not asked. `overruled`: the environment holds another token,
    which is used first.
    """

    service: Service
    title: str
    user: str | None
    checked: bool
    overruled: bool


@dataclass(frozen=True)
class WebUISeen:
    """What login saw of a WebUI: its facts, or why there are none. `typed` is a sign-in that a person gave and that
    worked.
    """

    facts: WebUIFacts | None
    fault: UploaderError | None = None
    typed: Secret | None = None
