"""The chunks of a source: read, hashed, counted."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from uploader.errors import Interrupted, NetworkError, SourceChanged
from uploader.rate_limit import cut
from uploader.retry import Retry
from uploader.sources.interface import Stream

if TYPE_CHECKING:
    pass

CHUNK_BYTES = 4 * 1024 * 1024
"""Size of a piece: the unit that is sent, acknowledged, recorded and proven."""


@dataclass(frozen=True)
class Chunk:
    """A stretch of a file."""

    index: int
    data: bytes

    @property
    def offset(self) -> int:
        return self.index * CHUNK_BYTES

    @cached_property
    def digest(self) -> str:
        """The sha256 (hex) of the data, taken when it is first asked for: hashing costs as much as sending."""
        return hashlib.sha256(self.data).hexdigest()


class FileChunks(Mapping[int, str]):
    """The digests of a local file's pieces, each read and hashed when it is asked for."""

    def __init__(self, stream: Stream, size: int) -> None:
        self._stream = stream
        self._size = size

    def __getitem__(self, index: int) -> str:
        if not 0 <= index < len(self):
            raise KeyError(index)
        return hashlib.sha256(self._stream.slice(index * CHUNK_BYTES, CHUNK_BYTES)).hexdigest()

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self)))

    def __len__(self) -> int:
        return -(-self._size // CHUNK_BYTES)


@dataclass
class Reading:
    """What is known of a source: the digests of its pieces, and the whole's when all was read in one go.

    `taken` collects the pieces' digests as they are read, for a source that cannot be read again at will; `chunks`
    is that, unless they can be had another way."""

    taken: dict[int, str] | None
    chunks: Mapping[int, str]
    sha256: str | None = None

    @classmethod
    def of_file(cls, stream: Stream, size: int) -> Reading:
        """Of a local file: its pieces are hashed when that is needed, which mostly is never."""
        return cls(None, FileChunks(stream, size))

    @classmethod
    def of_link(cls, known: Mapping[int, str]) -> Reading:
        """Of a source that is read once; `known` are digests from an earlier run."""
        taken = dict(known)
        return cls(taken, taken)


def read_steadily(stream: Stream, offset: int, retry: Retry) -> Iterator[bytes]:
    """Yields a stream's bytes from `offset`, read on after a lost line as long as some keep coming."""
    at = offset
    running: Iterator[bytes] | None = None

    def more() -> bytes | None:
        nonlocal running
        running = running or stream.read(at)
        try:
            return next(running, None)
        except NetworkError:
            running = None
            raise

    def reached() -> int:
        return at

    while (data := retry(more, reached)) is not None:
        at += len(data)
        yield data


def read_chunks(chunks: Iterator[bytes], size: int, first: int, reading: Reading) -> Iterator[Chunk]:
    """Yields the pieces of a source from number `first` on. Raises SourceChanged when it is not `size` long."""
    whole = hashlib.sha256() if first == 0 else None
    done = first * CHUNK_BYTES
    for index, data in enumerate(cut(chunks, CHUNK_BYTES), first):
        done += len(data)
        if done > size:
            break
        if whole is not None:
            whole.update(data)
        chunk = Chunk(index, data)
        if reading.taken is not None:
            reading.taken[index] = chunk.digest
        yield chunk
    if done != size:
        raise SourceChanged(
            f"the source is not {size:,} bytes long any more", remedy="Push it again when it is complete."
        )
    if whole is not None:
        reading.sha256 = whole.hexdigest()


def drain(chunks: Iterator[Chunk], cancelled: threading.Event, seen: Callable[[int], None]) -> None:
    """Reads a source to its end for its digests alone. `seen` is told how many bytes were read so far."""
    done = 0
    for chunk in chunks:
        if cancelled.is_set():
            raise Interrupted("the transfer was stopped")
        done += len(chunk.data)
        seen(done)
