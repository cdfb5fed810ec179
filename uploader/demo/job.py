"""The demo: a server and a model of its own, then the same login and push as in everyday use."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from uploader import api
from uploader.artifact import Digest
from uploader.demo.model import make_checkpoint, make_lora
from uploader.demo.origin import Origin
from uploader.demo.server import EmbeddedServer
from uploader.events import Observer
from uploader.result import Report

_CHECKPOINT_BYTES = 64 * 1024 * 1024
_FOLDERS = ("models/Stable-diffusion", "models/Lora", "models/VAE", "embeddings")
_PROVIDER = "conoha-ai-canvas"
_NAME = "demo-canvas"

Show = Callable[[str], None]


@dataclass(frozen=True)
class _Model:
    """A file made for the demo, and its sha256."""

    path: Path
    digest: Digest


def run(*, observer: Observer, show: Show, keep: bool) -> int:
    """Run the demo in a folder of its own and return the exit code. `show` takes the lines of the answer.

    `keep` keeps the folder, and shows where it is.
    """
    folder = Path(tempfile.mkdtemp(prefix="uploader-demo-"))
    try:
        return _run(folder, observer, show)
    finally:
        if keep:
            show(f"\nEverything is left in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _run(folder: Path, observer: Observer, show: Show) -> int:
    instance = folder / "instance"
    for name in _FOLDERS:
        (instance / "home" / "data" / name).mkdir(parents=True)
    downloads, web = folder / "downloads", folder / "web"
    downloads.mkdir()
    web.mkdir()
    show("Making a checkpoint and a LoRA (real safetensors, random weights) ...")
    checkpoint = _Model(
        downloads / "demo_v1.safetensors", make_checkpoint(downloads / "demo_v1.safetensors", _CHECKPOINT_BYTES)
    )
    lora = _Model(web / "demo_style.safetensors", make_lora(web / "demo_style.safetensors", rank=32))
    with EmbeddedServer(instance) as server, Origin(web) as origin:
        # The password is given as a script gives it, so that no keyring is touched.
        session = api.Session(
            environ={"UPLOADER_PASSWORD": server.password.reveal()},
            observer=observer,
            state=folder / "state",
            ssh_folder=folder / "ssh",
        )
        _login(session, server, show)
        link = origin.url(lora.path.name)
        reports = [
            _push(session, show, "from this disk", str(checkpoint.path), checkpoint.path.name, "local"),
            _push(session, show, "from a link, through this machine's memory", link, link, "relay"),
        ]
    return _tell(instance, reports, [checkpoint, lora], show)


def _login(session: api.Session, server: EmbeddedServer, show: Show) -> None:
    show(
        f"\n$ uploader login {_PROVIDER} --name {_NAME} --host {server.host} --port {server.port} --user {server.user}"
    )
    found = api.login(
        session,
        api.LoginRequest(
            _PROVIDER,
            name=_NAME,
            host=server.host,
            port=server.port,
            user=server.user,
            host_key=server.fingerprint,
        ),
    )
    facts = found.facts
    if facts is not None:
        show(f"  host key  {facts.host_key}")
        show(f"  starts in {facts.home}, root {found.root}, {'a shell' if facts.shell else 'no shell'}")


def _push(session: api.Session, show: Show, where: str, source: str, shown: str, via: str) -> Report:
    show(f"\n# {where}\n$ uploader push {shown} --to {_NAME} --via {via}")
    request = api.PushRequest((source,), to=(_NAME,), via=via, dry_run=True)
    planned = api.push(session, request)
    if isinstance(planned, api.Plan):
        for step in planned.steps:
            show(f"  plan      {step.action} as {step.item.kind}: {step.reason}")
            show(f"            → {step.item.path}")
    report = api.push(session, api.PushRequest((source,), to=(_NAME,), via=via))
    if not isinstance(report, Report):
        raise TypeError("a push that is no dry run reports")
    for outcome in report.outcomes:
        if outcome.error is not None:
            show(f"  failed    {outcome.error.message}")
        else:
            show(f"  {outcome.status}    {outcome.bytes_sent:,} bytes sent, proven by {outcome.evidence}")
    return report


def _tell(instance: Path, reports: list[Report], models: list[_Model], show: Show) -> int:
    """Show what is on the server's disk now, and if it equals what was sent."""
    show("\nThe instance now holds:")
    for line in _tree(instance):
        show(f"  {line}")
    there = {path.name: _sha256(path) for path in instance.rglob("*.safetensors")}
    show("\nsha256, read from the instance's own disk:")
    right = all(report.ok for report in reports)
    for model in models:
        same = there.get(model.path.name) == model.digest.hex
        right = right and same
        show(f"  {model.path.name}: {'the same as' if same else 'NOT'} what was sent\n    {model.digest}")
    show("\nThat was the whole job. `uploader providers` lists what it works with." if right else "\nThe demo failed.")
    return 0 if right else next((report.exit_code for report in reports if not report.ok), 7)


def _tree(folder: Path, indent: str = "") -> Iterator[str]:
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield f"{indent}{path.name}/"
            yield from _tree(path, indent + "  ")
        else:
            yield f"{indent}{path.name}  ({path.stat().st_size:,} bytes)"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
