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
def test_a_family_that_the_webui_does_not_run_is_said(kind: Kind) -> None:
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
def test_nothing_is_said_of_what_fits_or_is_not_known(identity: Identity, webui: WebUI) -> None:
    assert said(identity, webui) == ()


def test_a_text_encoder_has_no_family_that_could_be_missed() -> None:
    assert said(Identity("safetensors", Kind.TEXT_ENCODER, "t5-xxl"), FORGE, Kind.TEXT_ENCODER) == ()


def test_what_automatic1111s_loader_refuses_is_said_there_alone() -> None:
    identity = Identity("zip", Kind.VAE, pickle=PickleScan(strict=("torch.int64", "byteorder (in the zip)")))
    (warning,) = said(identity, A1111, Kind.VAE)
    assert "torch.int64, byteorder" in warning
    assert said(identity, FORGE, Kind.VAE) == ()
    assert "torch.int64" in remarks(identity)[0]


def test_what_was_allowed_here_is_refused_there_all_the_same_and_said() -> None:
    identity = Identity("zip", Kind.UPSCALER, pickle=PickleScan(findings=("basicsr.x",)))
    assert "basicsr.x" in said(identity, A1111, Kind.UPSCALER)[0]
    assert said(identity, A1111, Kind.DETECTOR) == ()


def test_a_header_that_begins_with_a_blank_is_said_where_it_matters() -> None:
    identity = Identity("safetensors", Kind.LORA, blank_start=True)
    assert "metadata" in said(identity, A1111)[0]
    assert "metadata" in said(identity, FORGE)[0]
    assert said(identity, COMFYUI) == ()
    assert "metadata" in remarks(identity)[0]


def test_a_disagreement_between_header_and_source_is_said_and_the_header_wins() -> None:
    identity = Identity("safetensors", Kind.LORA)
    (warning,) = warnings(identity, "a", Kind.LORA, COMFYUI, told=Kind.CHECKPOINT)
    assert warning == "its source says checkpoint, its own header says lora: the header decides"
    assert warnings(identity, "a", Kind.LORA, COMFYUI, told=Kind.LORA) == ()
    assert warnings(Identity("safetensors"), "a", Kind.LORA, COMFYUI, told=Kind.LORA) == ()


def test_the_users_own_word_wins_and_the_difference_is_told() -> None:
    identity = Identity("safetensors", Kind.LORA)
    (warning,) = warnings(identity, "a", Kind.VAE, COMFYUI, told=Kind.CHECKPOINT, wanted=Kind.VAE)
    assert "lora" in warning
    assert "vae" in warning


def test_an_unknown_architecture_is_no_more_than_a_note() -> None:
    identity = Identity("safetensors", Kind.DIFFUSION_MODEL)
    (warning,) = said(identity, COMFYUI, Kind.DIFFUSION_MODEL)
    assert "not known" in warning


def test_the_kind_is_the_users_word_then_the_headers_then_the_sources() -> None:
    lora = Identity("safetensors", Kind.LORA)
    assert choose_kind(lora, told=Kind.CHECKPOINT, wanted=Kind.VAE) is Kind.VAE
    assert choose_kind(lora, told=Kind.CHECKPOINT, wanted=None) is Kind.LORA
    assert choose_kind(Identity("safetensors"), told=Kind.CHECKPOINT, wanted=None) is Kind.CHECKPOINT
    assert choose_kind(Identity("safetensors"), told=None, wanted=None) is None


def test_a_gguf_file_that_a_service_calls_a_checkpoint_is_a_diffusion_model() -> None:
    assert choose_kind(Identity("gguf"), told=Kind.CHECKPOINT, wanted=None) is Kind.DIFFUSION_MODEL
    assert choose_kind(Identity("gguf"), told=Kind.TEXT_ENCODER, wanted=None) is Kind.TEXT_ENCODER
