from __future__ import annotations

import pytest

from uploader import profiles as profiles
from uploader.artifact import Kind
from uploader.identify import Identity, PickleScan, choose_kind, remarks, warnings
from uploader.profile import WebUI

WEBUIS = profiles.load().webuis
A1111, FORGE, COMFYUI = WEBUIS["a1111"], WEBUIS["forge"], WEBUIS["comfyui"]


def said(identity: Identity, webui: WebUI, kind: Kind = Kind.LORA, name: str = "a.safetensors") -> tuple[str, ...]:
    return warnings(identity, name, kind, webui)


@pytest.mark.parametrize("kind", [Kind.CHECKPOINT, Kind.LORA, Kind.VAE, Kind.CONTROLNET])
def test_fit_warns_of_a_family_the_webui_does_not_run(kind: Kind) -> None:
    (warning,) = said(Identity("safetensors", kind, "flux1"), A1111, kind)
    assert "flux1" in warning
    assert "sdxl" in warning


@pytest.mark.parametrize(
    ("identity", "webui"),
    [
        (Identity("safetensors", Kind.LORA, "flux1"), FORGE),
        (Identity("safetensors", Kind.LORA, "flux1"), COMFYUI),  # what it runs is not stated
        (Identity("safetensors", Kind.LORA, "sdxl"), A1111),
        (Identity("safetensors", Kind.LORA), A1111),
        (Identity("safetensors", Kind.VAE, "sd1/sd2/sdxl"), A1111),
    ],
)
def test_fit_is_silent_when_it_fits_or_is_unknown(identity: Identity, webui: WebUI) -> None:
    assert said(identity, webui) == ()


def test_fit_is_silent_on_text_encoders() -> None:
    assert said(Identity("safetensors", Kind.TEXT_ENCODER, "t5-xxl"), FORGE, Kind.TEXT_ENCODER) == ()


def test_fit_warns_of_strict_pickles_for_automatic1111_only() -> None:
    identity = Identity("zip", Kind.VAE, pickle=PickleScan(strict=("torch.int64", "byteorder (in the zip)")))
    (warning,) = said(identity, A1111, Kind.VAE)
    assert "torch.int64, byteorder" in warning
    assert said(identity, FORGE, Kind.VAE) == ()
    assert "torch.int64" in remarks(identity)[0]


def test_fit_warns_of_allowed_pickles_for_automatic1111() -> None:
    identity = Identity("zip", Kind.UPSCALER, pickle=PickleScan(findings=("basicsr.x",)))
    assert "basicsr.x" in said(identity, A1111, Kind.UPSCALER)[0]
    assert said(identity, A1111, Kind.DETECTOR) == ()


def test_fit_warns_of_a_blank_start_where_it_matters() -> None:
    identity = Identity("safetensors", Kind.LORA, blank_start=True)
    assert "metadata" in said(identity, A1111)[0]
    assert "metadata" in said(identity, FORGE)[0]
    assert said(identity, COMFYUI) == ()
    assert "metadata" in remarks(identity)[0]


def test_fit_warns_when_header_and_source_differ() -> None:
    identity = Identity("safetensors", Kind.LORA)
    (warning,) = warnings(identity, "a", Kind.LORA, COMFYUI, told=Kind.CHECKPOINT)
    assert warning == "its source says checkpoint, its own header says lora: the header decides"
    assert warnings(identity, "a", Kind.LORA, COMFYUI, told=Kind.LORA) == ()
    assert warnings(Identity("safetensors"), "a", Kind.LORA, COMFYUI, told=Kind.LORA) == ()


def test_fit_warns_when_user_and_header_differ() -> None:
    identity = Identity("safetensors", Kind.LORA)
    (warning,) = warnings(identity, "a", Kind.VAE, COMFYUI, told=Kind.CHECKPOINT, wanted=Kind.VAE)
    assert "lora" in warning
    assert "vae" in warning


def test_fit_notes_an_unknown_architecture() -> None:
    identity = Identity("safetensors", Kind.DIFFUSION_MODEL)
    (warning,) = said(identity, COMFYUI, Kind.DIFFUSION_MODEL)
    assert "not known" in warning


def test_kind_is_the_users_then_the_headers_then_the_sources() -> None:
    lora = Identity("safetensors", Kind.LORA)
    assert choose_kind(lora, told=Kind.CHECKPOINT, wanted=Kind.VAE) is Kind.VAE
    assert choose_kind(lora, told=Kind.CHECKPOINT, wanted=None) is Kind.LORA
    assert choose_kind(Identity("safetensors"), told=Kind.CHECKPOINT, wanted=None) is Kind.CHECKPOINT
    assert choose_kind(Identity("safetensors"), told=None, wanted=None) is None


def test_kind_of_a_gguf_checkpoint_is_diffusion_model() -> None:
    assert choose_kind(Identity("gguf"), told=Kind.CHECKPOINT, wanted=None) is Kind.DIFFUSION_MODEL
    assert choose_kind(Identity("gguf"), told=Kind.TEXT_ENCODER, wanted=None) is Kind.TEXT_ENCODER
