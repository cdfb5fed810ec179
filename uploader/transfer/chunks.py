"""The chunks of a source: how it is cut, read and hashed."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from uploader.errors import Interrupted, NetworkError, SourceChanged
from uploader.rate_limit import cut
from uploader.retry import Retry
from uploader.sources.interface import Stream


@dataclass(frozen=True)
class ChunkLayout:
    """How a file of `size` bytes is cut into chunks of `chunk_bytes`. The last chunk may be shorter."""

    size: int
    chunk_bytes: int

    @property
    def count(self) -> int:
        """The number of chunks."""
        return -(-self.size // self.chunk_bytes)

    def range(self, index: int) -> tuple[int, int]:
        """Return offset and length of a chunk, in bytes."""
        offset = index * self.chunk_bytes
        return offset, min(self.chunk_bytes, self.size - offset)

    def bytes_of(self, indexes: Iterable[int]) -> int:
        """Return the bytes of these chunks together."""
        return sum(self.range(index)[1] for index in indexes)


@dataclass(frozen=True)
class Chunk:
    """One chunk of a file. `offset` in bytes."""

    index: int
    offset: int
    data: bytes

    @cached_property
    def digest(self) -> str:
        """The sha256 (hex) of the data. Computed when it is needed: hashing costs as much as sending."""
        return hashlib.sha256(self.data).hexdigest()


class FileChunks(Mapping[int, str]):
    """The digests of a local file's chunks. Each chunk is read and hashed when its digest is asked for."""

    def __init__(self, stream: Stream, layout: ChunkLayout) -> None:
        self._stream = stream
        self._layout = layout

    def __getitem__(self, index: int) -> str:
        if not 0 <= index < len(self):
            raise KeyError(index)
        return hashlib.sha256(self._stream.slice(*self._layout.range(index))).hexdigest()

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self)))

    def __len__(self) -> int:
        return self._layout.count


@dataclass
class Reading:
    """What is known of a source: the digests of its chunks, and of all of it when it was read from its start.

    `taken` collects the digests of chunks while they are read, for a source that may not be read again. `chunks` are
    those, or the digests of a file that can be read again.
    """

    taken: dict[int, str] | None
    chunks: Mapping[int, str]
    sha256: str | None = None

    @classmethod
    def of_file(cls, stream: Stream, layout: ChunkLayout) -> Reading:
        """Return the reading of a local file. Its chunks are hashed when needed, which is seldom."""
        return cls(None, FileChunks(stream, layout))

    @classmethod
    def of_link(cls, known: Mapping[int, str]) -> Reading:
        """Return the reading of a source that is read once. `known` are digests from an earlier run."""
        taken = dict(known)
        return cls(taken, taken)


def read_steadily(stream: Stream, offset: int, retry: Retry) -> Iterator[bytes]:
    """Yield a stream's bytes from `offset`. A lost connection is retried while bytes arrive."""
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


def read_chunks(blocks: Iterator[bytes], layout: ChunkLayout, first: int, reading: Reading) -> Iterator[Chunk]:
    """Yield the chunks of a source from number `first` on, and add them to `reading`.

    Raises SourceChanged when the source does not have the size of the layout.
    """
    whole = hashlib.sha256() if first == 0 else None
    done = first * layout.chunk_bytes
    for index, data in enumerate(cut(blocks, layout.chunk_bytes), first):
        chunk = Chunk(index, done, data)
        done += len(data)
        if done > layout.size:
            break
        if whole is not None:
            whole.update(data)
        if reading.taken is not None:
            reading.taken[index] = chunk.digest
        yield chunk
    if done != layout.size:
        raise SourceChanged(
            f"the source is not {layout.size:,} bytes long any more", remedy="Push it again when it is complete."
        )
    if whole is not None:
        reading.sha256 = whole.hexdigest()


def drain(chunks: Iterator[Chunk], cancelled: threading.Event, seen: Callable[[int], None]) -> None:
    """Read a source to its end for its digests. `seen` gets the number of bytes read so far."""
    done = 0
    for chunk in chunks:
        if cancelled.is_set():
            raise Interrupted("the transfer was stopped")
        done += len(chunk.data)
        seen(done)
