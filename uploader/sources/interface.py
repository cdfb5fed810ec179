"""What every source must do: resolve a reference, and read what it resolved.

A member is a module with two functions. `resolve` returns artifacts: `source` holds no secret, and `identity` stays
while the file stays the same. `open` returns a Stream. Both raise only uploader.errors: SourceMissing, SourceRefused,
NotAModel, CredentialsRefused, RateLimited, NetworkError, SourceChanged, UsageError.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Choice:
    """Which file is meant where a reference leaves it open.

    `prefer` are words for precision, size and format, the most important first. `file` is a name, and wins.
    """

    prefer: tuple[str, ...] = ("pruned", "fp16", "safetensors")
    file: str | None = None


PRECISIONS = frozenset(
    ["fp32", "fp16", "bf16", "mxfp8", "fp8_mixed", "fp8_scaled", "fp8", "int8", "nf4", "nvfp4", "int4"]
)
"""Words for how exact a file's numbers are."""

PREFERENCES = PRECISIONS | {"pruned", "full", "safetensors", "gguf", "pickle"}
"""The words that `Choice.prefer` may hold."""

FIRST_CHOICE = Choice()
"""The choice when the user says nothing: the smallest file that gives the same pictures and runs no code."""


class Stream(Protocol):
    """An artifact's bytes. Reads may be repeated and begin anywhere. A source that changed raises SourceChanged."""

    def read(self, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `offset` to the end, or `length` of them, in order, in chunks of any size.

        Reads with a `length` may run at the same time in several threads. Raises NetworkError when the connection is
        lost: the caller reads on from where it was. Raises SourceChanged when it is another file now. Raises Truncated
        when it ends before its announced size. Raises NoRanges when a source that promised ranges refuses one.
        """

    def slice(self, offset: int, length: int) -> bytes:
        """Return at most `length` bytes from `offset`, fewer only at the end."""

    def check(self) -> None:
        """Raise SourceChanged when the bytes read are seen to be of two different files."""

    def close(self) -> None:
        """Close files and connections."""
