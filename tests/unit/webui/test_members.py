"""Each member over its fake: what it lists, refreshes, tells of folders; answers that make no sense are refused."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.webuis import (
    FakeA1111,
    FakeComfyUI,
    FakeForge,
    FakeInvokeAI,
    FakeSdNext,
    FakeSwarmUI,
    FakeWebUI,
)
from uploader.artifact import Kind
from uploader.errors import NetworkError, UploaderError, WebUIRefused
from uploader.webui import Listed, Member, find, recognise
from uploader.webui.client import WebUIClient
from uploader.webui.invokeai import InvokeAi

FAMILIES: list[Callable[..., FakeWebUI]] = [FakeA1111, FakeForge, FakeSdNext, FakeComfyUI, FakeInvokeAI, FakeSwarmUI]


def put(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")


@pytest.mark.parametrize(
    ("make", "kind", "path"),
    [
        (FakeA1111, Kind.CHECKPOINT, "models/Stable-diffusion/sub/m.safetensors"),
        (FakeA1111, Kind.LORA, "models/Lora/m.safetensors"),
        (FakeA1111, Kind.VAE, "models/VAE/m.vae.pt"),
        (FakeSdNext, Kind.CHECKPOINT, "models/Stable-diffusion/m.safetensors"),
        (FakeSdNext, Kind.LORA, "models/Lora/m.safetensors"),
        (FakeSdNext, Kind.VAE, "models/VAE/m.safetensors"),
        (FakeSdNext, Kind.DIFFUSION_MODEL, "models/UNET/m.safetensors"),
        (FakeSwarmUI, Kind.LORA, "Models/Lora/sub/m.safetensors"),
        (FakeSwarmUI, Kind.TEXT_ENCODER, "Models/text_encoders/m.safetensors"),
    ],
)
def test_a_new_file_is_listed_after_a_refresh_and_not_before(
    tmp_path: Path, make: Callable[..., FakeWebUI], kind: Kind, path: str
) -> None:
    name = Path(path).name
    with make(tmp_path) as webui, WebUIClient(webui.url) as service:
        member = recognise(service, None)
        put(tmp_path, path)
        assert find(member.models(kind) or [], name) is None
        assert member.refresh(kind, [str(tmp_path / path)]).done
        assert find(member.models(kind) or [], name) is not None


@pytest.mark.parametrize(
    ("make", "kind", "path"),
    [
        (FakeSdNext, Kind.CONTROLNET, "models/control/m.safetensors"),
        (FakeA1111, Kind.CONTROLNET, "models/ControlNet/m.safetensors"),
        (FakeA1111, Kind.IP_ADAPTER, "models/ControlNet/m.safetensors"),
        (FakeComfyUI, Kind.DIFFUSION_MODEL, "models/unet/sub/m.safetensors"),
        (FakeComfyUI, Kind.TEXT_ENCODER, "models/text_encoders/m.safetensors"),
    ],
)
def test_some_lists_are_made_when_they_are_asked_for(
    tmp_path: Path, make: Callable[..., FakeWebUI], kind: Kind, path: str
) -> None:
    with make(tmp_path) as webui, WebUIClient(webui.url) as service:
        member = recognise(service, None)
        put(tmp_path, path)
        assert find(member.models(kind) or [], "m.safetensors") is not None


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (FakeA1111, Kind.UPSCALER),
        (FakeA1111, Kind.HYPERNETWORK),
        (FakeForge, Kind.VAE),
        (FakeForge, Kind.TEXT_ENCODER),
        (FakeSdNext, Kind.EMBEDDING),
        (FakeSdNext, Kind.UPSCALER),
        (FakeComfyUI, Kind.DETECTOR),
        (FakeInvokeAI, Kind.HYPERNETWORK),
    ],
)
def test_what_no_call_refreshes_says_what_to_press(tmp_path: Path, make: Callable[..., FakeWebUI], kind: Kind) -> None:
    with make(tmp_path) as webui, WebUIClient(webui.url) as service:
        refreshed = recognise(service, None).refresh(kind, ["/x"])
        assert not refreshed.done
        assert refreshed.remedy


@pytest.mark.parametrize("make", [FakeA1111, FakeSdNext])
def test_member_old_version_says_what_to_press(tmp_path: Path, make: Callable[..., FakeA1111]) -> None:
    with make(tmp_path) as webui, WebUIClient(webui.url) as service:
        member = recognise(service, None)
        webui.answer = lambda seen: (404, {"detail": "Not Found"})  # type: ignore[method-assign]
        for kind in (Kind.CHECKPOINT, Kind.LORA, Kind.VAE):
            refreshed = member.refresh(kind, ["/x"])
            assert (refreshed.done, member.models(kind)) == (False, None)
            assert "Press" in str(refreshed.remedy)


def test_forges_modules_are_both_its_vaes_and_its_text_encoders(tmp_path: Path) -> None:
    put(tmp_path, "models/VAE/ae.safetensors", "models/text_encoder/t5.safetensors")
    with FakeForge(tmp_path) as webui, WebUIClient(webui.url) as service:
        member = recognise(service, None)
        for kind in (Kind.VAE, Kind.TEXT_ENCODER):
            assert {model.name for model in member.models(kind) or []} == {"ae.safetensors", "t5.safetensors"}


def test_folders_are_told_by_those_who_know_them(tmp_path: Path) -> None:
    told = {}
    for make in FAMILIES:
        with make(tmp_path) as webui, WebUIClient(webui.url) as service:
            told[make] = recognise(service, None).folders()
    assert told[FakeA1111][Kind.LORA] == (f"{tmp_path}/models/Lora",)
    assert told[FakeSdNext] == {
        Kind.CHECKPOINT: (f"{tmp_path}/models/Stable-diffusion",),
        Kind.DIFFUSION_MODEL: (f"{tmp_path}/models/UNET",),
    }
    assert told[FakeComfyUI][Kind.CHECKPOINT] == (f"{tmp_path}/models/checkpoints", f"{tmp_path}/output/checkpoints")
    assert told[FakeInvokeAI] == told[FakeSwarmUI] == {}


def test_the_current_checkpoint_is_told_without_its_hash(tmp_path: Path) -> None:
    put(tmp_path, "Models/Stable-Diffusion/a.safetensors")
    with FakeA1111(tmp_path) as webui, WebUIClient(webui.url) as service:
        assert recognise(service, None).current() == "first.safetensors"
    with FakeSwarmUI(tmp_path) as swarm, WebUIClient(swarm.url) as service:
        member = recognise(service, None)
        assert member.current() is None
        member.select(Listed("a.safetensors"))
        assert member.current() == "a.safetensors"
        with pytest.raises(WebUIRefused, match="switching"):
            member.select(Listed("b.safetensors"))


def calls(member: Member) -> list[Callable[[], object]]:
    return [
        member.version,
        member.current,
        member.folders,
        lambda: member.select(Listed("m.safetensors")),
        *(lambda kind=kind: member.models(kind) for kind in Kind),
        *(lambda kind=kind: member.refresh(kind, ["/x/m.safetensors"]) for kind in Kind),
    ]


NONSENSE: list[object] = [
    None,
    [],
    {},
    "page",
    7,
    [None, 1, "x"],
    [{}],
    {"models": 3},
    {"model_list": "x"},
    {"a": None},
]


@pytest.mark.parametrize("make", FAMILIES)
def test_member_nonsense_answer_raises_only_our_errors(tmp_path: Path, make: Callable[..., FakeWebUI]) -> None:
    with make(tmp_path) as webui, WebUIClient(webui.url, seconds=60) as service:
        member = recognise(service, None)
        if isinstance(member, InvokeAi):
            member._wait = lambda seconds: None
        for nonsense in NONSENSE:
            webui.answer = lambda seen, told=nonsense: (200, told)  # type: ignore[method-assign,misc]
            for call in calls(member):
                with contextlib.suppress(UploaderError):
                    json.dumps(call(), default=repr)


def test_a_registration_that_takes_too_long_is_left_to_itself(tmp_path: Path) -> None:
    put(tmp_path, "m.safetensors")
    waited: list[float] = []
    with FakeInvokeAI(tmp_path) as webui, WebUIClient(webui.url, seconds=60) as service:
        webui.looks = 10_000
        member = InvokeAi(service, "6", wait=waited.append)
        with pytest.raises(NetworkError, match="still busy"):
            member.refresh(Kind.LORA, [str(tmp_path / "m.safetensors")])
    assert 59 < sum(waited) < 62
    assert max(waited) == 1.0
