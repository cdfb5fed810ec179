"""The GGUF format: the purpose of a model, the names and shapes of its tensors, and whether it is complete.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. All numbers are little-endian:

- `GGUF`, u32 version, u64 count of tensors, u64 count of pairs
- the pairs: a name, a u32 type, a value; a text is a u64 length and UTF-8
- for each tensor: its name, a u32 count of axes, their u64 lengths (the fastest first), a u32 type, a u64 offset
- the tensors, aligned
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from uploader.artifact import Kind
from uploader.identify.ranges import Read, TooMuch, Window

_DIFFUSION = frozenset(
    {"flux", "sd1", "sd2", "sdxl", "sd3", "aura", "hidream", "cosmos", "ltxv", "hyvid", "wan", "lumina2", "qwen_image"}
)
_TEXT = frozenset({"t5", "t5encoder", "llama", "qwen2vl", "qwen3", "gemma2", "gemma3"})
_NAMES = {
    "flux": "flux1",
    "qwen_image": "qwen-image",
    "hyvid": "hunyuan-video",
    "ltxv": "ltx-video",
    "aura": "aura-flow",
}
_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9
_BLOCKS: Mapping[int, tuple[int, int]] = {
    **{kind: (1, width) for kind, width in ((0, 4), (1, 2), (24, 1), (25, 2), (26, 4), (27, 8), (28, 8), (30, 2))},
    **{kind: (32, width) for kind, width in ((2, 18), (3, 20), (6, 22), (7, 24), (8, 34), (9, 36), (20, 18), (39, 17))},
    **{kind: (256, width) for kind, width in ((10, 84), (11, 110), (12, 144), (13, 176), (14, 210), (15, 292))},
    **{kind: (256, width) for kind, width in ((16, 66), (17, 74), (18, 98), (19, 50), (21, 110), (22, 82), (23, 136))},
    **{kind: (256, width) for kind, width in ((29, 56), (34, 54), (35, 66))},
}
"""Numbers in a block of each type, and the bytes of a block (ggml's type traits)."""

LARGEST_HEADER = 48 << 20
_MOST_PAIRS = 4096
_MOST_ITEMS = 400_000
_MOST_TENSORS = 65_536
_MOST_AXES = 8
_LARGEST_NUMBER = 1 << 63
_LONGEST_TEXT = 1 << 20
_LONGEST_NAME = 256
_VERSIONS = (2, 3)
_ALIGNMENT = 32


class Cut(Exception):
    """The file ends before its header does."""


class Malformed(Exception):
    """The header breaks the format's rules."""


class OtherVersion(Exception):
    """The version of the format is unknown here. The file may be sound."""


@dataclass(frozen=True)
class Header:
    """What the header tells.

    `expected_size` is where the last tensor ends, in bytes; None if its type is unknown. The writer may fill up to
    `alignment`. `shapes` are as torch tells them."""

    architecture: str | None = None
    adapter: bool = False
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    expected_size: int | None = None
    alignment: int = _ALIGNMENT


def kind_and_family(header: Header) -> tuple[Kind | None, str | None]:
    """Return the kind and the family of the architecture that the file names; None when it is unknown."""
    told = header.architecture
    kind = Kind.DIFFUSION_MODEL if told in _DIFFUSION else Kind.TEXT_ENCODER if told in _TEXT else None
    return (Kind.LORA if header.adapter else kind), _NAMES.get(told or "", told)


def read_header(read: Read, size: int | None) -> Header:
    """Read the header. Raises Cut, Malformed, OtherVersion, TooMuch for one larger than any, and what `read` raises."""
    return _Reading(Window(read, 0, size, LARGEST_HEADER), size).run()


class _Reading:
    def __init__(self, window: Window, size: int | None) -> None:
        self._window = window
        self._size = size
        self._items = 0
        self._told: dict[bytes, bytes | int] = {}

    def run(self) -> Header:
        self._take(4)
        if self._number(4) not in _VERSIONS:
            raise OtherVersion
        tensors, pairs = self._number(8), self._number(8)
        if self._size is not None and (tensors * 24 > self._size or pairs * 12 > self._size):
            raise Cut
        if tensors > _MOST_TENSORS or pairs > _MOST_PAIRS:
            raise TooMuch
        try:
            for _ in range(pairs):
                self._pair()
        except TooMuch:  # a text encoder's dictionary may be endless; keep what came before it
            return Header(_word(self._told.get(b"general.architecture")))
        architecture = self._told.get(b"general.architecture")
        alignment = self._told.get(b"general.alignment", _ALIGNMENT)
        if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 20:
            raise Malformed("its alignment is no size")
        infos = [self._tensor() for _ in range(tensors)]
        begin = -(-self._window.tell() // alignment) * alignment
        return Header(
            _word(architecture),
            self._told.get(b"general.type") == b"adapter",
            {name: shape for name, shape, _ in infos},
            _end(begin, [end for _, _, end in infos]),
            alignment,
        )

    def _pair(self) -> None:
        name, kind = self._text(), self._number(4)
        value = self._value(kind)
        if name.startswith(b"general.") and (isinstance(value, int) or (value and len(value) <= _LONGEST_NAME)):
            self._told[name] = value

    def _value(self, kind: int) -> bytes | int | None:
        self._count()
        if kind == _STRING:
            return self._text()
        if kind in _WIDTHS:
            return self._number(_WIDTHS[kind])
        if kind != _ARRAY:
            raise Malformed("a value is of no known type")
        inner, count = self._number(4), self._number(8)
        if self._size is not None and count * _WIDTHS.get(inner, 8) > self._size:
            raise Cut
        if inner in _WIDTHS:
            self._skip(count * _WIDTHS[inner])
        elif inner == _STRING:
            for _ in range(count):
                self._count()
                self._skip(self._number(8))
        else:
            raise Malformed("a list is of no known type")
        return None

    def _tensor(self) -> tuple[str, tuple[int, ...], int | None]:
        name = self._text(_LONGEST_NAME).decode("utf-8", errors="replace")
        axes = self._number(4)
        if axes > _MOST_AXES:
            raise Malformed(f"tensor {name[:80]!a} has too many axes")
        shape = [self._number(8) for _ in range(axes)]
        kind, offset = self._number(4), self._number(8)
        numbers = 1
        for length in shape:
            numbers *= length
        if max(numbers, offset) > _LARGEST_NUMBER:
            raise Malformed(f"tensor {name[:80]!a} is larger than any file")
        if kind not in _BLOCKS:
            return name, tuple(reversed(shape)), None
        block, width = _BLOCKS[kind]
        return name, tuple(reversed(shape)), offset + -(-numbers // block) * width

    def _count(self) -> None:
        self._items += 1
        if self._items > _MOST_ITEMS:
            raise TooMuch

    def _text(self, longest: int = _LONGEST_TEXT) -> bytes:
        length = self._number(8)
        if self._size is not None and length > self._size:
            raise Cut
        if length > longest:
            raise TooMuch
        return self._take(length)

    def _skip(self, length: int) -> None:
        if self._size is not None and length > self._size:
            raise Cut
        while length > 0:
            length -= len(self._take(min(length, 1 << 16)))

    def _number(self, width: int) -> int:
        return int.from_bytes(self._take(width), "little")

    def _take(self, length: int) -> bytes:
        found = self._window.read(length)
        if len(found) < length:
            raise Cut
        return found


def _word(value: bytes | int | None) -> str | None:
    if isinstance(value, bytes) and value.isascii() and 0 < len(value) <= 40:
        return value.decode()
    return None


def _end(begin: int, ends: list[int | None]) -> int | None:
    known = [end for end in ends if end is not None]
    return begin + max(known) if known and len(known) == len(ends) else None
