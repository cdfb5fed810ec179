"""Makes small real model files: true safetensors with the keys and shapes by which programs tell models apart."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Iterator, Mapping
from pathlib import Path

Shape = tuple[int, ...]

_UNET = "model.diffusion_model."
_CROSS = "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"
_VAE = {
    "decoder.conv_in.weight": (4, 4, 3, 3),
    "decoder.conv_out.weight": (3, 4, 3, 3),
    "encoder.conv_in.weight": (4, 3, 3, 3),
}


def _unet(width: int, prefix: str = _UNET) -> dict[str, Shape]:
    return {
        f"{prefix}input_blocks.0.0.weight": (4, 4, 3, 3),
        f"{prefix}{_CROSS}": (2, width),
        f"{prefix}output_blocks.11.0.out_layers.3.weight": (4, 4, 3, 3),
        f"{prefix}time_embed.0.weight": (8, 4),
    }


def _lora(stem: str, width: int, down: str = "lora_down.weight", up: str = "lora_up.weight") -> dict[str, Shape]:
    return {f"{stem}.{down}": (4, width), f"{stem}.{up}": (2, 4), f"{stem}.alpha": ()}


_FIRST_STAGE = {f"first_stage_model.{key}": shape for key, shape in _VAE.items()}
_ATTENTION = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"

PRESETS: dict[str, dict[str, Shape]] = {
    "checkpoint": {
        **_unet(768),
        **_FIRST_STAGE,
        "cond_stage_model.transformer.text_model.embeddings.position_ids": (1, 77),
    },
    "sd2-checkpoint": {**_unet(1024), **_FIRST_STAGE, "cond_stage_model.model.ln_final.weight": (8,)},
    "sdxl-checkpoint": {**_unet(2048), **_FIRST_STAGE, "conditioner.embedders.1.model.ln_final.weight": (8,)},
    "flux-checkpoint": {
        f"{_UNET}double_blocks.0.img_attn.norm.key_norm.scale": (4,),
        f"{_UNET}img_in.weight": (4, 64),
        f"{_UNET}guidance_in.in_layer.weight": (4, 4),
        "vae.decoder.conv_in.weight": (4, 16, 3, 3),
        "text_encoders.clip_l.transformer.text_model.final_layer_norm.weight": (8,),
    },
    "diffusion-model": {
        "double_blocks.0.img_attn.norm.key_norm.scale": (4,),
        "img_in.weight": (4, 64),
        "guidance_in.in_layer.weight": (4, 4),
    },
    "lora": {**_lora(_ATTENTION, 768), **_lora("lora_te_text_model_encoder_layers_0_mlp_fc1", 768)},
    "sdxl-lora": {**_lora(_ATTENTION, 2048), **_lora("lora_te2_text_model_encoder_layers_0_mlp_fc1", 1280)},
    "flux-lora": {
        **_lora("lora_unet_double_blocks_0_img_attn_proj", 16),
        **_lora("lora_unet_single_blocks_0_linear1", 16),
    },
    "lycoris": {
        f"{_ATTENTION}.hada_w1_a": (2, 4),
        f"{_ATTENTION}.hada_w1_b": (4, 768),
        f"{_ATTENTION}.hada_w2_a": (2, 4),
        f"{_ATTENTION}.hada_w2_b": (4, 768),
        f"{_ATTENTION}.alpha": (),
    },
    "vae": dict(_VAE),
    "embedding": {"emb_params": (4, 768)},
    "sdxl-embedding": {"clip_l": (2, 768), "clip_g": (2, 1280)},
    "controlnet": {
        "control_model.input_hint_block.0.weight": (4, 3, 3, 3),
        f"control_model.{_CROSS}": (2, 768),
        "control_model.zero_convs.0.0.weight": (4, 4, 1, 1),
    },
    "upscaler": {"model.0.weight": (4, 3, 3, 3), "model.1.sub.0.RDB1.conv1.0.weight": (4, 4, 3, 3)},
    "ip-adapter": {"image_proj.proj.weight": (8, 8), "ip_adapter.1.to_k_ip.weight": (8, 768)},
    "text-encoder": {"text_model.encoder.layers.0.mlp.fc1.weight": (8, 768)},
    "motion-module": {
        "down_blocks.0.motion_modules.0.temporal_transformer.norm.weight": (8,),
        "down_blocks.0.motion_modules.0.temporal_transformer.proj_in.weight": (8, 8),
    },
    "clip-vision": {"vision_model.encoder.layers.30.layer_norm1.weight": (8,)},
}
"""Keys and shapes by name. The tensors are tiny; the names and the widths that tell the kind are the true ones."""

_FILLERS = {
    "lora": "lora_unet_filler.lora_up.weight",
    "vae": "decoder.filler.weight",
    "sdxl-embedding": "t5xxl",
    "controlnet": "control_model.filler.weight",
    "checkpoint": f"{_UNET}filler.weight",
}
_BLOCK = 4 << 20


def _filler(preset: str) -> str:
    family = preset.rpartition("-")[2] if preset not in _FILLERS else preset
    return _FILLERS.get(family, "filler.weight")


def _header(
    tensors: Mapping[str, Shape], filler: str, size_bytes: int | None, metadata: Mapping[str, str] | None
) -> tuple[bytes, int]:
    """Return the length field with the header, and how many bytes of tensors follow it."""
    entries: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for key, shape in tensors.items():
        begin, end = end, end + 2 * math.prod(shape)
        entries[key] = {"dtype": "F16", "shape": list(shape), "data_offsets": [begin, end]}
    if size_bytes is None:
        text = json.dumps(entries, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text, end
    room = len(json.dumps(entries, separators=(",", ":"))) + len(filler) + 128
    room += -room % 8
    fill = size_bytes - 8 - room - end
    if fill < 0:
        raise ValueError(f"a model of this shape takes at least {8 + room + end} bytes")
    entries[filler] = {"dtype": "U8", "shape": [fill], "data_offsets": [end, end + fill]}
    text = json.dumps(entries, separators=(",", ":")).encode().ljust(room)
    return room.to_bytes(8, "little") + text, end + fill


def _chunks(
    model: str | Mapping[str, Shape], size_bytes: int | None, metadata: Mapping[str, str] | None, seed: int
) -> Iterator[bytes]:
    tensors = PRESETS[model] if isinstance(model, str) else model
    filler = _filler(model) if isinstance(model, str) else "filler.weight"
    head, body = _header(tensors, filler, size_bytes, metadata)
    yield head
    source = random.Random(seed)
    while body:
        chunk = source.randbytes(min(body, _BLOCK))
        body -= len(chunk)
        yield chunk


def safetensors(
    model: str | Mapping[str, Shape],
    *,
    size_bytes: int | None = None,
    metadata: Mapping[str, str] | None = None,
    seed: int = 0,
) -> bytes:
    """Return a whole, valid safetensors file of random numbers.

    `model` is the name of a preset or a mapping of tensor names to shapes (F16). With `size_bytes` the file has
    exactly that size: one more tensor fills it up. The same arguments give the same bytes; another `seed` gives
    other ones of the same size.
    """
    return b"".join(_chunks(model, size_bytes, metadata, seed))


def write_safetensors(
    path: Path,
    model: str | Mapping[str, Shape] = "checkpoint",
    size_bytes: int | None = None,
    *,
    metadata: Mapping[str, str] | None = None,
    seed: int = 0,
) -> str:
    """Write what `safetensors` returns to `path`, a few megabytes in memory at a time. Returns its sha256, hex."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for chunk in _chunks(model, size_bytes, metadata, seed):
            file.write(chunk)
            digest.update(chunk)
    return digest.hexdigest()


def gguf(
    architecture: str,
    tensors: Mapping[str, Shape] | None = None,
    *,
    pairs: tuple[bytes, ...] = (),
    alignment: int = 32,
    pad: bool = True,
) -> bytes:
    """Return a whole GGUF file of version 3, its tensors all zeros in F16 (shapes as torch tells them).

    `pairs` are more pairs, written before the architecture; `pad` pads the last tensor, too."""
    given = [*pairs, gguf_pair("general.architecture", architecture)]
    if alignment != 32:
        given.append(_text("general.alignment") + (4).to_bytes(4, "little") + alignment.to_bytes(4, "little"))
    infos = b""
    sizes: list[int] = []
    for name, shape in (tensors or {}).items():
        offset = sum(-(-size // alignment) * alignment for size in sizes)
        sizes.append(2 * math.prod(shape))
        axes = b"".join(length.to_bytes(8, "little") for length in reversed(shape))
        infos += _text(name) + len(shape).to_bytes(4, "little") + axes
        infos += (1).to_bytes(4, "little") + offset.to_bytes(8, "little")
    head = b"GGUF" + (3).to_bytes(4, "little") + len(sizes).to_bytes(8, "little") + len(given).to_bytes(8, "little")
    head += b"".join(given) + infos
    body = b"".join(bytes(-(-size // alignment) * alignment) for size in sizes)
    unused = -sizes[-1] % alignment if sizes and not pad else 0
    return head + bytes(-len(head) % alignment) + body[: len(body) - unused]


def gguf_pair(name: str, value: str) -> bytes:
    """Return one pair of a name and a text."""
    return _text(name) + (8).to_bytes(4, "little") + _text(value)


def gguf_list(name: str, values: list[str]) -> bytes:
    """Return one pair of a name and a list of texts."""
    head = _text(name) + (9).to_bytes(4, "little") + (8).to_bytes(4, "little")
    return head + len(values).to_bytes(8, "little") + b"".join(map(_text, values))


def _text(value: str) -> bytes:
    return len(value.encode()).to_bytes(8, "little") + value.encode()


def write_sparse_safetensors(path: Path, size_bytes: int, *, seed: int = 0) -> None:
    """Write a valid checkpoint that takes next to no room on this disk: holes, and a megabyte of random numbers in
    every two hundred."""
    head, _ = _header(PRESETS["checkpoint"], _filler("checkpoint"), size_bytes, None)
    source = random.Random(seed)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(size_bytes)
        for at in range(_BLOCK, size_bytes - _BLOCK, 200 << 20):
            file.seek(at)
            file.write(source.randbytes(1 << 20))
