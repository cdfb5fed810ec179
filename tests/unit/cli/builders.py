"""Values that several of these tests need."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from uploader.api import FolderDifference, JobView, Plan, Problem, WebUIFacts
from uploader.artifact import Artifact, Kind, LocalFile
from uploader.commands.push.plan import Item, PushStep, refused, step_of
from uploader.errors import Exists, UploaderError
from uploader.result import Evidence, Failure, Outcome
from uploader.server_download import JobRecord
from uploader.steps import Action, Route

SHA256 = "ab" * 32


def placed(name: str = "a.safetensors") -> Outcome:
    return Outcome(
        "my-canvas",
        f"/models/{name}",
        "placed",
        name=name,
        kind=Kind.LORA,
        route="local",
        path=f"home/data/models/Lora/{name}",
        size=2_132_625_894,
        sha256=SHA256,
        evidence=Evidence.REMOTE_HASH,
        bytes_sent=1_132_625_894,
        resumed_from=1_000_000_000,
        seconds=41.2,
    )


def failed(error: UploaderError, source: str = "b.safetensors", name: str | None = None) -> Outcome:
    """With a name it is an item that has its place; without one a reference that came to nothing."""
    path = f"home/data/models/Lora/{name}" if name else None
    return Outcome("my-canvas", source, "failed", name=name, path=path, error=Failure.of(error))


def step(name: str, error: UploaderError | None = None) -> PushStep:
    artifact = Artifact(f"/models/{name}", name, 144_000_000, LocalFile(Path("/models") / name, 0), "0123abcd")
    item = Item(artifact, Kind.LORA, name, Route.LOCAL, f"models/Lora/{name}", "models/Lora")
    if error is not None:
        return refused(item, error)
    return replace(step_of(item, Action.SEND, "is not there yet"), bytes=144_000_000)


def plan_with_a_refusal() -> Plan[PushStep]:
    taken = Exists("models/Lora/b.safetensors exists already", remedy="Use --replace.")
    return Plan("my-canvas", "", (step("a.safetensors"), step("b.safetensors", taken)))


def webui_facts() -> WebUIFacts:
    lora = FolderDifference(Kind.LORA, "/sd/models/Lora", ("/sd/loras",), ("/sd/loras",))
    return WebUIFacts(
        "my-canvas",
        "https://canvas.example.com",
        ("forge", "forge-neo"),
        fits=False,
        version=None,
        checkpoint="dream.safetensors",
        models={Kind.CHECKPOINT: 3, Kind.LORA: 12},
        folders={Kind.LORA: ("/sd/loras",)},
        differences=(lora,),
        problems=(Problem("models/Lora/x.zip", "x.zip", Kind.LORA, 1200, False, "wrong extension"),),
    )


def plan_for_two() -> Plan[PushStep]:
    return Plan("a, b", "", [replace(step("x.safetensors"), target=name) for name in ("a", "b")])


def job(state: str = "running", done: int | None = 50_000_000, reason: str | None = None) -> JobView:
    path = "home/data/models/Lora/a.safetensors"
    record = JobRecord(
        target="my-canvas",
        source="https://x/a.safetensors?…",
        name="a.safetensors",
        kind="lora",
        path=path,
        final=f"/{path}",
        part=f"/{path}.0123abcd.part",
        size=144_000_000,
        sha256=None,
        replace=False,
        allow_pickle=False,
        notify=True,
        verify="auto",
        began=1_795_525_200.0,
    )
    return JobView(record, state, done, reason)


class Clock:
    """Time that passes when it is told to, in seconds."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now
