"""One look at a file's bytes: which container, which kind, which architecture, whole or not."""

from __future__ import annotations

from dataclasses import dataclass

from uploader.artifact import Kind
from uploader.identify import gguf, safetensors
from uploader.identify.architectures import architecture_of
from uploader.identify.containers import Container, Read, container_of
from uploader.identify.keys import Keys
from uploader.identify.kinds import kind_of

__all__ = ["Container", "Identity", "Read", "identify"]

_HEAD_BYTES = 512 << 10
"""Holds most headers: over a slow line one question is better than two."""


@dataclass(frozen=True)
class Identity:
    """What a file is.

    `container` is by the bytes alone: `zip` and `pickle` are torch's two pickle formats, `archive` any other archive.
    `complete` is true when the header covers exactly the file's bytes, None where that cannot be said (another
    container, a size that is not known). `problems` are sentences on what is wrong with it. `extension` is the ending
    that programs know this container by; None for pickles, whose ending depends on what is in them. `expected_size`
    is how many bytes the header accounts for, if it tells.
    """

    container: Container
    kind: Kind | None = None
    architecture: str | None = None
    complete: bool | None = None
    problems: tuple[str, ...] = ()
    extension: str | None = None
    expected_size: int | None = None


def identify(read: Read, size: int | None, name: str) -> Identity:
    """Looks at a file through `read(offset, length)`, which returns fewer bytes only at the end.

    `size` is in bytes, None if not known. `name` is used where bytes alone do not tell (never to overrule them).
    Whatever the bytes are, this returns an Identity; only what `read` raises is raised. At most 100 MB are read.
    """
    head = read(0, _HEAD_BYTES)
    container = container_of(head, read, size)
    match container:
        case "safetensors":
            return _safetensors(head, read, size)
        case "gguf":
            kind, architecture = gguf.describe(head)
            return Identity("gguf", kind, architecture, extension=".gguf")
        case "unknown":
            return Identity("unknown", problems=_problems_of_unknown(head, size, name))
        case _:
            return Identity(container)


def _safetensors(head: bytes, read: Read, size: int | None) -> Identity:
    try:
        header = safetensors.read_header(head, read, size)
    except safetensors.Short as short:
        return Identity("safetensors", complete=False, problems=(str(short),), extension=".safetensors")
    except safetensors.Malformed as malformed:
        return Identity("safetensors", problems=(str(malformed),), extension=".safetensors")
    problem = safetensors.coverage_problem(header, size)
    keys = Keys(header.shapes)
    return Identity(
        "safetensors",
        kind=kind_of(keys),
        architecture=architecture_of(keys, header.metadata),
        complete=False if problem else None if size is None else True,
        problems=(problem,) if problem else () if header.shapes else ("it holds no tensors",),
        extension=".safetensors",
        expected_size=header.expected_size,
    )


def _problems_of_unknown(head: bytes, size: int | None, name: str) -> tuple[str, ...]:
    if head.startswith(b"version https://git-lfs.github.com/spec/"):
        return ("it is a Git LFS pointer, a note of where the file is, not the file itself",)
    if name.lower().endswith((".safetensors", ".sft")) and size is not None and size < safetensors.SMALLEST:
        return (f"with {size} bytes it is too short for a safetensors file",)
    return ()
