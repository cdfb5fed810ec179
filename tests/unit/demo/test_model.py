from __future__ import annotations

import hashlib
import json
import math
import struct
from pathlib import Path
from typing import Any

import pytest

from uploader.demo.model import SMALLEST_CHECKPOINT, make_checkpoint, make_lora


def header(path: Path) -> dict[str, Any]:
    """Reads a safetensors header and holds it to the format: it covers its data without a gap, to the last byte."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        text = file.read(length)
    entries: dict[str, Any] = json.loads(text)
    at = 0
    for name, entry in entries.items():
        if name != "__metadata__":
            assert entry["data_offsets"] == [at, at + 2 * math.prod(entry["shape"])]
            at = entry["data_offsets"][1]
    assert 8 + length + at == path.stat().st_size
    assert text.startswith(b"{")
    return entries


@pytest.mark.parametrize("size", [SMALLEST_CHECKPOINT, 1_234_567, 5_000_001])
def test_a_checkpoint_has_exactly_the_size_that_was_asked_for(tmp_path: Path, size: int) -> None:
    make_checkpoint(tmp_path / "a.safetensors", size)
    assert (tmp_path / "a.safetensors").stat().st_size == size
    header(tmp_path / "a.safetensors")


def test_a_checkpoint_has_the_three_parts_of_one(tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "a.safetensors", 2_000_000)
    names = header(tmp_path / "a.safetensors")
    for part in ("model.diffusion_model.", "first_stage_model.", "cond_stage_model."):
        assert any(name.startswith(part) for name in names)
    attention = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
    assert names[attention]["shape"] == [320, 768]


def test_a_checkpoint_too_small_for_its_layers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least"):
        make_checkpoint(tmp_path / "a.safetensors", SMALLEST_CHECKPOINT - 1)
    assert not (tmp_path / "a.safetensors").exists()


def test_a_lora_names_its_layers_as_trainers_do(tmp_path: Path) -> None:
    make_lora(tmp_path / "style.safetensors", rank=8)
    names = header(tmp_path / "style.safetensors")
    assert names["__metadata__"]["ss_network_dim"] == "8"
    down = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight"
    assert names[down]["shape"] == [8, 768]
    assert names[down.replace("lora_down", "lora_up")]["shape"] == [320, 8]


def test_the_digest_is_the_files_and_goes_with_the_seed(tmp_path: Path) -> None:
    one = make_checkpoint(tmp_path / "one", 3_000_000, seed=1)
    again = make_checkpoint(tmp_path / "again", 3_000_000, seed=1)
    other = make_checkpoint(tmp_path / "other", 3_000_000, seed=2)
    assert one.hex == hashlib.sha256((tmp_path / "one").read_bytes()).hexdigest()
    assert one == again
    assert one != other
    lora = make_lora(tmp_path / "lora")
    assert lora.hex == hashlib.sha256((tmp_path / "lora").read_bytes()).hexdigest()
