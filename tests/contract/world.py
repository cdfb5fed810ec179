"""A person with a target: the whole program but its command line, over a real server, with state of its own."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from tests.servers.models import write_safetensors
from tests.servers.openssh import OpenSSH, needs_sshd
from tests.servers.tcp_proxy import Proxy
from uploader import api
from uploader.api import DryRun, LoginRequest, PushRequest
from uploader.demo.server import EmbeddedServer
from uploader.events import Event, Message
from uploader.result import Outcome, Report
from uploader.secret import Secret
from uploader.transfer.config import TransferConfig

CHECKPOINTS = "models/Stable-diffusion"
LORAS = "models/Lora"
MIB = 1024 * 1024


class Place(Protocol):
    host: str
    port: int


def at_once(seconds: float) -> bool:
    """The wait between two tries that nobody waits for."""
    return False


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class App:
    """The API with one person's session: `app.push(request)` calls `api.push(session, request)`."""

    def __init__(self, **options: Any) -> None:
        self.session = api.Session(**options)

    def __getattr__(self, verb: str) -> Any:
        return partial(getattr(api, verb), self.session)


@dataclass
class World:
    """`root` is the WebUI's folder as seen from here, `disk` where this person keeps models."""

    app: App
    root: Path
    disk: Path
    state: Path
    events: list[Event] = field(default_factory=list)
    wait: Callable[[float], bool] = at_once
    """What happens between two tries; may be set again."""

    def model(self, name: str = "dream.safetensors", size: int | None = None, preset: str = "checkpoint") -> Path:
        """Makes a real model on this person's disk."""
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
        """Returns the code of the one failure."""
        error = self.one(source, **options).error
        assert error is not None
        return error.code

    def dry(self, *sources: object, **options: Any) -> DryRun:
        plan = self.app.push(PushRequest(tuple(map(str, sources)), dry_run=True, **options))
        assert isinstance(plan, DryRun)
        return plan

    @property
    def there(self) -> dict[str, int]:
        """All files below the root with their sizes."""
        return {
            str(path.relative_to(self.root)): path.stat().st_size for path in self.root.rglob("*") if path.is_file()
        }

    @property
    def parts(self) -> list[Path]:
        return list(self.root.rglob("*.part"))

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
    """Make the WebUI's folders on the server and log in, through `line` where one is given.

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
    at: Place = line or server
    app.login(
        LoginRequest(
            "generic",
            name="canvas",
            host=at.host,
            port=at.port,
            user=server.user,
            root=root,
            webui=webui,
            identity_file=str(server.identity_file) if isinstance(server, OpenSSH) and password is None else None,
            host_key=server.fingerprint,
        )
    )
    return here


def serve(base: Path, kind: str) -> EmbeddedServer | OpenSSH:
    """Makes a server: `embedded`, or a shape of OpenSSH; skips the test where that cannot run."""
    if kind == "embedded":
        base.mkdir()
        return EmbeddedServer(base)
    needs_sshd(kind)  # type: ignore[arg-type]
    return OpenSSH(base, kind)  # type: ignore[arg-type]
