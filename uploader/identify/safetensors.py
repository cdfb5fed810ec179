"""The safetensors format: its header, and whether that covers exactly the file's bytes.

Source: https://github.com/huggingface/safetensors#format. Eight bytes of little-endian length N, N bytes of JSON that
begin with `{`, then the tensors, laid end to end from offset 0.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias, TypeGuard

MAX_HEADER = 100_000_000
"""The format's own limit, in bytes."""

MAX_TENSORS = 200_000
"""Far above any model; it bounds the memory that a hostile header can take."""

MAX_AXES = 64
"""The product of a shape's numbers must not become a computation of its own."""

SMALLEST = 10
"""A length and `{}`."""

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
    """Whether these first bytes begin a safetensors file of a size that programs read."""
    return head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= MAX_HEADER


def huge(head: bytes) -> bool:
    """Whether they would, but for a header that is longer than the format allows."""
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") > MAX_HEADER


def read_header(head: bytes, read: Callable[[int, int], bytes], size: int | None) -> Header:
    """Reads and checks the header. Raises Malformed, Short, and what `read` raises."""
    length = int.from_bytes(head[:8], "little")
    if length > MAX_HEADER:
        raise Malformed(f"its header claims {length} bytes, and no program reads more than {MAX_HEADER}")
    if size is not None and 8 + length > size:
        raise Short(f"its header alone takes {8 + length} bytes, and the file has {size}")
    text = head[8 : 8 + length]
    if len(text) < length:
        text += read(8 + len(text), length - len(text))
    if len(text) < length:
        raise Short(f"its header alone takes {8 + length} bytes, and the file has {8 + len(text)}")
    metadata, tensors = _parse(text)
    end, gap = _layout(tensors)
    return Header({name: tensor.shape for name, tensor in tensors.items()}, metadata, 8 + length + end, gap)


def coverage_problem(header: Header, size: int | None) -> str | None:
    """What is wrong between the header and the bytes; None when they fit exactly, or as far as is known."""
    if header.gap:
        return header.gap
    if size is None or size == header.expected_size:
        return None
    if size < header.expected_size:
        missing = header.expected_size - size
        return f"it is cut short: its header describes {header.expected_size} bytes, it has {size} ({missing} missing)"
    return f"it is too long: its header describes {header.expected_size} bytes, it has {size}"


def _parse(text: bytes) -> tuple[Mapping[str, str], dict[str, _Tensor]]:
    try:
        found = json.loads(text, object_pairs_hook=_Pairs(), parse_constant=_refuse_constant)
    except RecursionError:
        raise Malformed("its header is nested too deep") from None
    except ValueError:
        raise Malformed("its header is not the JSON that it should be") from None
    if not isinstance(found, dict):
        raise Malformed("its header is no JSON object")
    metadata = found.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise Malformed("its metadata is not a table of texts")
    return metadata, {name: _tensor(name, entry) for name, entry in found.items()}


class _Pairs:
    """Builds the header's objects, refuses a name that comes twice, and counts, for the sake of memory."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        self._count += 1
        if self._count > MAX_TENSORS:
            raise Malformed(f"its header lists more than {MAX_TENSORS} tensors")
        found = dict(pairs)
        if len(found) != len(pairs):
            raise Malformed("its header names something twice")
        return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


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
    """True for a list of whole numbers that fit an unsigned 64-bit field (a bool is none of them)."""
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 1 << 64 for item in value)


def _bad(name: str, what: str) -> Malformed:
    return Malformed(f"its header is wrong: tensor {name[:80]!a} {what}")


def _layout(tensors: Mapping[str, _Tensor]) -> tuple[int, str | None]:
    """Where the last tensor ends, and the first overlap or hole."""
    end, gap = 0, None
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if tensor.begin != end and gap is None:
            what = "overlaps the one before it" if tensor.begin < end else f"leaves {tensor.begin - end} bytes unused"
            gap = f"its header is wrong: tensor {name[:80]!a} {what}"
        end = max(end, tensor.end)
    return end, gap
