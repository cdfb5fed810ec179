"""Which family of models a file belongs to, by names and widths of its tensors; a hint to people, never a refusal."""

from __future__ import annotations

import re
from collections.abc import Mapping

from uploader.identify.keys import Keys

_CROSS = "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"
_MIDDLE = "middle_block.1.transformer_blocks.0.attn2.to_k.weight"
_DIFFUSERS = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight"
_WIDTHS = {768: "sd1", 1024: "sd2", 2048: "sdxl", 1280: "sdxl-refiner"}

_SIGNS = (
    ("chroma", ("distilled_guidance_layer.",)),
    ("flux2", ("double_stream_modulation_img.lin.weight",)),
    ("flux1", ("double_blocks.0.img_attn.norm.key_norm.",)),
    ("sd3", ("joint_blocks.0.context_block.attn.qkv.weight",)),
    ("hunyuan-video", ("txt_in.individual_token_refiner.blocks.0.",)),
    ("lumina2", ("noise_refiner.0.attention.k_norm.weight",)),
    ("qwen-image", ("txt_norm.weight",)),
    ("wan", ("head.modulation",)),
    ("hidream", ("caption_projection.0.linear.weight",)),
    ("ltx-video", ("adaln_single.emb.timestep_embedder.linear_1.bias",)),
    ("cosmos", ("blocks.0.mlp.layer1.weight",)),
    ("aura-flow", ("double_layers.0.attn.w1q.weight",)),
    ("pixart", ("t_block.1.weight",)),
)

_METADATA = (
    ("sdxl", re.compile(r"stable-diffusion-xl|sdxl")),
    ("sd3", re.compile(r"stable-diffusion-3|sd3")),
    ("sd2", re.compile(r"stable-diffusion-v2|sd_v2")),
    ("sd1", re.compile(r"stable-diffusion-v1|sd_v1")),
    ("flux1", re.compile(r"flux-?1")),
    ("chroma", re.compile(r"chroma")),
    ("lumina2", re.compile(r"lumina-?2")),
    ("hunyuan-image", re.compile(r"hunyuan-image")),
)
_LORA_WIDTH = re.compile(r"attn2[._]to_[kv][._](?:lora_down\.weight|lora_A\.weight|lora\.down\.weight|hada_w1_b)$")
_EMBEDDING_WIDTHS = {768: "sd1", 1024: "sd2", 1280: "sdxl"}


def diffusion_architecture(keys: Keys) -> str | None:
    """The family of the UNet or transformer in it."""
    for name in (_CROSS, _MIDDLE, _DIFFUSERS):
        if (width := keys.width(name)) in _WIDTHS:
            return _WIDTHS[width]
        if (width := keys.width(f"control_model.{name}")) in _WIDTHS:
            return _WIDTHS[width]
    for architecture, signs in _SIGNS:
        if keys.bare(*signs):
            if architecture == "lumina2" and keys.width("cap_embedder.1.weight", axis=0) == 3840:
                return "z-image"
            return architecture
    return None


def architecture_of(keys: Keys, metadata: Mapping[str, str]) -> str | None:
    """The family of a model, a LoRA or an embedding: by its tensors, else by what its metadata says of it."""
    return diffusion_architecture(keys) or _of_lora(keys) or _of_embedding(keys) or _told(metadata)


def _of_lora(keys: Keys) -> str | None:
    if keys.starts("lora_te2_"):
        return "sdxl"
    if keys.starts("lora_unet_double_blocks_", "lora_unet_single_blocks_") or keys.bare(
        "transformer.single_transformer_blocks.", "double_blocks.0.img_attn.proj.lora"
    ):
        return "flux1"
    if keys.starts("lora_unet_joint_blocks_"):
        return "sd3"
    for name, shape in keys.shapes.items():
        if len(shape) >= 2 and _LORA_WIDTH.search(name):
            return {768: "sd1", 1024: "sd2", 2048: "sdxl"}.get(shape[1])
    return None


def _of_embedding(keys: Keys) -> str | None:
    if keys.has("clip_g"):
        return "sdxl"
    shape = keys.shapes.get("emb_params", ())
    return _EMBEDDING_WIDTHS.get(shape[-1]) if shape else None


def _told(metadata: Mapping[str, str]) -> str | None:
    for field in ("modelspec.architecture", "ss_base_model_version"):
        told = metadata.get(field, "")[:200].lower()
        for architecture, pattern in _METADATA:
            if pattern.search(told):
                return architecture
    return None
