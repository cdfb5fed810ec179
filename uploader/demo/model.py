"""Makes small models that are real: safetensors with Stable Diffusion 1's names and shapes, and random weights."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

from uploader.artifact import Digest

Shapes = dict[str, tuple[int, ...]]
"""Tensors of 16-bit floats, by name, in the order of their bytes."""

_ITEM_BYTES = 2
_PIECE_BYTES = 1 << 20
_WORDS = "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"
_WIDTH = 768
"""Numbers that Stable Diffusion 1 describes a word with; by it loaders tell version 1 from 2 and XL."""

_CHECKPOINT: Shapes = {
    "model.diffusion_model.time_embed.0.bias": (1280,),
    "model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3),
    "model.diffusion_model.input_blocks.0.0.bias": (320,),
    "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, _WIDTH),
    "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.norm1.weight": (320,),
    "model.diffusion_model.out.2.weight": (4, 320, 3, 3),
    "model.diffusion_model.out.2.bias": (4,),
    "first_stage_model.encoder.conv_in.weight": (128, 3, 3, 3),
    "first_stage_model.encoder.conv_out.bias": (8,),
    "first_stage_model.decoder.conv_in.weight": (512, 4, 3, 3),
    "first_stage_model.decoder.conv_out.bias": (3,),
    "first_stage_model.quant_conv.weight": (8, 8, 1, 1),
    "cond_stage_model.transformer.text_model.embeddings.position_embedding.weight": (77, _WIDTH),
    "cond_stage_model.transformer.text_model.final_layer_norm.weight": (_WIDTH,),
}

_LORA_LAYERS = {
    "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q": (320, 320),
    "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k": (_WIDTH, 320),
    "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_v": (_WIDTH, 320),
    "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k": (_WIDTH, 1280),
    "lora_te_text_model_encoder_layers_0_self_attn_q_proj": (_WIDTH, _WIDTH),
}
"""What a layer takes in and gives out."""

SMALLEST_CHECKPOINT = 1_000_000
"""Bytes below which `make_checkpoint` has no room for its layers."""


def make_checkpoint(path: Path, size_bytes: int, seed: int = 0) -> Digest:
    """Writes a checkpoint of exactly `size_bytes` and returns its sha256; the same seed gives the same bytes.

    Raises ValueError below SMALLEST_CHECKPOINT, OSError as the disk does.
    """
    if size_bytes < SMALLEST_CHECKPOINT:
        raise ValueError(f"a checkpoint takes {SMALLEST_CHECKPOINT} bytes at least")
    metadata = {"format": "pt", "modelspec.title": "demo checkpoint"}
    fixed = _head(_CHECKPOINT | {_WORDS: (size_bytes, _WIDTH)}, metadata)  # more digits than there will be
    rows, _ = divmod(size_bytes - len(fixed) - _data_bytes(_CHECKPOINT), _WIDTH * _ITEM_BYTES)
    shapes = _CHECKPOINT | {_WORDS: (rows, _WIDTH)}
    return _write(path, _head(shapes, metadata, fill=size_bytes - _data_bytes(shapes)), _data_bytes(shapes), seed)


def make_lora(path: Path, rank: int = 4, seed: int = 0) -> Digest:
    """Writes a LoRA in the format of kohya's trainer and returns its sha256; its size goes with `rank`."""
    shapes: Shapes = {}
    for layer, (taken, given) in _LORA_LAYERS.items():
        shapes[f"{layer}.lora_down.weight"] = (rank, taken)
        shapes[f"{layer}.lora_up.weight"] = (given, rank)
        shapes[f"{layer}.alpha"] = ()
    metadata = {
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(rank),
        "ss_network_alpha": str(rank),
        "ss_base_model_version": "sd_v1",
        "ss_output_name": path.stem,
    }
    return _write(path, _head(shapes, metadata), _data_bytes(shapes), seed)


def _data_bytes(shapes: Shapes) -> int:
    return sum(_ITEM_BYTES * math.prod(shape) for shape in shapes.values())


def _head(shapes: Shapes, metadata: Mapping[str, str], fill: int = 0) -> bytes:
    """Returns the length field and the header, padded with blanks to `fill` bytes or to the next eighth byte.

    The format: https://github.com/huggingface/safetensors#format
    """
    entries: dict[str, object] = {"__metadata__": dict(metadata)}
    at = 0
    for name, shape in shapes.items():
        end = at + _ITEM_BYTES * math.prod(shape)
        entries[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text = text.ljust(fill - 8 if fill else math.ceil(len(text) / 8) * 8)
    return struct.pack("<Q", len(text)) + text


def _write(path: Path, head: bytes, data_bytes: int, seed: int) -> Digest:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for chunk in itertools.chain([head], _random(data_bytes, seed)):
            file.write(chunk)
            digest.update(chunk)
    return Digest(digest.hexdigest())


def _random(size: int, seed: int) -> Iterator[bytes]:
    """Yields `size` bytes that do not compress, the same ones on every machine."""
    for start in range(0, size, _PIECE_BYTES):
        yield hashlib.shake_128(f"{seed}:{start}".encode()).digest(min(_PIECE_BYTES, size - start))
