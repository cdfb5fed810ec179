"""The safetensors format: its header, and whether that covers exactly the file's bytes.

Source: https://github.com/huggingface/safetensors#format. Eight bytes of little-endian length N come first. N bytes
of JSON follow, which begin with `{`; then the tensors, without gaps from offset 0.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn, TypeAlias, TypeGuard

MAX_HEADER = 100_000_000
"""The format's own limit, in bytes."""

LARGEST_READ = 8 << 20
"""Most bytes of a header that is read. Far above any model's; bounds the memory and time of a hostile one."""

MAX_TENSORS = 65_536
"""Most tensors of a header. Far above any model's."""

MAX_AXES = 64
"""Most axes of a shape. The product of its numbers must stay cheap."""

SMALLEST = 10
"""Bytes of the smallest file: a length and `{}`."""

Shape: TypeAlias = tuple[int, ...]

_BITS = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
}


_BLANKS = re.compile(rb"[ \t\r\n]*+")
_TEXT = re.compile(rb'"(?:[^"\\\x00-\x1f]++|\\.)*+"')
_ENTRY = re.compile(rb"\{[^{}]{0,2000}+\}")
"""The entry of a tensor: short, and without braces inside."""

_MOST_BLANKS = 64
_LONG_TEXT = 1 << 20
_TOLD_TEXT = 1 << 12
_MOST_TOLD = 10_000


class Malformed(Exception):
    """The header breaks the format's rules."""


class Short(Exception):
    """The file ends before its header does."""


@dataclass(frozen=True)
class Header:
    """`shapes` by tensor name; `expected_size` is the whole file's, in bytes; `gap` tells of overlaps and holes."""

    shapes: Mapping[str, Shape]
    metadata: Mapping[str, str]
    expected_size: int
    gap: str | None


@dataclass(frozen=True)
class _Tensor:
    shape: Shape
    begin: int
    end: int


def plausible(head: bytes) -> bool:
    """Return True if these bytes begin a safetensors file whose header has a size that programs read.

    The format's own library accepts blanks before the brace, although the format does not."""
    return _opens(head) and 2 <= int.from_bytes(head[:8], "little") <= MAX_HEADER


def huge(head: bytes) -> bool:
    """Return True if these bytes begin a safetensors file whose header is longer than the format allows."""
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") > MAX_HEADER


def _opens(head: bytes) -> bool:
    return head[8 : 8 + _MOST_BLANKS].lstrip(b" \t\r\n").startswith(b"{")


def read_header(head: bytes, read: Callable[[int, int], bytes], size: int | None) -> Header:
    """Read and check the header. Raises Malformed, Short, and what `read` raises."""
    length = int.from_bytes(head[:8], "little")
    if length > MAX_HEADER:
        raise Malformed(f"its header claims {length} bytes, and no program reads more than {MAX_HEADER}")
    if size is not None and 8 + length > size:
        raise Short(f"its header alone takes {8 + length} bytes, and the file has {size}")
    if length > LARGEST_READ:
        raise Malformed(f"its header claims {length} bytes, and no model needs more than {LARGEST_READ}")
    text = head[8 : 8 + length]
    if len(text) < length:
        text += read(8 + len(text), length - len(text))
    if len(text) < length:
        raise Short(f"its header alone takes {8 + length} bytes, and the file has {8 + len(text)}")
    metadata, tensors = _parse(text)
    end, gap = _layout(tensors)
    return Header({name: tensor.shape for name, tensor in tensors.items()}, metadata, 8 + length + end, gap)


def coverage_problem(header: Header, size: int | None) -> str | None:
    """Return how header and bytes differ; None when they fit, as far as is known."""
    if header.gap:
        return header.gap
    if size is None or size == header.expected_size:
        return None
    if size < header.expected_size:
        missing = header.expected_size - size
        return f"it is cut short: its header describes {header.expected_size} bytes, it has {size} ({missing} missing)"
    return f"it is too long: its header describes {header.expected_size} bytes, it has {size}"


def _parse(text: bytes) -> tuple[Mapping[str, str], dict[str, _Tensor]]:
    """Reads the header step by step. As one JSON text, a hostile header would become millions of objects."""
    metadata: Mapping[str, str] = {}
    tensors: dict[str, _Tensor] = {}
    seen_metadata = False
    reader = _Reader(text)
    for name in reader.names():
        if name == "__metadata__":
            if seen_metadata:
                raise Malformed("its header names something twice")
            metadata, seen_metadata = reader.texts(), True
            continue
        if name in tensors:
            raise Malformed("its header names something twice")
        if len(tensors) == MAX_TENSORS:
            raise Malformed(f"its header lists more than {MAX_TENSORS} tensors")
        tensors[name] = _tensor(name, reader.entry())
    reader.end()
    return metadata, tensors


class _Reader:
    """Read the header's JSON once. Raises Malformed when it breaks the format."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._at = 0

    def names(self) -> Iterator[str]:
        """Yield the names in an object. The caller reads the value of each before it asks for the next."""
        self._take(b"{")
        if self._try(b"}"):
            return
        while True:
            key = self._string()
            self._take(b":")
            yield key
            if self._try(b"}"):
                return
            self._take(b",")

    def texts(self) -> dict[str, str]:
        """Read a table of texts. Long ones are left out."""
        found: dict[str, str] = {}
        names: set[str] = set()
        if not self._sees(b"{"):
            raise Malformed("its metadata is not a table of texts")
        for key in self.names():
            if not self._sees(b'"'):
                raise Malformed("its metadata is not a table of texts")
            if key in names:
                raise Malformed("its header names something twice")
            if len(names) == _MOST_TOLD:
                raise Malformed(f"its metadata has more than {_MOST_TOLD} entries")
            names.add(key)
            value = self._string()
            if len(value) <= _TOLD_TEXT:
                found[key] = value
        return found

    def entry(self) -> object:
        """Read a tensor's entry. Return None for any other value."""
        self._skip()
        match = _ENTRY.match(self._text, self._at)
        if match is None:
            return None
        self._at = match.end()
        return _json(match[0])

    def end(self) -> None:
        self._skip()
        if self._at != len(self._text):
            raise _no_json()

    def _string(self) -> str:
        self._skip()
        match = _TEXT.match(self._text, self._at)
        if match is None:
            raise _no_json()
        self._at = match.end()
        if match.end() - match.start() > _LONG_TEXT:
            # A longer one is no name, and the metadata's values are not used: make no text of it.
            return "?" * (_TOLD_TEXT + 1)
        text = match[0]
        if b"\\" in text:
            return str(_json(text))
        try:
            return text[1:-1].decode("utf-8")
        except UnicodeDecodeError:
            raise _no_json() from None

    def _skip(self) -> None:
        match = _BLANKS.match(self._text, self._at)
        self._at = match.end() if match else self._at

    def _sees(self, sign: bytes) -> bool:
        self._skip()
        return self._text.startswith(sign, self._at)

    def _try(self, sign: bytes) -> bool:
        if self._sees(sign):
            self._at += len(sign)
            return True
        return False

    def _take(self, sign: bytes) -> None:
        if not self._try(sign):
            raise _no_json()


def _json(text: bytes) -> object:
    try:
        return _DECODER.raw_decode(text.decode("utf-8"))[0]
    except (ValueError, RecursionError):
        raise _no_json() from None


def _no_json() -> Malformed:
    return Malformed("its header is not the JSON that it should be")


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("its header names something twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_refuse_constant)


def _tensor(name: str, entry: object) -> _Tensor:
    if not isinstance(entry, dict):
        raise _bad(name, "is not described")
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str):
        raise _bad(name, "has no type")
    if not _counts(shape) or len(shape) > MAX_AXES:
        raise _bad(name, "has no proper shape")
    if not _counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise _bad(name, "has no proper place")
    begin, end = offsets
    if dtype in _BITS and math.prod(shape) * _BITS[dtype] != (end - begin) * 8:
        raise _bad(name, "has a shape that does not fit its place")
    return _Tensor(tuple(shape), begin, end)


def _counts(value: object) -> TypeGuard[list[int]]:
    """Return True for a list of integers that fit an unsigned 64-bit field. A bool is none."""
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 1 << 64 for item in value)


def _bad(name: str, what: str) -> Malformed:
    return Malformed(f"its header is wrong: tensor {name[:80]!a} {what}")


def _layout(tensors: Mapping[str, _Tensor]) -> tuple[int, str | None]:
    """Return where the last tensor ends, and the first overlap or hole."""
    end, gap = 0, None
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if tensor.begin != end and gap is None:
            what = "overlaps the one before it" if tensor.begin < end else f"leaves {tensor.begin - end} bytes unused"
            gap = f"its header is wrong: tensor {name[:80]!a} {what}"
        end = max(end, tensor.end)
    return end, gap
