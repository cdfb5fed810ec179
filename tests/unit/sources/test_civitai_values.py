"""Reading any answer of a catalogue ends in values or in an error with a name."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from uploader.errors import UploaderError
from uploader.http import Fields
from uploader.reference import CivitaiReference
from uploader.sources.civitai.choose_file import choose
from uploader.sources.civitai.values import kind_of, read_version
from uploader.sources.interface import PREFERENCES, Choice

NAMES = ["id", "modelId", "name", "type", "status", "files", "images", "metadata", "format", "size", "fp", "hashes"]
NAMES += ["SHA256", "sizeKB", "trainedWords", "model", "mode", "url", "baseModel", "usageControl", "earlyAccessEndsAt"]
WORDS = ["Model", "VAE", "UNet", "Checkpoint", "SafeTensor", "PickleTensor", "pruned", "fp16", "a.safetensors", "a.pt"]

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS) | st.text(max_size=5)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=20,
)
FILE = st.fixed_dictionaries(
    {"id": st.integers(1, 5)},
    optional={"name": st.sampled_from(WORDS), "type": st.sampled_from(WORDS), "metadata": JSON, "sizeKB": SCALARS},
)
VERSION = st.fixed_dictionaries(
    {"id": st.integers(1, 9), "modelId": st.integers(1, 9), "files": st.lists(FILE, max_size=4)},
    optional={"model": JSON, "trainedWords": JSON, "images": JSON, "baseModel": JSON},
)


@given(JSON | VERSION)
def test_a_version_is_read_or_is_none(said: object) -> None:
    version = read_version(Fields(said))  # type: ignore[arg-type]
    for file in version.files if version is not None else ():
        kind_of(version, file)  # type: ignore[arg-type]
        assert file.size is None or file.size >= 0


@given(VERSION, st.lists(st.sampled_from(sorted(PREFERENCES)), max_size=3))
def test_a_choice_is_one_of_the_files_or_says_why_there_is_none(said: object, prefer: list[str]) -> None:
    version = read_version(Fields(said))  # type: ignore[arg-type]
    assert version is not None
    try:
        chosen = choose(version, CivitaiReference(version.model, version.id), Choice(tuple(prefer)))
    except UploaderError:
        return
    assert chosen in version.files
    if "pickle" not in prefer:
        rivals = [file for file in version.files if file.group == chosen.group and file.is_model]
        assert not (chosen.is_pickle and any(not file.is_pickle for file in rivals))
