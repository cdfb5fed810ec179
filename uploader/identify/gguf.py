"""The GGUF format, as far as it tells what a model is for.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Little-endian: `GGUF`, u32 version, u64 tensors,
u64 pairs, then the pairs: a name, a u32 type, a value. Texts are a u64 length and UTF-8.
"""

from __future__ import annotations

from uploader.artifact import Kind

_DIFFUSION = frozenset(
    {"flux", "sd1", "sd2", "sdxl", "sd3", "aura", "hidream", "cosmos", "ltxv", "hyvid", "wan", "lumina2", "qwen_image"}
)
_TEXT = frozenset({"t5", "t5encoder", "llama", "qwen2vl", "qwen3", "gemma2", "gemma3"})
_NAMES = {"flux": "flux1", "qwen_image": "qwen-image", "hyvid": "hunyuan-video", "ltxv": "ltx-video"}
_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING = 8
_MOST_PAIRS = 64


def describe(head: bytes) -> tuple[Kind | None, str | None]:
    """Kind and architecture by `general.architecture`, which stands among the first pairs; None for each not told."""
    try:
        architecture = _architecture(head)
    except (IndexError, UnicodeDecodeError):
        return None, None
    kind = Kind.DIFFUSION_MODEL if architecture in _DIFFUSION else Kind.TEXT_ENCODER if architecture in _TEXT else None
    return kind, _NAMES.get(architecture or "", architecture)


def _architecture(head: bytes) -> str | None:
    pairs, at = _number(head, 16, 8), 24
    for _ in range(min(pairs, _MOST_PAIRS)):
        name, at = _string(head, at)
        kind, at = _number(head, at, 4), at + 4
        if kind == _STRING:
            value, at = _string(head, at)
            if name == b"general.architecture":
                return value.decode() if value.isascii() and len(value) <= 40 else None
        elif kind in _WIDTHS:
            at += _WIDTHS[kind]
        else:
            return None  # an array: what is sought comes before those
    return None


def _number(head: bytes, at: int, width: int) -> int:
    if at + width > len(head):
        raise IndexError(at)
    return int.from_bytes(head[at : at + width], "little")


def _string(head: bytes, at: int) -> tuple[bytes, int]:
    begin = at + 8
    end = begin + _number(head, at, 8)
    if end > len(head):
        raise IndexError(end)
    return head[begin:end], end
