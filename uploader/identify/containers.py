"""The container of a file, by its first bytes."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from uploader.identify import safetensors

Container: TypeAlias = Literal[
    "safetensors", "gguf", "pickle", "zip", "torchscript", "html", "json", "archive", "empty", "unknown"
]

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


def container_of(head: bytes) -> Container:
    """Return the container that starts with `head`. A plausible safetensors length comes first: it excludes the others.

    Any zip is called `zip`; its members tell whether it is torch's."""
    if not head:
        return "empty"
    if safetensors.plausible(head):
        return "safetensors"
    if head.startswith(b"GGUF"):
        return "gguf"
    if head.startswith(b"PK\x03\x04"):
        return "zip"
    if head.startswith(_ARCHIVES) or head[257:262] == b"ustar" or _is_tar(head):
        return "archive"
    if head[0] == 0x80 and head[1:2] <= b"\x05" and len(head) > 1:
        return "pickle"
    return _text(head) or ("safetensors" if safetensors.huge(head) else "unknown")


def _is_tar(head: bytes) -> bool:
    """Return True if Python's tarfile takes the bytes for a tar. Torch tries that before it reads pickles.

    The oldest tars have no mark, only a checksum of the header. So a file that begins like
    another format may be a tar."""
    block, field = head[:512], head[148:156]
    if len(block) < 512:
        return False
    rest = block[:148] + b" " * 8 + block[156:]
    unsigned = sum(rest)
    return _tar_number(field) in (unsigned, unsigned - 256 * sum(byte > 127 for byte in rest))


def _tar_number(field: bytes) -> int | None:
    """Return a number of a tar's header as lenient readers do: octal, or base 256 when it is marked so."""
    if field[0] in (0x80, 0xFF):
        return int.from_bytes(field[1:], signed=field[0] == 0xFF)
    try:
        return int(field.partition(b"\0")[0].strip() or b"0", 8)
    except ValueError:
        return None


def zip_container(names: list[str]) -> Container:
    """Return what a zip with these members is: torch's, a TorchScript program, or any archive."""
    inner = [name.lower().partition("/")[2] for name in names]
    if any(name == "constants.pkl" or name.startswith("code/") for name in inner):
        return "torchscript"
    pickled = any(name.endswith(".pkl") or name == "data.pkl" for name in (*inner, *(name.lower() for name in names)))
    return "zip" if pickled else "archive"


def looks_torn_from_torch(head: bytes) -> bool:
    """Return True if a zip without a directory began as torch's: its first members have torch's names."""
    return b"/data.pkl" in head or b"/version" in head or b"/.format_version" in head


def _text(head: bytes) -> Container | None:
    """Return True for web pages, XML errors of object stores and JSON, in UTF-8 or UTF-16, after blanks."""
    encoding = "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"
    text = head[:4096].decode(encoding, errors="replace").lstrip("\ufeff \t\r\n\f")
    if re.match(r"<[!?/a-zA-Z]", text):
        return "html"
    if re.match(r'\{\s*["}]|\[\s*[\[{"\]\d]', text):
        return "json"
    return None
