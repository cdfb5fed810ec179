"""One file of each kind with a real header, and its folder in the most rented WebUIs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.world import World, serve, world
from tests.servers.models import PRESETS, gguf, safetensors
from tests.servers.torch_files import (
    embedding,
    hypernetwork,
    lightning_checkpoint,
    torch_legacy,
    torch_zip,
    weights,
    yolo,
)
from uploader.api import PushRequest
from uploader.artifact import Kind
from uploader.documents import of_plan
from uploader.result import Report

FILES: dict[str, tuple[bytes, Kind]] = {
    "dream.safetensors": (safetensors("checkpoint"), Kind.CHECKPOINT),
    "xl.safetensors": (safetensors("sdxl-checkpoint"), Kind.CHECKPOINT),
    "flux.safetensors": (safetensors("flux-checkpoint"), Kind.CHECKPOINT),
    "old.ckpt": (torch_zip(lightning_checkpoint(PRESETS["checkpoint"])), Kind.CHECKPOINT),
    "unet.safetensors": (safetensors("diffusion-model"), Kind.DIFFUSION_MODEL),
    "flux-q8.gguf": (gguf("flux", PRESETS["diffusion-model"]), Kind.DIFFUSION_MODEL),
    "style.safetensors": (safetensors("lora"), Kind.LORA),
    "locon.safetensors": (safetensors("lycoris"), Kind.LORA),
    "clear.safetensors": (safetensors("vae"), Kind.VAE),
    "old-vae.pt": (torch_legacy({"state_dict": weights(PRESETS["vae"])}), Kind.VAE),
    "negative.safetensors": (safetensors("sdxl-embedding"), Kind.EMBEDDING),
    "old-negative.pt": (torch_zip(embedding()), Kind.EMBEDDING),
    "hyper.pt": (torch_zip(hypernetwork()), Kind.HYPERNETWORK),
    "pose.safetensors": (safetensors("controlnet"), Kind.CONTROLNET),
    "face.safetensors": (safetensors("ip-adapter"), Kind.IP_ADAPTER),
    "sharp.pth": (torch_zip({"params_ema": weights(PRESETS["upscaler"])}), Kind.UPSCALER),
    "t5.safetensors": (safetensors("text-encoder"), Kind.TEXT_ENCODER),
    "vision.safetensors": (safetensors("clip-vision"), Kind.CLIP_VISION),
    "motion.ckpt": (torch_zip(weights(PRESETS["motion-module"])), Kind.MOTION_MODULE),
    "face-yolo.pt": (torch_zip(yolo()), Kind.DETECTOR),
}

_A1111_FAMILY = {
    Kind.CHECKPOINT: "models/Stable-diffusion",
    Kind.LORA: "models/Lora",
    Kind.VAE: "models/VAE",
    Kind.EMBEDDING: "embeddings",
    Kind.HYPERNETWORK: "models/hypernetworks",
    Kind.CONTROLNET: "models/ControlNet",
    Kind.IP_ADAPTER: "models/ControlNet",
    Kind.UPSCALER: "models/ESRGAN",
    Kind.DETECTOR: "models/adetailer",
}
FOLDERS: dict[str, dict[Kind, str]] = {
    "a1111": {**_A1111_FAMILY, Kind.MOTION_MODULE: "extensions/sd-webui-animatediff/model"},
    "forge": {
        **_A1111_FAMILY,
        Kind.MOTION_MODULE: "extensions/sd-forge-animatediff/model",
        Kind.DIFFUSION_MODEL: "models/Stable-diffusion",
        Kind.TEXT_ENCODER: "models/text_encoder",
        Kind.CLIP_VISION: "models/ControlNetPreprocessor",
    },
    "comfyui": {
        Kind.CHECKPOINT: "models/checkpoints",
        Kind.DIFFUSION_MODEL: "models/diffusion_models",
        Kind.LORA: "models/loras",
        Kind.VAE: "models/vae",
        Kind.EMBEDDING: "models/embeddings",
        Kind.HYPERNETWORK: "models/hypernetworks",
        Kind.CONTROLNET: "models/controlnet",
        Kind.IP_ADAPTER: "models/ipadapter",
        Kind.UPSCALER: "models/upscale_models",
        Kind.TEXT_ENCODER: "models/text_encoders",
        Kind.CLIP_VISION: "models/clip_vision",
        Kind.MOTION_MODULE: "models/animatediff_models",
        Kind.DETECTOR: "models/ultralytics/bbox",
    },
}


@pytest.mark.parametrize("webui", FOLDERS)
def test_kind_goes_to_its_folder_or_tells_why_not(webui: str, tmp_path: Path) -> None:
    with serve(tmp_path / "server", "embedded") as server:
        here = world(tmp_path, server, webui=webui)
        for name, (content, _) in FILES.items():
            (here.disk / name).write_bytes(content)
        folders = FOLDERS[webui]
        welcome = [name for name, (_, kind) in FILES.items() if kind in folders]
        steps = here.dry(*(here.disk / name for name in welcome), mkdir=True, allow_pickle=True).steps
        assert {step.item.name: (step.item.kind, step.item.folder) for step in steps} == {
            name: (FILES[name][1], folders[FILES[name][1]]) for name in welcome
        }
        for name in FILES.keys() - set(welcome):
            assert refusal(here, name) == "kind"


def refusal(here: World, name: str) -> str:
    report = here.app.push(PushRequest((str(here.disk / name),), dry_run=True, allow_pickle=True))
    assert isinstance(report, Report)
    error = report.outcomes[0].error
    assert error is not None
    return error.code


def planned(tmp_path: Path, webui: str, name: str) -> str:
    """Return the reason that the plan gives for the file."""
    with serve(tmp_path / "server", "embedded") as server:
        here = world(tmp_path, server, webui=webui)
        (here.disk / name).write_bytes(FILES[name][0])
        document: dict[str, list[dict[str, str]]] = of_plan(here.dry(here.disk / name, mkdir=True))  # type: ignore[assignment]
        return document["plan"][0]["reason"]


@pytest.mark.parametrize(
    ("webui", "name", "said"),
    [
        ("a1111", "flux.safetensors", "made for flux1, and AUTOMATIC1111 runs"),
        ("comfyui", "flux-q8.gguf", "only with the custom node ComfyUI-GGUF"),
        ("forge", "flux.safetensors", None),
        ("comfyui", "flux.safetensors", None),
        ("a1111", "clear.safetensors", None),
    ],
)
def test_plan_warns_what_the_webui_does_with_the_file(webui: str, name: str, said: str | None, tmp_path: Path) -> None:
    reason = planned(tmp_path, webui, name)
    done, _, warning = reason.rpartition("; ") if said else (reason, "", "")
    assert done.startswith("is not there yet")
    assert (said in warning) if said else ("made for" not in done and "custom node" not in done)


def test_push_notes_what_the_webui_does_with_the_file(here: World) -> None:
    here.placed(here.model("flux.safetensors", preset="flux-checkpoint"))
    assert "made for flux1" in here.said
