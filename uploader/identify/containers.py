"""Which container a file is, by its first bytes; a zip's last ones are looked at too."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, TypeAlias

from uploader.identify import safetensors

Read: TypeAlias = Callable[[int, int], bytes]
"""read(offset, length) -> at most `length` bytes, fewer only at the end."""

Container: TypeAlias = Literal["safetensors", "gguf", "pickle", "zip", "html", "json", "archive", "empty", "unknown"]

_ARCHIVES = (
    b"7z\xbc\xaf\x27\x1c",
    b"Rar!",
    b"\x1f\x8b\x08",  # gzip
    b"BZh",
    b"\xfd7zXZ\x00",
    b"\x28\xb5\x2f\xfd",  # zstd
    b"PK\x05\x06",  # a zip with nothing in it
    b"PK\x07\x08",  # a zip in several parts
)
_TAIL_BYTES = 1 << 20


def container_of(head: bytes, read: Read, size: int | None) -> Container:
    """The container that starts with `head`. A plausible safetensors length comes first: it rules the others out."""
    if not head:
        return "empty"
    if safetensors.plausible(head):
        return "safetensors"
    if head.startswith(b"GGUF"):
        return "gguf"
    if head.startswith(b"PK\x03\x04"):
        return "zip" if _holds_a_pickle(head, read, size) else "archive"
    if head.startswith(_ARCHIVES) or head[257:262] == b"ustar":
        return "archive"
    if head[0] == 0x80 and head[1:2] <= b"\x05" and len(head) > 1:
        return "pickle"
    return _text(head) or ("safetensors" if safetensors.huge(head) else "unknown")


def _text(head: bytes) -> Container | None:
    """Web pages, XML errors of object stores and JSON answers, in UTF-8 or UTF-16, after blanks."""
    encoding = "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"
    text = head[:4096].decode(encoding, errors="replace").lstrip("\ufeff \t\r\n\f")
    if re.match(r"<[!?/a-zA-Z]", text):
        return "html"
    if re.match(r'\{\s*["}]|\[\s*[\[{"\]\d]', text):
        return "json"
    return None


def _holds_a_pickle(head: bytes, read: Read, size: int | None) -> bool:
    """Whether a zip is one of torch's: it holds NAME/data.pkl. Its first entry says so, else its directory does."""
    if _is_pickle_name(_entry_name(head, name_at=30, length_at=26)):
        return True
    if size is None:
        # The directory is out of sight; of two guesses the careful one, for pickles are refused by default.
        return b"/data.pkl" in head or b"/version" in head
    tail = read(max(0, size - _TAIL_BYTES), _TAIL_BYTES)
    starts = (match.start() for match in re.finditer(b"PK\x01\x02", tail))
    entries = (_entry_name(tail[start : start + 1024], name_at=46, length_at=28) for start in starts)
    return any(_is_pickle_name(name) for name in entries)


def _entry_name(record: bytes, *, name_at: int, length_at: int) -> bytes:
    length = int.from_bytes(record[length_at : length_at + 2], "little")
    return record[name_at : name_at + length]


def _is_pickle_name(name: bytes) -> bool:
    return name.endswith((b".pkl", b"/constants.pkl")) or name == b"data.pkl"
