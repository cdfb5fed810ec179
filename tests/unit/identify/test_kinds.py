from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.servers.models import PRESETS, safetensors
from uploader.artifact import Kind
from uploader.identify import Identity, identify

PRESET_KINDS = {
    "checkpoint": (Kind.CHECKPOINT, "sd1"),
    "sd2-checkpoint": (Kind.CHECKPOINT, "sd2"),
    "sdxl-checkpoint": (Kind.CHECKPOINT, "sdxl"),
    "flux-checkpoint": (Kind.CHECKPOINT, "flux1"),
    "diffusion-model": (Kind.DIFFUSION_MODEL, "flux1"),
    "lora": (Kind.LORA, "sd1"),
    "sdxl-lora": (Kind.LORA, "sdxl"),
    "flux-lora": (Kind.LORA, "flux1"),
    "lycoris": (Kind.LORA, "sd1"),
    "vae": (Kind.VAE, None),
    "embedding": (Kind.EMBEDDING, "sd1"),
    "sdxl-embedding": (Kind.EMBEDDING, "sdxl"),
    "controlnet": (Kind.CONTROLNET, "sd1"),
    "upscaler": (Kind.UPSCALER, None),
    "ip-adapter": (Kind.IP_ADAPTER, None),
    "text-encoder": (Kind.TEXT_ENCODER, None),
    "clip-vision": (Kind.CLIP_VISION, None),
}


def look(tensors: str | Mapping[str, tuple[int, ...]], **more: int) -> Identity:
    content = safetensors(tensors, size_bytes=more.get("size_bytes"))
    return identify(lambda offset, length: content[offset : offset + length], len(content), "a.safetensors")


def told(**metadata: str) -> str | None:
    content = safetensors({"a.lora_down.weight": (1, 1)}, metadata=metadata)
    return identify(lambda at, length: content[at : at + length], len(content), "a.safetensors").architecture


def test_every_preset_has_its_kind() -> None:
    assert PRESET_KINDS.keys() == PRESETS.keys()


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("size", [None, 200_000])
def test_a_model_is_told_by_its_tensors(preset: str, size: int | None) -> None:
    found = look(preset) if size is None else look(preset, size_bytes=size)
    assert (found.kind, found.architecture) == PRESET_KINDS[preset]
    assert found.complete is True


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["transformer.single_transformer_blocks.0.attn.to_k.lora_A.weight", "x.lora_B.weight"], Kind.LORA),
        (["unet.down_blocks.0.attn1.to_q.lora.down.weight", "unet.down_blocks.0.attn1.to_q.lora.up.weight"], Kind.LORA),
        (["unet.a.processor.to_q_lora.down.weight", "unet.a.processor.to_q_lora.up.weight"], Kind.LORA),
        (["base_model.model.a.lora_A.default.weight", "base_model.model.a.lora_B.default.weight"], Kind.LORA),
        (["diffusion_model.blocks.0.q.lora_A.weight", "diffusion_model.blocks.0.q.lora_B.weight"], Kind.LORA),
        (["a.lokr_w1", "a.lokr_w2_a", "a.lokr_w2_b", "a.alpha"], Kind.LORA),
        (["lycoris_blocks_0.oft_blocks", "b.dora_scale"], Kind.LORA),
        (["a.a1.weight", "a.a2.weight", "a.b1.weight", "a.b2.weight"], Kind.LORA),
        (["lora_controlnet", "input_blocks.0.0.up", "input_hint_block.0.weight"], Kind.CONTROLNET),
        (["lllite_unet_input_blocks_4.down.0.weight", "lllite_unet_input_blocks_4.up.0.weight"], Kind.CONTROLNET),
        (["controlnet_cond_embedding.conv_in.weight", "down_blocks.0.resnets.0.norm1.weight"], Kind.CONTROLNET),
        (["controlnet_blocks.0.weight", "transformer_blocks.0.attn.to_k.weight"], Kind.CONTROLNET),
        (["adapter.body.0.in_conv.weight"], Kind.CONTROLNET),
        (
            ["image_proj.norm.weight", "ip_adapter.1.to_q_lora.down.weight", "ip_adapter.1.x_lora.up.weight"],
            Kind.IP_ADAPTER,
        ),
        (["model.diffusion_model.input_blocks.0.0.weight"], Kind.DIFFUSION_MODEL),
        (["model.diffusion_model.x", "first_stage_model.x"], Kind.CHECKPOINT),
        (["down_blocks.0.resnets.0.norm1.weight", "time_embedding.linear_1.weight"], Kind.DIFFUSION_MODEL),
        (["first_stage_model.decoder.conv_in.weight"], Kind.VAE),
        (["decoder.up_blocks.0.resnets.0.norm1.weight"], Kind.VAE),
        (["down_blocks.0.motion_modules.0.temporal_transformer.norm.weight"], Kind.MOTION_MODULE),
        (["encoder.block.0.layer.0.SelfAttention.q.weight", "shared.weight"], Kind.TEXT_ENCODER),
        (["text_model.encoder.layers.0.mlp.fc1.weight", "vision_model.encoder.layers.0.layer_norm1.weight"], None),
        (["string_to_param.*"], Kind.EMBEDDING),
        (["conv_first.weight", "body.0.rdb1.conv1.weight"], Kind.UPSCALER),
        (["params_ema.body.0.weight", "params_ema.body.1.weight"], Kind.UPSCALER),
        (["something.else.entirely"], None),
        (["decoy\nmodel.diffusion_model.x"], None),
    ],
)
def test_the_rules_know_the_usual_names(names: list[str], kind: Kind | None) -> None:
    assert look(dict.fromkeys(names, (3, 5))).kind == kind


def test_a_checkpoint_with_leftovers_of_a_merge_is_no_lora() -> None:
    leftovers = {"lora_unet_a.lora_down.weight": (1, 1), "lora_unet_a.lora_up.weight": (1, 1)}
    assert look({**PRESETS["checkpoint"], **leftovers}).kind == Kind.CHECKPOINT


@pytest.mark.parametrize("shape", [(768,), (4, 768), (2, 1024), (8, 1280)])
def test_one_small_vector_of_a_text_encoders_width_is_an_embedding(shape: tuple[int, ...]) -> None:
    assert look({"<my-concept>": shape}).kind == Kind.EMBEDDING


def test_a_large_matrix_of_that_width_is_not() -> None:
    assert look({"weight": (4096, 768)}).kind is None


@pytest.mark.parametrize(
    ("tensors", "architecture"),
    [
        ({"model.diffusion_model.joint_blocks.0.context_block.attn.qkv.weight": (2, 2)}, "sd3"),
        ({"double_stream_modulation_img.lin.weight": (2, 2)}, "flux2"),
        ({"double_blocks.0.img_attn.norm.key_norm.scale": (2,), "distilled_guidance_layer.x": (2,)}, "chroma"),
        ({"cap_embedder.1.weight": (3840, 1), "noise_refiner.0.attention.k_norm.weight": (2,)}, "z-image"),
        ({"cap_embedder.1.weight": (2304, 1), "noise_refiner.0.attention.k_norm.weight": (2,)}, "lumina2"),
        ({"model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": (2, 1280)}, "sdxl-refiner"),
        ({"down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight": (2, 2048)}, "sdxl"),
        ({"input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": (7, 77)}, None),
    ],
)
def test_the_architecture_follows_names_and_widths(
    tensors: dict[str, tuple[int, ...]], architecture: str | None
) -> None:
    assert look(tensors).architecture == architecture


def test_metadata_tells_the_architecture_where_tensors_do_not() -> None:
    assert told(**{"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}) == "sdxl"
    assert told(ss_base_model_version="flux1") == "flux1"
    assert told(ss_base_model_version="sd_v1") == "sd1"
    assert told(ss_base_model_version="something new") is None


def gguf(architecture: str, before: bytes = b"") -> bytes:
    def text(value: str) -> bytes:
        return len(value).to_bytes(8, "little") + value.encode()

    pair = text("general.architecture") + (8).to_bytes(4, "little") + text(architecture)
    pairs = 2 if before else 1
    return b"GGUF" + (3).to_bytes(4, "little") + bytes(8) + pairs.to_bytes(8, "little") + before + pair


@pytest.mark.parametrize(
    ("architecture", "kind", "said"),
    [
        ("flux", Kind.DIFFUSION_MODEL, "flux1"),
        ("t5encoder", Kind.TEXT_ENCODER, "t5encoder"),
        ("whisper", None, "whisper"),
    ],
)
def test_a_gguf_file_says_what_it_is(architecture: str, kind: Kind | None, said: str) -> None:
    version = (7).to_bytes(8, "little") + b"a.count" + (4).to_bytes(4, "little") + bytes(4)
    for content in (gguf(architecture), gguf(architecture, version)):
        found = identify(lambda at, length, c=content: c[at : at + length], len(content), "a.gguf")  # type: ignore[misc]
        assert (found.container, found.kind, found.architecture, found.extension) == ("gguf", kind, said, ".gguf")


def test_a_gguf_file_that_is_cut_or_lies_says_nothing() -> None:
    whole = gguf("flux")
    for content in (whole[:20], whole[:40], whole[:-1], whole[:24] + b"\xff" * 30):
        found = identify(lambda at, length, c=content: c[at : at + length], len(content), "a.gguf")  # type: ignore[misc]
        assert (found.container, found.kind, found.architecture) == ("gguf", None, None)
