"""The family of models that a file belongs to, by names and widths of its tensors. A hint, never a refusal."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from uploader.identify.tensor_names import Keys

_CROSS = "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"
_MIDDLE = "middle_block.1.transformer_blocks.0.attn2.to_k.weight"
_DIFFUSERS = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight"
_WIDTHS = {768: "sd1", 1024: "sd2", 2048: "sdxl", 1280: "sdxl-refiner"}
_SD_INPUTS = {9: "inpaint", 8: "pix2pix", 5: "depth"}
_FLUX2_TEXTS = {7680: "klein-4b", 12288: "klein-9b", 15360: "dev"}
_WAN_SIZES = {(16, 5120): "t2v-14b", (36, 5120): "i2v-14b", (48, 3072): "ti2v-5b"}


@dataclass(frozen=True)
class Architecture:
    """A family of models and a variant.

    `family` names the models that load and train alike, such as `flux1`. It names several with a slash between them
    when the file fits them all. `variant` is None when there is only one or it is unknown."""

    family: str
    variant: str | None = None

    def __str__(self) -> str:
        return f"{self.family}-{self.variant}" if self.variant else self.family


def diffusion_architecture(keys: Keys) -> Architecture | None:
    """Return the architecture of the UNet or transformer in a file."""
    if (stable := _stable_diffusion(keys)) is not None:
        return stable
    for family, holds, variant in _TRANSFORMERS:
        if holds(keys):
            return Architecture(family, variant(keys) if variant else None)
    return None


def _stable_diffusion(keys: Keys) -> Architecture | None:
    for name in (_CROSS, _MIDDLE, _DIFFUSERS):
        for prefix in ("", "control_model."):
            if (family := _WIDTHS.get(keys.width(prefix + name) or 0)) is not None:
                width = keys.width("input_blocks.0.0.weight") or keys.width("conv_in.weight")
                return Architecture(family, _SD_INPUTS.get(width or 0))
    return None


def _any(*starts: str) -> Callable[[Keys], bool]:
    return lambda keys: keys.bare(*starts)


def _all(*starts: str) -> Callable[[Keys], bool]:
    return lambda keys: all(keys.bare(start) for start in starts)


_flux = _any("double_blocks.0.img_attn.norm.key_norm.")


def _is_chroma(keys: Keys) -> bool:
    return keys.bare("distilled_guidance_layer.")


def _is_flux2(keys: Keys) -> bool:
    # The first Flux's variants for edges and depth take 128 channels too, but modulate in each block.
    wide = keys.width("img_in.weight") == 128 and not keys.bare("double_blocks.0.img_mod.")
    return keys.bare("double_stream_modulation_img.lin.weight") or (_flux(keys) and wide)


def _flux2_variant(keys: Keys) -> str | None:
    return _FLUX2_TEXTS.get(keys.width("txt_in.weight") or keys.width("context_embedder.weight") or 0)


def _is_flux1(keys: Keys) -> bool:
    return _flux(keys) or keys.bare("single_transformer_blocks.0.proj_mlp.weight")


def _flux1_variant(keys: Keys) -> str:
    if 384 in (keys.width("img_in.weight"), keys.width("x_embedder.weight")):
        return "fill"
    return "dev" if keys.bare("guidance_in.", "time_text_embed.guidance_embedder.") else "schnell"


def _is_qwen_image(keys: Keys) -> bool:
    told = _all("txt_norm.weight", "img_in.", "txt_in.")(keys) and not keys.bare("context_embedder.")
    return told or keys.bare("txt_in.text_norm.weight")


def _qwen_variant(keys: Keys) -> str | None:
    if keys.bare("txt_in.text_norm.weight"):
        return "2.1"
    return "edit-2511" if keys.bare("__index_timestep_zero__") else None


def _is_wan(keys: Keys) -> bool:
    native = keys.bare("head.modulation") or _all("patch_embedding.weight", "text_embedding.0.weight")(keys)
    return native or _all("patch_embedding.weight", "condition_embedder.")(keys)


def _wan_variant(keys: Keys) -> str | None:
    for variant, start in (("vace", "vace_"), ("camera", "control_adapter."), ("animate", "face_adapter.")):
        if keys.bare(start):
            return variant
    inputs, width = keys.width("patch_embedding.weight"), keys.width("patch_embedding.weight", axis=0)
    return "1.3b" if width == 1536 else _WAN_SIZES.get((inputs or 0, width or 0))


_is_lumina = _all("noise_refiner.0.attention.k_norm.weight", "cap_embedder.1.weight")


def _is_z_image(keys: Keys) -> bool:
    return _is_lumina(keys) and keys.width("cap_embedder.1.weight", axis=0) == 3840


_is_cosmos = _any("blocks.0.mlp.layer1.weight")
_is_ltx = _any("adaln_single.emb.timestep_embedder.linear_1.bias")

_Variant = Callable[[Keys], str | None] | None
_TRANSFORMERS: tuple[tuple[str, Callable[[Keys], bool], _Variant], ...] = (
    ("chroma", _is_chroma, lambda keys: "radiance" if keys.bare("nerf_blocks.") else None),
    ("flux2", _is_flux2, _flux2_variant),
    ("hunyuan-video", _any("txt_in.individual_token_refiner.blocks.0.norm1.weight"), None),
    ("flux1", _is_flux1, _flux1_variant),
    ("sd3", _any("joint_blocks.0.context_block.attn.qkv.weight"), None),
    ("z-image", _is_z_image, None),
    ("lumina2", _is_lumina, None),
    ("omnigen2", _any("time_caption_embed."), None),
    ("qwen-image", _is_qwen_image, _qwen_variant),
    ("wan", _is_wan, _wan_variant),
    ("hidream", _any("caption_projection.0.linear.weight"), None),
    ("pixart", lambda keys: _is_ltx(keys) and keys.bare("pos_embed.proj.bias"), None),
    ("ltx-video", _is_ltx, lambda keys: "av" if keys.bare("audio_adaln_single.") else None),
    ("pixart", _any("t_block.1.weight"), None),
    ("aura-flow", _any("double_layers.0.attn.w1q.weight"), None),
    ("hunyuan-dit", _any("mlp_t5.0.weight"), None),
    ("stable-cascade", _any("clf.1.weight"), None),
    ("mochi", _any("t5_yproj.weight"), None),
    ("anima", lambda keys: _is_cosmos(keys) and keys.bare("llm_adapter."), None),
    ("cosmos", _is_cosmos, None),
    ("krea2", _any("txtfusion.projector.weight"), None),
    ("ideogram4", _any("embed_image_indicator.weight"), None),
    ("kandinsky5", _any("visual_transformer_blocks.0.cross_attention.key_norm.weight"), None),
)

_METADATA = (
    ("sdxl", re.compile(r"stable-diffusion-xl|sdxl")),
    ("sd3", re.compile(r"stable-diffusion-3|sd3")),
    ("sd2", re.compile(r"stable-diffusion-v2|sd_v2")),
    ("sd1", re.compile(r"stable-diffusion-v1|sd_v1")),
    ("flux2", re.compile(r"flux-?2")),
    ("flux1", re.compile(r"flux-?1")),
    ("chroma", re.compile(r"chroma")),
    ("lumina2", re.compile(r"lumina-?2")),
    ("hunyuan-image", re.compile(r"hunyuan-image")),
    ("anima", re.compile(r"anima")),
    ("qwen-image", re.compile(r"qwen-?image")),
    ("wan", re.compile(r"^wan")),
)


def told(metadata: Mapping[str, str]) -> str | None:
    """Return the family that a file's own metadata names. Merged and converted files often name a wrong one."""
    for field in ("modelspec.architecture", "ss_base_model_version"):
        text = metadata.get(field, "")[:200].lower()
        for family, pattern in _METADATA:
            if pattern.search(text):
                return family
    if metadata.get("ss_v2", "").lower() == "true":
        return "sd2"
    return None
