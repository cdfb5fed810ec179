"""Provider, WebUI, Target and Quirks as values; no TOML, no secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from uploader.artifact import Kind

MOST_CONNECTIONS = 8
"""Connections to one server at once. More are rude, and sshd counts them."""


class Sureness(StrEnum):
    """How well a fact is known: tried by us, in the vendor's own documents, or told by others."""

    TESTED = "tested"
    DOCUMENTED = "documented"
    REPORTED = "reported"


class Api(StrEnum):
    """The HTTP APIs of WebUIs; each is that of one family."""

    A1111 = "a1111"
    SDNEXT = "sdnext"
    COMFYUI = "comfyui"
    INVOKEAI = "invokeai"
    SWARMUI = "swarmui"


@dataclass(frozen=True)
class Facts:
    """Where a profile's facts come from. `checked` is a date, YYYY-MM-DD. `fields` grades single fields that
    are known better or worse than the whole."""

    sources: tuple[str, ...]
    checked: str
    sureness: Sureness
    fields: Mapping[str, Sureness] = field(default_factory=dict)


@dataclass(frozen=True)
class Quirks:
    """What a provider's servers are known to do. None: not known, ask the server.

    `shell`: whether commands can be run. `max_request_bytes`: the largest SFTP write that arrives whole.
    `max_connections`: how many SSH connections one account may hold.
    """

    shell: bool | None = None
    max_request_bytes: int | None = None
    max_connections: int | None = None


@dataclass(frozen=True)
class Refusal:
    """A host that looks right and cannot work. `host` is a glob pattern."""

    host: str
    reason: str


@dataclass(frozen=True)
class Provider:
    """A service that hosts WebUIs. Without `sftp`, `reason` says why and `instead` what to do. `ssh_defaults`: a
    port or user that is not given is left to ~/.ssh/config and ssh's own defaults."""

    id: str
    name: str
    sftp: bool
    facts: Facts
    webui: str | None = None
    root: str | None = None
    user: str | None = None
    port: int | None = None
    host_hint: str | None = None
    auth: tuple[str, ...] = ()
    ssh_defaults: bool = False
    folders: Mapping[Kind, str] = field(default_factory=dict)
    quirks: Quirks = Quirks()
    refuses: tuple[Refusal, ...] = ()
    reason: str | None = None
    instead: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sidecars:
    """What a WebUI reads beside a model: what follows the model's stem in the name of each, None where it reads none.

    `preview` is a picture, whose own ending follows; `metadata` AUTOMATIC1111's own card of a model; `source` the
    description of the model's source, as its API gave it."""

    preview: str | None = None
    metadata: str | None = None
    source: str | None = None


@dataclass(frozen=True)
class Loads:
    """What a WebUI can do with the files that it lists. None: not known, so nothing is said.

    `families`: the architectures that it runs. `strict_pickles`: its loader has a list of its own of what a pickle and
    a torch zip may hold, AUTOMATIC1111's. `strict_metadata`: it reads metadata only in a header that begins with
    `{"`. `needs`: by ending, what must be added to it before it lists such files."""

    families: frozenset[str] | None = None
    strict_pickles: bool | None = None
    strict_metadata: bool | None = None
    needs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class WebUI:
    """A WebUI: the folder of each kind it has, below its root, with forward slashes."""

    id: str
    name: str
    folders: Mapping[Kind, str]
    extensions: frozenset[str]
    facts: Facts
    missing: Mapping[Kind, str] = field(default_factory=dict)
    """Kinds without a folder, with the reason that a user is told."""
    sidecars: Sidecars = Sidecars()
    loads: Loads = Loads()
    api: Api | None = None
    """None: it has none, or none that is known."""


@dataclass(frozen=True)
class Target:
    """One instance the user saved with `login`. Never holds a secret.

    `root` is relative to the login folder, or absolute when it begins with a slash. `jump` is
    `user@host:port`, as in OpenSSH's ProxyJump. `port` None leaves it to ~/.ssh/config, then 22. The WebUI is at
    `webui_url`, or at the port `webui_tunnel` of the server's own loopback, through the SSH connection.
    `webui_ca` is a file of certificates, or `SHA256:` and the fingerprint of the one that it may show. `folders` are
    where this instance keeps kinds of models, below the root, where that differs from its profile.
    """

    name: str
    provider: str
    webui: str
    host: str
    root: str
    port: int | None = None
    user: str | None = None
    identity_file: str | None = None
    jump: str | None = None
    webui_url: str | None = None
    webui_tunnel: int | None = None
    webui_ca: str | None = None
    folders: Mapping[Kind, str] = field(default_factory=dict)
