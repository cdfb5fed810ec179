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
    "vae": (Kind.VAE, "sd1/sd2/sdxl"),
    "embedding": (Kind.EMBEDDING, "sd1"),
    "sdxl-embedding": (Kind.EMBEDDING, "sdxl"),
    "controlnet": (Kind.CONTROLNET, "sd1"),
    "upscaler": (Kind.UPSCALER, None),
    "ip-adapter": (Kind.IP_ADAPTER, None),
    "text-encoder": (Kind.TEXT_ENCODER, "clip-l"),
    "motion-module": (Kind.MOTION_MODULE, None),
    "clip-vision": (Kind.CLIP_VISION, "clip-h"),
}


def look(tensors: str | Mapping[str, tuple[int, ...]], **more: int) -> Identity:
    content = safetensors(tensors, size_bytes=more.get("size_bytes"))
    return identify(lambda offset, length: content[offset : offset + length], len(content), "a.safetensors")


def described(tensors: Mapping[str, tuple[int, ...]], **metadata: str) -> str | None:
    content = safetensors(tensors, metadata=metadata)
    return identify(lambda at, length: content[at : at + length], len(content), "a.safetensors").described


def told(**metadata: str) -> str | None:
    content = safetensors({"a.lora_down.weight": (1, 1)}, metadata=metadata)
    return identify(lambda at, length: content[at : at + length], len(content), "a.safetensors").architecture


def test_kind_of_each_preset_is_its_own() -> None:
    assert PRESET_KINDS.keys() == PRESETS.keys()


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("size", [None, 200_000])
def test_kind_follows_from_tensors(preset: str, size: int | None) -> None:
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
def test_kind_rules_match_common_names(names: list[str], kind: Kind | None) -> None:
    assert look(dict.fromkeys(names, (3, 5))).kind == kind


def test_kind_of_a_checkpoint_with_lora_leftovers() -> None:
    leftovers = {"lora_unet_a.lora_down.weight": (1, 1), "lora_unet_a.lora_up.weight": (1, 1)}
    assert look({**PRESETS["checkpoint"], **leftovers}).kind == Kind.CHECKPOINT


@pytest.mark.parametrize("shape", [(768,), (4, 768), (2, 1024), (8, 1280)])
def test_kind_of_a_small_vector_is_embedding(shape: tuple[int, ...]) -> None:
    assert look({"<my-concept>": shape}).kind == Kind.EMBEDDING


def test_kind_of_a_large_matrix_is_not_embedding() -> None:
    assert look({"weight": (4096, 768)}).kind is None


_FLUX = "double_blocks.0.img_attn.norm.key_norm.scale"
_WIDTH = "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"
_P = "model.diffusion_model."


@pytest.mark.parametrize(
    ("tensors", "architecture"),
    [
        ({_P + _WIDTH: (2, 768), f"{_P}input_blocks.0.0.weight": (4, 9, 3, 3)}, "sd1-inpaint"),
        ({_P + _WIDTH: (2, 768), f"{_P}input_blocks.0.0.weight": (4, 8, 3, 3)}, "sd1-pix2pix"),
        ({_P + _WIDTH: (2, 1024), f"{_P}input_blocks.0.0.weight": (4, 5, 3, 3)}, "sd2-depth"),
        ({_P + _WIDTH: (2, 2048), f"{_P}input_blocks.0.0.weight": (4, 9, 3, 3)}, "sdxl-inpaint"),
        ({f"{_P}{_WIDTH}": (2, 1280)}, "sdxl-refiner"),
        ({"down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight": (2, 2048)}, "sdxl"),
        ({_WIDTH: (7, 77)}, None),
        ({f"{_P}joint_blocks.0.context_block.attn.qkv.weight": (2, 2)}, "sd3"),
        ({_FLUX: (2,), "img_in.weight": (8, 64), "guidance_in.in_layer.weight": (2, 2)}, "flux1-dev"),
        ({_FLUX: (2,), "img_in.weight": (8, 64)}, "flux1-schnell"),
        ({_FLUX: (2,), "img_in.weight": (8, 384), "guidance_in.in_layer.weight": (2, 2)}, "flux1-fill"),
        ({_FLUX: (2,), "img_in.weight": (8, 128), "double_blocks.0.img_mod.lin.weight": (2, 2)}, "flux1-schnell"),
        ({_FLUX: (2,), "img_in.weight": (8, 128), "txt_in.weight": (2, 15360)}, "flux2-dev"),
        ({"double_stream_modulation_img.lin.weight": (2, 2), "txt_in.weight": (2, 7680)}, "flux2-klein-4b"),
        ({"double_stream_modulation_img.lin.weight": (2, 2), "context_embedder.weight": (2, 12288)}, "flux2-klein-9b"),
        ({_FLUX: (2,), "distilled_guidance_layer.x": (2,)}, "chroma"),
        ({_FLUX: (2,), "distilled_guidance_layer.x": (2,), "nerf_blocks.0.x": (2,)}, "chroma-radiance"),
        ({"txt_norm.weight": (2,), "img_in.weight": (2, 2), "txt_in.weight": (2, 2)}, "qwen-image"),
        ({"txt_in.text_norm.weight": (2,), "img_in.weight": (2, 2)}, "qwen-image-2.1"),
        (
            {
                "txt_norm.weight": (2,),
                "img_in.weight": (2, 2),
                "txt_in.weight": (2, 2),
                "__index_timestep_zero__": (1,),
            },
            "qwen-image-edit-2511",
        ),
        ({"head.modulation": (1, 2, 2), "patch_embedding.weight": (5120, 16, 1, 2, 2)}, "wan-t2v-14b"),
        ({"head.modulation": (1, 2, 2), "patch_embedding.weight": (5120, 36, 1, 2, 2)}, "wan-i2v-14b"),
        ({"head.modulation": (1, 2, 2), "patch_embedding.weight": (3072, 48, 1, 2, 2)}, "wan-ti2v-5b"),
        ({"head.modulation": (1, 2, 2), "patch_embedding.weight": (1536, 16, 1, 2, 2)}, "wan-1.3b"),
        ({"head.modulation": (1, 2, 2), "vace_blocks.0.x": (2,)}, "wan-vace"),
        ({"patch_embedding.weight": (5120, 16, 1, 2, 2), "condition_embedder.x": (2,)}, "wan-t2v-14b"),
        ({"cap_embedder.1.weight": (3840, 1), "noise_refiner.0.attention.k_norm.weight": (2,)}, "z-image"),
        ({"cap_embedder.1.weight": (2304, 1), "noise_refiner.0.attention.k_norm.weight": (2,)}, "lumina2"),
        ({"txt_in.individual_token_refiner.blocks.0.norm1.weight": (2,), _FLUX: (2,)}, "hunyuan-video"),
        ({"caption_projection.0.linear.weight": (2, 2)}, "hidream"),
        ({"adaln_single.emb.timestep_embedder.linear_1.bias": (2,)}, "ltx-video"),
        ({"adaln_single.emb.timestep_embedder.linear_1.bias": (2,), "audio_adaln_single.x": (2,)}, "ltx-video-av"),
        ({"adaln_single.emb.timestep_embedder.linear_1.bias": (2,), "pos_embed.proj.bias": (2,)}, "pixart"),
        ({"t_block.1.weight": (2, 2)}, "pixart"),
        ({"double_layers.0.attn.w1q.weight": (2, 2)}, "aura-flow"),
        ({"mlp_t5.0.weight": (2, 2)}, "hunyuan-dit"),
        ({"clf.1.weight": (2, 2)}, "stable-cascade"),
        ({"t5_yproj.weight": (2, 2)}, "mochi"),
        ({"net.blocks.0.mlp.layer1.weight": (2, 2)}, "cosmos"),
        ({"net.blocks.0.mlp.layer1.weight": (2, 2), "net.llm_adapter.x": (2,)}, "anima"),
        ({"txtfusion.projector.weight": (2, 2)}, "krea2"),
        ({"time_caption_embed.x": (2,)}, "omnigen2"),
        ({"embed_image_indicator.weight": (2, 2)}, "ideogram4"),
        ({"visual_transformer_blocks.0.cross_attention.key_norm.weight": (2,)}, "kandinsky5"),
    ],
)
def test_architecture_follows_from_names_and_widths(
    tensors: dict[str, tuple[int, ...]], architecture: str | None
) -> None:
    found = look(tensors)
    assert found.described == architecture
    assert architecture is None or found.kind is Kind.DIFFUSION_MODEL


@pytest.mark.parametrize(
    ("names", "width", "family"),
    [
        (["lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k.lora_down.weight"], 1024, "sd2"),
        (["lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight"], 1280, "sdxl"),
        (["transformer.single_transformer_blocks.0.attn.to_k.lora_A.weight"], 3072, "flux1"),
        (["diffusion_model.double_blocks.0.img_attn.qkv.lora_A.weight"], 3072, "flux1"),
        (["lora_unet_joint_blocks_0_x_block_attn_qkv.lora_down.weight"], 1536, "sd3"),
        (["transformer.transformer_blocks.0.attn.to_q.lora_A.weight"], 1536, "sd3"),
        (["transformer.transformer_blocks.0.attn.to_q.lora_A.weight"], 3072, "qwen-image"),
        (["lora_unet_transformer_blocks_0_attn_to_q.lora_down.weight"], 3072, "qwen-image"),
        (["diffusion_model.blocks.0.self_attn.q.lora_A.weight"], 5120, "wan"),
        (["lora_unet_blocks_0_cross_attn_k.lora_down.weight"], 5120, "wan"),
        (["diffusion_model.layers.0.attention.qkv.lora_A.weight"], 3840, "z-image"),
        (["something.new.lora_A.weight"], 9, None),
    ],
)
def test_architecture_of_a_lora_is_its_base_model(names: list[str], width: int, family: str | None) -> None:
    found = look({name: (4, width) for name in names})
    assert (found.kind, found.architecture) == (Kind.LORA, family)


def test_architecture_of_an_unclear_lora_is_in_metadata() -> None:
    flux = {"diffusion_model.double_blocks.0.img_attn.qkv.lora_A.weight": (4, 3072)}
    assert described(flux, **{"modelspec.architecture": "chroma/lora"}) == "chroma"
    assert described(flux, **{"modelspec.architecture": "stable-diffusion-v1/lora"}) == "flux1"


@pytest.mark.parametrize(
    ("tensors", "family"),
    [
        ({"decoder.conv_in.weight": (8, 4, 3, 3)}, "sd1/sd2/sdxl"),
        ({"first_stage_model.decoder.conv_in.weight": (8, 16, 3, 3)}, "flux1/sd3/z-image/chroma/lumina2"),
        ({"decoder.conv_in.weight": (8, 32, 3, 3)}, "flux2"),
        ({"bn.running_mean": (8,), "decoder.conv_in.weight": (8, 128, 3, 3)}, "flux2"),
        ({"decoder.middle.0.residual.0.gamma": (8,), "decoder.conv1.weight": (8, 16, 3, 3, 3)}, "wan/qwen-image"),
        ({"decoder.middle.0.residual.0.gamma": (8,), "decoder.conv1.weight": (8, 48, 3, 3, 3)}, "wan"),
    ],
)
def test_architecture_of_a_vae_follows_from_its_latents(tensors: dict[str, tuple[int, ...]], family: str) -> None:
    found = look(tensors)
    assert (found.kind, found.architecture) == (Kind.VAE, family)


@pytest.mark.parametrize(
    ("tensors", "size"),
    [
        ({f"text_model.encoder.layers.{layer}.mlp.fc1.weight": (8, 8) for layer in (0, 30)}, "clip-g"),
        ({f"text_model.encoder.layers.{layer}.mlp.fc1.weight": (8, 8) for layer in (0, 22)}, "clip-h"),
        ({"encoder.block.23.layer.1.DenseReluDense.wi_1.weight": (8, 4096)}, "t5-xxl"),
        ({"encoder.block.23.layer.1.DenseReluDense.wi_1.weight": (8, 2048)}, "t5-xl"),
        ({"model.layers.0.post_attention_layernorm.weight": (8,)}, "llama"),
        (
            {"model.layers.0.post_attention_layernorm.weight": (8,), "model.layers.0.self_attn.q_norm.weight": (8,)},
            "qwen3",
        ),
        ({"transformer.resblocks.0.ln_1.weight": (8,)}, "open-clip"),
    ],
)
def test_architecture_of_a_text_encoder_is_known(tensors: dict[str, tuple[int, ...]], size: str) -> None:
    found = look(tensors)
    assert (found.kind, found.architecture) == (Kind.TEXT_ENCODER, size)


def test_kind_of_an_unknown_transformer_is_diffusion_model() -> None:
    found = look({"layers.0.attn.qkv.weight": (8, 8), "t_embedder.mlp.0.weight": (8, 8), "out.weight": (8, 8)})
    assert (found.kind, found.architecture, found.problems) == (Kind.DIFFUSION_MODEL, None, ())
    assert look({"layers.0.attn.qkv.weight": (8, 8), "out.weight": (8, 8)}).kind is None


def test_kind_of_a_model_with_a_lora_in_it_is_not_lora() -> None:
    leftovers = {f"blocks.{n}.self_attn.q.lora_A.weight": (4, 8) for n in range(9)}
    tensors = {"blocks.0.self_attn.q.weight": (8, 8), "head.modulation": (1, 2, 2), **leftovers}
    assert look(tensors).kind is Kind.DIFFUSION_MODEL


def test_architecture_comes_from_metadata_without_tensors() -> None:
    assert told(**{"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}) == "sdxl"
    assert told(ss_base_model_version="flux1") == "flux1"
    assert told(ss_base_model_version="sd_v1") == "sd1"
    assert told(ss_base_model_version="something new") is None
