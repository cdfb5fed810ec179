"""Batches of files: bounded in number and in bytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar


class Sized(Protocol):
    """Something that has a size in bytes."""

    @property
    def size(self) -> int: ...


S = TypeVar("S", bound=Sized)


def batches(files: Iterable[S], *, most: int, most_bytes: int) -> list[list[S]]:
    """Cut files, in their order, into batches of at most `most` files and `most_bytes`. A larger file is alone."""
    cut: list[list[S]] = []
    held = 0
    for file in files:
        if not cut or len(cut[-1]) == most or held + file.size > most_bytes:
            cut.append([])
            held = 0
        cut[-1].append(file)
        held += file.size
    return cut
