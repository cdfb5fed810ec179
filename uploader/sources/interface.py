"""What every source owes: to resolve a reference, and to read what it resolved.

A member is a module with `resolve`, which returns artifacts that name no secret in `source` and keep their `identity`
as long as the file stays the same, and `open`, which returns a Stream. Both raise uploader.errors alone: SourceMissing,
SourceRefused, NotAModel, CredentialsRefused, RateLimited, NetworkError, SourceChanged, UsageError.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Choice:
    """Which file is meant where a reference leaves it open. `prefer` are words for its precision, its size and its
    format, the most important first; `file` is its name, and wins."""

    prefer: tuple[str, ...] = ("pruned", "fp16", "safetensors")
    file: str | None = None


PRECISIONS = frozenset(
    ["fp32", "fp16", "bf16", "mxfp8", "fp8_mixed", "fp8_scaled", "fp8", "int8", "nf4", "nvfp4", "int4"]
)
"""How exact a file's numbers are."""

PREFERENCES = PRECISIONS | {"pruned", "full", "safetensors", "gguf", "pickle"}
"""The words that `Choice.prefer` may hold."""

FIRST_CHOICE = Choice()
"""What is taken when the user says nothing: the smallest file that gives the same pictures and runs no code."""


class Stream(Protocol):
    """An artifact's bytes. Reads may be repeated and begin anywhere; a source that changed says so."""

    def read(self, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yields the bytes from `offset` to the end, or `length` of them, in order, in pieces of any size.

        Reads with a `length` may run side by side in several threads. Raises NetworkError when the line is lost (the
        caller reads on from where it was), SourceChanged when it is not the same file any more, Truncated when it ends
        before its announced size, NoRanges when a source that promised ranges will not give `length` bytes from the
        middle."""

    def slice(self, offset: int, length: int) -> bytes:
        """Returns at most `length` bytes from `offset`, shorter only at the end."""

    def check(self) -> None:
        """Raises SourceChanged when it can be seen that the bytes read are not one and the same file's."""

    def close(self) -> None:
        """Lets go of files and lines."""
