"""The kind of a model, by the names of its tensors: an ordered table of rules. The first match wins."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from uploader.artifact import Kind
from uploader.identify.architectures import diffusion_architecture
from uploader.identify.tensor_names import Keys

_ADAPTER_STARTS = ("lora_unet_", "lora_te_", "lora_te1_", "lora_te2_", "lora_te3_", "lora_transformer_", "lycoris_")
_ADAPTER_ENDS = (
    *(f"{half}{ending}" for half in ("lora_A", "lora_B") for ending in (".weight", ".default.weight", "")),
    *(f"{stem}{half}.weight" for stem in ("lora_", "lora.", "lora_linear_layer.") for half in ("down", "up", "mid")),
    *(f".hada_w{which}_{half}" for which in "12" for half in "ab"),
    *(f".lokr_w{which}{half}" for which in "12" for half in ("", "_a", "_b")),
    *(f".{half}{which}.weight" for half in "ab" for which in "12"),
    *(".alpha", ".dora_scale", ".hada_t1", ".hada_t2", ".lokr_t2", ".oft_blocks", ".oft_diag", ".diff", ".diff_b"),
)
_UNET = (
    "input_blocks.0.0.weight",
    "down_blocks.0.resnets.0.norm1.weight",
    "patch_embedding.weight",
)
_EXTRAS = ("first_stage_model.", "vae.", "cond_stage_model.", "conditioner.", "text_encoders.", "text_encoder.")
_BASE = (
    "model.diffusion_model.input_blocks.0.0.weight",
    "blocks.0.self_attn.q.weight",
    "model.diffusion_model.blocks.0.self_attn.q.weight",
    "diffusion_model.blocks.0.self_attn.q.weight",
)
"""Weights of a model itself, which no adapter has."""

_HYPERNETWORK = re.compile(r"^(?:320|640|768|1024|1280|2048)\.[01]\.linear\.\d+\.weight$", re.MULTILINE)
_BLOCKS = re.compile(
    r"(?:blocks|layers)\.\d{1,4}\.(?:\w{1,40}\.)?(?:\w{0,20}attn|\w{0,20}attention|mlp|ffn?|feed_forward)"
)
_TIMES = ("t_embedder.", "time_embed", "timestep_embed", "time_in.", "t_embed", "adaln", "adaLN")
_EMBEDDING_WIDTHS = (768, 1024, 1280)
_EMBEDDING_NUMBERS = 1 << 20


def kind_of(keys: Keys) -> Kind | None:
    """Return the kind, or None when no rule matches."""
    return next((kind for kind, holds in _RULES if holds(keys)), None) if len(keys) else None


def _ip_adapter(keys: Keys) -> bool:
    return keys.starts("ip_adapter.", "ip_adapter_proj_model.", "image_proj.")


def _control_lora(keys: Keys) -> bool:
    return keys.starts("lora_controlnet", "lllite_")


def _lora(keys: Keys) -> bool:
    # A full model with a few leftovers of a merge is no LoRA: most of the names must be an adapter's.
    if any(keys.has(name) for name in _BASE):
        return False
    return keys.count(_ADAPTER_STARTS, _ADAPTER_ENDS) * 2 > len(keys)


def _controlnet(keys: Keys) -> bool:
    return keys.bare(
        "control_model.",
        "controlnet_cond_embedding.conv_in.weight",
        "controlnet_blocks.",
        "controlnet_mid_block.",
        "controlnet_down_blocks.",
        "input_hint_block.",
        "control_layers.",
        "control_all_x_embedder.",
        "after_proj_list.18.bias",
        "body.0.in_conv.weight",
        "adapter.body.0.",
    )


def _motion_module(keys: Keys) -> bool:
    return keys.holds("motion_modules.") and not keys.starts(*_EXTRAS)


def _diffusion(keys: Keys) -> bool:
    return (
        keys.starts("model.diffusion_model.", "diffusion_model.")
        or keys.bare(*_UNET)
        or diffusion_architecture(keys) is not None
    )


def _checkpoint(keys: Keys) -> bool:
    return _diffusion(keys) and keys.starts(*_EXTRAS)


def _vae(keys: Keys) -> bool:
    stems = ("", "first_stage_model.", "vae.")
    signs = (
        "decoder.conv_in.",
        "encoder.conv_in.",
        "decoder.up_blocks.0.resnets.0.norm1.weight",
        "decoder.middle.0.residual.0.gamma",
        "decoder.up_blocks.0.res_blocks.0.conv1.conv.weight",
        "taesd_decoder.1.weight",
    )
    return keys.starts(*(stem + sign for stem in stems for sign in signs))


def _clip(keys: Keys) -> bool:
    """Both halves of a CLIP. Such a file is used for either half, and nothing in it tells which."""
    return _text_encoder(keys) and _clip_vision(keys)


def _text_encoder(keys: Keys) -> bool:
    return keys.starts(
        "text_model.encoder.layers.0.mlp.fc1.weight",
        "encoder.block.0.layer.0.SelfAttention.q.weight",
        "encoder.block.23.layer.1.DenseReluDense.wi_1.weight",
        "model.layers.0.post_attention_layernorm.weight",
        "transformer.resblocks.0.ln_1.weight",
    )


def _clip_vision(keys: Keys) -> bool:
    return keys.starts("vision_model.encoder.layers.", "visual.transformer.resblocks.0")


def _hypernetwork(keys: Keys) -> bool:
    return keys.matches(_HYPERNETWORK)


def _unknown_transformer(keys: Keys) -> bool:
    """Attention blocks that get the time step. New models appear monthly, with names of their own."""
    return keys.holds(*_TIMES) and keys.matches(_BLOCKS)


def _embedding(keys: Keys) -> bool:
    if keys.has("emb_params") or keys.starts("string_to_param"):
        return True
    if set(keys.shapes) <= {"clip_g", "clip_l", "t5xxl"}:
        return True
    shapes = keys.shapes.values()
    return len(keys) < 10 and all(
        1 <= len(shape) <= 2 and shape[-1] in _EMBEDDING_WIDTHS and math.prod(shape) <= _EMBEDDING_NUMBERS
        for shape in shapes
    )


def _upscaler(keys: Keys) -> bool:
    stems = ("", "params_ema.", "params.", "module.", "netG.", "model.")
    signs = (
        ("model.0.weight", "model.1.sub.0.RDB1.conv1.0.weight"),
        ("conv_first.weight", "body.0.rdb1.conv1.weight"),
        ("conv_first.weight", "RRDB_trunk.0.RDB1.conv1.weight"),
        ("conv_first.weight", "layers.0.residual_group.blocks.0.norm1.weight"),
        ("conv_first.weight", "layers.0.blocks.0.norm1.weight"),
        ("body.0.weight", "body.1.weight"),
        ("conv_1.sk.weight",),
        ("feats.0.weight",),
        ("unet1.conv1.conv.0.weight",),
    )
    return any(keys.has(*(stem + name for name in sign)) for stem in stems for sign in signs)


_RULES: tuple[tuple[Kind | None, Callable[[Keys], bool]], ...] = (
    (Kind.IP_ADAPTER, _ip_adapter),
    (Kind.CONTROLNET, _control_lora),
    (Kind.LORA, _lora),
    (Kind.CONTROLNET, _controlnet),
    (Kind.MOTION_MODULE, _motion_module),
    (Kind.CHECKPOINT, _checkpoint),
    (Kind.DIFFUSION_MODEL, _diffusion),
    (Kind.VAE, _vae),
    (None, _clip),
    (Kind.TEXT_ENCODER, _text_encoder),
    (Kind.CLIP_VISION, _clip_vision),
    (Kind.HYPERNETWORK, _hypernetwork),
    (Kind.UPSCALER, _upscaler),
    (Kind.DIFFUSION_MODEL, _unknown_transformer),
    (Kind.EMBEDDING, _embedding),
)
