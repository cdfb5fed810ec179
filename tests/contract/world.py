"""A user with a saved target: the whole program without its command line, over a real server."""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import paramiko

from tests.servers.models import write_safetensors
from tests.servers.openssh import OpenSSH
from tests.servers.shared import openssh
from tests.servers.tcp_proxy import Proxy
from uploader import api
from uploader.api import Plan, PushRequest, PushStep
from uploader.demo.server import EmbeddedServer
from uploader.events import Event, Message
from uploader.profile import Target
from uploader.remote.sftp import KnownHosts
from uploader.result import Outcome, Report
from uploader.secret import Secret
from uploader.state.targets import Targets
from uploader.transfer.config import TransferConfig

CHECKPOINTS = "models/Stable-diffusion"
LORAS = "models/Lora"
MIB = 1024 * 1024


class Place(Protocol):
    host: str
    port: int


def at_once(seconds: float) -> bool:
    """Replace the wait between two tries: return at once."""
    return False


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class App:
    """The API with one user's session: `app.push(request)` calls `api.push(session, request)`."""

    def __init__(self, **options: Any) -> None:
        self.session = api.Session(**options)

    def __getattr__(self, verb: str) -> Any:
        return partial(getattr(api, verb), self.session)


@dataclass
class World:
    """A user's program and files. `root` is the WebUI's folder, `disk` the folder with the models."""

    app: App
    root: Path
    disk: Path
    state: Path
    events: list[Event] = field(default_factory=list)
    wait: Callable[[float], bool] = at_once
    """Called between two tries with the seconds to wait; a test may replace it."""

    def model(self, name: str = "dream.safetensors", size: int | None = None, preset: str = "checkpoint") -> Path:
        """Write a real model to this user's disk."""
        path = self.disk / name
        write_safetensors(path, preset, size, seed=random.Random(name).randrange(1000))
        return path

    def push(self, *sources: object, **options: Any) -> Report:
        report = self.app.push(PushRequest(tuple(map(str, sources)), **options))
        assert isinstance(report, Report)
        return report

    def one(self, source: object, **options: Any) -> Outcome:
        (outcome,) = self.push(source, **options).outcomes
        return outcome

    def placed(self, source: object, **options: Any) -> Outcome:
        outcome = self.one(source, **options)
        assert outcome.status == "placed", outcome.error
        return outcome

    def fails(self, source: object, **options: Any) -> str:
        """Return the code of the one failure."""
        error = self.one(source, **options).error
        assert error is not None
        return error.code

    def dry(self, *sources: object, **options: Any) -> Plan[PushStep]:
        plan = self.app.push(PushRequest(tuple(map(str, sources)), dry_run=True, **options))
        assert isinstance(plan, Plan)
        return plan

    @property
    def there(self) -> dict[str, int]:
        """Return the files below the root with their sizes in bytes."""
        return {
            str(path.relative_to(self.root)): path.stat().st_size for path in self.root.rglob("*") if path.is_file()
        }

    @property
    def parts(self) -> list[Path]:
        return [path for path in self.root.rglob("*.part") if not path.name.startswith(".uploader-")]

    @property
    def said(self) -> str:
        return "\n".join(event.text for event in self.events if isinstance(event, Message))


def world(
    base: Path,
    server: EmbeddedServer | OpenSSH,
    *,
    line: Proxy | None = None,
    root: str = "webui",
    folders: tuple[str, ...] = (CHECKPOINTS, LORAS),
    silence_seconds: float = 30.0,
    webui: str = "a1111",
    config: TransferConfig | None = None,
    **environ: str,
) -> World:
    """Make the WebUI's folders on the server and save it as the target `canvas`, reached through `line` if given.

    `config` replaces the tuning numbers of transfers. `environ` adds environment variables of this person.
    """
    if isinstance(server, OpenSSH):
        folder = server.make_folder(root)
        for name in folders:
            server.make_folder(f"{root}/{name}")
    else:
        folder = server.root / root
        for name in ("", *folders):
            (folder / name).mkdir(parents=True, exist_ok=True)
    password: Secret | None = server.password
    events: list[Event] = []
    disk, state = base / "disk", base / "state"
    disk.mkdir()
    worlds: list[World] = []
    app = App(
        environ={**environ, **({"UPLOADER_PASSWORD": password.reveal()} if password else {})},
        prompter=None,
        observer=events.append,
        state=state,
        ssh_folder=base / "ssh",
        wait=lambda seconds: worlds[0].wait(seconds),
        silence_seconds=silence_seconds,
        config=config,
    )
    here = World(app, folder, disk, state, events)
    worlds.append(here)
    save_target(state, server, root, name="canvas", webui=webui, at=line or server)
    return here


def save_target(
    state: Path,
    server: EmbeddedServer | OpenSSH,
    root: str,
    *,
    name: str,
    webui: str = "a1111",
    at: Place | None = None,
) -> None:
    """Save a target and its host key as a login does, without a connection."""
    at = at or server
    key_file = str(server.identity_file) if isinstance(server, OpenSSH) and server.password is None else None
    Targets(state).save(Target(name, "generic", webui, at.host, root, at.port, server.user, key_file))
    known_hosts = KnownHosts(state / "known_hosts", ssh_folder=state)
    known_hosts.expect(host_key(server), name, f"[{at.host}]:{at.port}", server.fingerprint)
    known_hosts.keep(name)


def host_key(server: EmbeddedServer | OpenSSH) -> paramiko.PKey:
    if isinstance(server, EmbeddedServer):
        return server.host_key
    key_type, _, encoded = server.host_key.partition(" ")
    return paramiko.PKey.from_type_string(key_type, base64.b64decode(encoded))


def serve(base: Path, kind: str) -> AbstractContextManager[EmbeddedServer | OpenSSH]:
    """Return a server as a context: `embedded`, or a shape of OpenSSH; that skips the test where it cannot run."""
    if kind == "embedded":
        base.mkdir()
        return EmbeddedServer(base)
    return openssh(kind)  # type: ignore[arg-type]
