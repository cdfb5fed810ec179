"""A file is found in a list by its name, in every way in which WebUIs write that."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.artifact import Kind
from uploader.webui import Listed, find
from uploader.webui.a1111 import folders_of
from uploader.webui.interface import stem


@pytest.mark.parametrize(
    "listed",
    [
        Listed("dream.v1.safetensors"),
        Listed("sub/folder/dream.v1.safetensors"),
        Listed("sub\\folder\\dream.v1.safetensors"),
        Listed("dream.v1"),
        Listed("My Dream", "/models/Stable-diffusion/dream.v1.safetensors"),
        Listed("My Dream", "C:\\models\\DREAM.v1.safetensors"),
    ],
)
def test_the_same_file_is_found(listed: Listed) -> None:
    assert find([Listed("other"), listed], "dream.v1.safetensors") is listed


@pytest.mark.parametrize(
    "listed",
    [
        Listed("dream.v1.ckpt"),
        Listed("dream"),
        Listed("dream.v1.safetensors.bak"),
        Listed("dream.v1", "/models/dream.v1.ckpt"),
        Listed("daydream.v1.safetensors"),
        Listed(""),
    ],
)
def test_another_one_is_not(listed: Listed) -> None:
    assert find([listed], "dream.v1.safetensors") is None


def test_of_two_with_one_name_the_one_in_its_folder_is_it() -> None:
    old = Listed("a", "/sd/models/Lora/old/a.safetensors")
    new = Listed("a", "/home/u/sd/models/Lora/a.safetensors")
    untold = Listed("a.safetensors")
    assert find([old, untold, new], "a.safetensors", "/sd/models/Lora") is new
    assert find([old, untold], "a.safetensors", "/sd/models/Lora") is untold
    assert find([old], "a.safetensors", "/sd/models/Lora") is None
    assert find([Listed("a", "C:\\sd\\Lora\\a.safetensors")], "a.safetensors", "/sd/Lora") is not None


def test_a_whole_name_wins_over_a_bare_one() -> None:
    whole = Listed("a.safetensors")
    assert find([Listed("a"), whole], "a.safetensors") is whole


@given(
    st.text(st.characters(exclude_characters="/\\"), min_size=1, max_size=20),
    st.sampled_from([".safetensors", ".ckpt", ".pt", ".gguf"]),
)
def test_a_stem_is_the_name_without_a_models_ending(name: str, ending: str) -> None:
    assert stem(f"x{name}{ending}") == f"x{name}"


def test_folders_are_all_that_is_taken_from_a_command_line() -> None:
    flags: dict[str, object] = {
        "data_dir": "/sd",
        "ckpt_dir": "/disk/models",
        "lora_dir": "models/Lora",  # relative to who knows what
        "embeddings_dir": "/sd/embeddings/",
        "vae_dir": None,
        "gradio_auth": "/not/a/folder:hunter2",
        "controlnet_dir": 7,
    }
    assert folders_of(flags) == {
        Kind.CHECKPOINT: ("/disk/models", "/sd/models/Stable-diffusion"),
        Kind.VAE: ("/sd/models/VAE",),
        Kind.EMBEDDING: ("/sd/embeddings/",),
    }
    assert folders_of({"models_dir": "/m"})[Kind.CHECKPOINT] == ("/m/Stable-diffusion",)
    assert folders_of({}) == {}
