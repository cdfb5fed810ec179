"""The family of a LoRA, an embedding, a VAE or a text encoder, by names and widths of its tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping

from uploader.artifact import Kind
from uploader.identify.architectures import Architecture, diffusion_architecture, told
from uploader.identify.tensor_names import Keys

_LORA_WIDTH = re.compile(r"attn2[._]to_[kv][._](?:lora_down\.weight|lora_A\.weight|lora\.down\.weight|hada_w1_b)$")
_SD3_WIDTH = re.compile(r"transformer_blocks[._]\d+[._]attn[._]to_q[._](?:lora_down|lora_A)(?:\.default)?\.weight$")
_LORA_WIDTHS = {768: "sd1", 1024: "sd2", 2048: "sdxl"}
_SD3_WIDTHS = (1536, 2432)
_EMBEDDING_WIDTHS = {768: "sd1", 1024: "sd2", 1280: "sdxl"}
_LORAS = (
    ("sdxl", r"lora_te2_"),
    (
        "flux1",
        r"lora_unet_(?:double|single)_blocks_|lora_transformer_single_transformer_blocks_"
        r"|transformer\.single_transformer_blocks\.|single_transformer_blocks\."
        r"|(?:diffusion_model\.|transformer\.)?(?:double_blocks|single_blocks)\.\d+\.",
    ),
    ("sd3", r"lora_unet_joint_blocks_|(?:diffusion_model\.)?joint_blocks\."),
    ("wan", r"(?:lora_unet_|diffusion_model\.|transformer\.)?blocks[._]\d+[._](?:self_attn|cross_attn|ffn)"),
    ("z-image", r"(?:diffusion_model\.|transformer\.|lora_unet_)layers[._]\d+[._](?:attention|feed_forward|adaLN)"),
    ("qwen-image", r"(?:lora_unet_|diffusion_model\.|transformer\.)?transformer_blocks[._]\d+[._](?:attn|img_m|txt_m)"),
)
_LORA_SIGNS = tuple((family, re.compile(f"^(?:{pattern})", re.MULTILINE)) for family, pattern in _LORAS)
_LATENTS = {4: "sd1/sd2/sdxl", 16: "flux1/sd3/z-image/chroma/lumina2", 32: "flux2"}
_VIDEO_LATENTS = {16: "wan/qwen-image", 48: "wan"}


def architecture_of(keys: Keys, kind: Kind | None, metadata: Mapping[str, str]) -> Architecture | None:
    """Return the architecture of a model of that kind: by its tensors, else by its metadata."""
    hint = told(metadata)
    match kind:
        case Kind.LORA:
            return _known(_of_lora(keys, hint) or hint)
        case Kind.EMBEDDING:
            return _known(_of_embedding(keys) or hint)
        case Kind.VAE:
            return _of_vae(keys, hint)
        case Kind.TEXT_ENCODER:
            return _known(_of_text_encoder(keys))
        case Kind.CLIP_VISION:
            return _known(_of_clip_vision(keys))
        case _:
            return diffusion_architecture(keys) or _known(hint)


def _known(family: str | None) -> Architecture | None:
    return Architecture(family) if family else None


def _of_lora(keys: Keys, hint: str | None) -> str | None:
    for name, shape in keys.shapes.items():
        if len(shape) >= 2 and _LORA_WIDTH.search(name) and shape[1] in _LORA_WIDTHS:
            return _LORA_WIDTHS[shape[1]]
    family = next((family for family, pattern in _LORA_SIGNS if keys.matches(pattern)), None)
    if family == "flux1" and keys.holds("individual_token_refiner"):
        return "hunyuan-video"
    if family == "flux1" and hint in ("chroma", "flux2", "hunyuan-image"):
        return hint  # their blocks have the names of the first Flux's
    if family == "qwen-image":
        widths = {shape[1] for name, shape in keys.shapes.items() if len(shape) == 2 and _SD3_WIDTH.search(name)}
        return "sd3" if widths & set(_SD3_WIDTHS) else hint if hint in ("flux1", "sd3") else family
    return family


def _of_embedding(keys: Keys) -> str | None:
    if keys.has("clip_g"):
        return "sdxl"
    for name, shape in keys.shapes.items():
        if shape and (name == "emb_params" or name.startswith("string_to_param") or len(keys) == 1):
            return _EMBEDDING_WIDTHS.get(shape[-1])
    return None


def _of_vae(keys: Keys, hint: str | None) -> Architecture | None:
    for prefix in ("", "first_stage_model.", "vae."):
        if keys.has(f"{prefix}bn.running_mean"):
            return Architecture("flux2")
        for stem in ("conv_in", "conv1"):
            shape = keys.shapes.get(f"{prefix}decoder.{stem}.weight", ())
            if len(shape) == 5:
                return _known(_VIDEO_LATENTS.get(shape[1]))
            if len(shape) == 4:
                families = _LATENTS.get(shape[1])
                return _known(hint if families and hint in families.split("/") else families)
    return None


def _of_text_encoder(keys: Keys) -> str | None:
    wide = keys.shapes.get("encoder.block.23.layer.1.DenseReluDense.wi_1.weight", ())
    if len(wide) == 2:
        return {4096: "t5-xxl", 2048: "t5-xl"}.get(wide[1], "t5")
    if keys.starts("encoder.block.0."):
        return "t5"
    for layer, size in ((30, "clip-g"), (22, "clip-h"), (0, "clip-l")):
        if keys.has(f"text_model.encoder.layers.{layer}.mlp.fc1.weight"):
            return size
    if keys.starts("transformer.resblocks.0."):
        return "open-clip"
    if keys.starts("model.layers.0.pre_feedforward_layernorm."):
        return "gemma"
    if keys.holds("\nmodel.layers.0.self_attn.q_norm."):
        return "qwen3"
    return "qwen2" if keys.starts("model.layers.0.self_attn.k_proj.bias") else "llama"


def _of_clip_vision(keys: Keys) -> str | None:
    for layer, size in ((47, "clip-g"), (30, "clip-h"), (22, "clip-l")):
        if keys.starts(f"vision_model.encoder.layers.{layer}.layer_norm1.weight"):
            return size
    return None
