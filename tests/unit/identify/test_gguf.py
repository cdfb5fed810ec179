from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.servers.models import PRESETS, gguf, gguf_list, gguf_pair
from uploader.artifact import Kind
from uploader.errors import Truncated
from uploader.identify import Identity, identify, refuse

FLUX = PRESETS["diffusion-model"]


def look(content: bytes, size: int | None = -1) -> Identity:
    known = len(content) if size == -1 else size
    return identify(lambda offset, length: content[offset : offset + length], known, "a.gguf")


@pytest.mark.parametrize(
    ("architecture", "kind", "said"),
    [
        ("flux", Kind.DIFFUSION_MODEL, "flux1"),
        ("qwen_image", Kind.DIFFUSION_MODEL, "qwen-image"),
        ("t5encoder", Kind.TEXT_ENCODER, "t5encoder"),
        ("whisper", None, "whisper"),
    ],
)
@pytest.mark.parametrize("before", [(), (gguf_pair("general.name", "x"), gguf_list("tokens", ["a", "bc"] * 40_000))])
def test_gguf_header_gives_kind_and_architecture(
    architecture: str, kind: Kind | None, said: str, before: tuple[bytes, ...]
) -> None:
    found = look(gguf(architecture, pairs=before))
    assert (found.container, found.kind, found.architecture, found.extension) == ("gguf", kind, said, ".gguf")


def test_gguf_adapter_is_a_lora() -> None:
    assert look(gguf("flux", pairs=(gguf_pair("general.type", "adapter"),))).kind is Kind.LORA


def test_gguf_tensors_decide_when_the_header_does_not() -> None:
    found = look(gguf("pig", FLUX))
    assert (found.kind, found.architecture) == (Kind.DIFFUSION_MODEL, "pig")
    assert look(gguf("flux", FLUX)).described == "flux1-dev"


@pytest.mark.parametrize("alignment", [32, 4096])
@pytest.mark.parametrize("pad", [True, False])
def test_gguf_is_complete_with_or_without_padding(alignment: int, pad: bool) -> None:
    content = gguf("flux", {"a.weight": (3, 5), "b.weight": (7,)}, alignment=alignment, pad=pad)
    assert look(content).complete is True
    assert look(content, size=None).complete is None


@settings(max_examples=examples(60))
@given(st.data())
def test_gguf_prefix_is_never_complete(data: st.DataObject) -> None:
    content = gguf("flux", FLUX, pairs=(gguf_list("tokens", ["ab", "cde"]),), pad=False)
    length = data.draw(st.integers(4, len(content) - 1))
    found = look(content[:length])
    assert (found.container, found.complete) == ("gguf", False)
    with pytest.raises(Truncated):
        refuse(found, "a.gguf", allow_pickle=False)


@settings(max_examples=examples(60))
@given(st.binary(max_size=300))
def test_gguf_reader_survives_any_bytes(content: bytes) -> None:
    look(b"GGUF\x03\0\0\0" + content)
    look(b"GGUF" + content)


def test_gguf_keeps_what_precedes_an_endless_dictionary() -> None:
    words = (5).to_bytes(8, "little") + b"words" + (9).to_bytes(4, "little") + (8).to_bytes(4, "little")
    head = b"GGUF\x03\0\0\0" + bytes(8) + (2).to_bytes(8, "little") + gguf_pair("general.architecture", "t5encoder")
    body = head + words + (2_000_000).to_bytes(8, "little") + bytes(17_000_000)
    found = look(body)
    assert (found.kind, found.complete) == (Kind.TEXT_ENCODER, None)


@pytest.mark.parametrize("rest", [b"\xff" * 30, b"\0" * 8 + b"\xff" * 8, bytes(16)])
def test_gguf_header_with_false_counts_tells_nothing(rest: bytes) -> None:
    found = look(b"GGUF\x03\0\0\0" + rest)
    assert (found.kind, found.architecture) == (None, None)


def test_gguf_of_a_future_version_is_not_refused() -> None:
    found = look(b"GGUF\x09\0\0\0" + bytes(16))
    assert (found.problems, len(found.warnings)) == ((), 1)
    refuse(found, "a.gguf", allow_pickle=False)
