"""Identify an open source, or a local file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from uploader.identify import Identity, identify
from uploader.retry import Retry


class Ranges(Protocol):
    """An open source of bytes."""

    def slice(self, offset: int, length: int, /) -> bytes: ...
    def close(self) -> None: ...


def identify_source(open_source: Callable[[], Ranges], size: int | None, name: str, retry: Retry) -> Identity:
    """Identify a source by a few ranges of its bytes, before anything else of it moves."""
    source = open_source()
    try:
        return retry(lambda: identify(source.slice, size, name))
    finally:
        source.close()


def read_identity(path: Path, name: str) -> Identity:
    """Identify a local file."""
    size = path.stat().st_size
    with path.open("rb") as file:

        def read(offset: int, length: int) -> bytes:
            file.seek(offset)
            return file.read(length)

        return identify(read, size, name)
