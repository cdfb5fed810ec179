"""The verification of a file on the server: by a remote hash, else by bytes read back, by structure, or by size."""

from __future__ import annotations

import hashlib
import random
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

from uploader.errors import NoPermission, RemoteRefused, SourceChanged, SourceMissing, SourceRefused
from uploader.remote.interface import Connection
from uploader.result import Evidence
from uploader.transfer.batches import batches
from uploader.transfer.chunks import ChunkLayout
from uploader.transfer.config import TransferConfig
from uploader.transfer.context import TransferContext
from uploader.transfer.rolling_hash import RemoteDigest

T = TypeVar("T")
Verify = Literal["auto", "full", "samples"]


@dataclass(frozen=True)
class Expected:
    """What a file on the server should be.

    `chunks` maps the number of each chunk to its sha256 (hex). `sha256` is the hash of the whole file, if known.
    `structure`: the header of the file covers exactly its bytes.
    """

    size: int
    sha256: str | None
    chunks: Mapping[int, str]
    structure: bool = False


@dataclass(frozen=True)
class Verification:
    """The result of a verification. `bad` are the chunks that differ; it is empty for a right file.

    `sha256` is the hash of the whole file, if it was computed from the bytes on the server.
    """

    evidence: Evidence
    sha256: str | None = None
    bad: frozenset[int] = frozenset()


class Verifier:
    """Verifies that a file on the server has certain bytes, by the best evidence available.

    The order is: remote hash, read back, samples, structure, size. `mode` "full" verifies all bytes or fails,
    "samples" compares samples. "auto" reads a file back when the server cannot hash it; above
    `config.read_back_bytes` it compares samples. `seen` is called with the bytes of each comparison.
    """

    def __init__(
        self, context: TransferContext, mode: Verify = "auto", seen: Callable[[int], None] = lambda _size: None
    ) -> None:
        self._context = context
        self._config = context.config
        self._mode = mode
        self._seen = seen
        self._steps = 0

    def verify(self, path: str, expected: Expected, *, known: RemoteDigest | None = None) -> Verification:
        """Compare the file at `path` with the digests of all its chunks, and with its sha256 if known.

        `known` is a hash of the server's whole file, if one was computed already.
        """
        if known is not None and known.sha256 == expected.sha256:
            return Verification(known.evidence, known.sha256)
        chunks = expected.chunks
        there = self._call(lambda connection: connection.files.stat(path))
        if there is None or there.size != expected.size:
            found = self.digests(path, expected.size, chunks)
            return Verification(Evidence.SIZE, bad=_differ(chunks, found) or frozenset(chunks))
        if self._mode != "samples" and (result := self._by_hash(path, expected, known)) is not None:
            return result
        whole = reads_all(self._mode, expected.size, self._config)
        try:
            return self._by_reading(path, expected, chunks if whole else self._samples(chunks), whole=whole)
        except NoPermission:  # the account may write but not read
            if self._mode == "full":
                raise
            return Verification(Evidence.STRUCTURE if expected.structure else Evidence.SIZE)

    def compare(self, path: str, expected: Expected, *, known: RemoteDigest | None = None) -> Evidence | None:
        """Return the evidence that the file at `path` is the expected one, else None.

        Equal size or structure alone is not enough: two different files may have both.
        """
        result = self.verify(path, expected, known=known)
        return None if result.bad or result.evidence in (Evidence.SIZE, Evidence.STRUCTURE) else result.evidence

    def compare_many(self, files: Sequence[tuple[str, Expected]]) -> list[Evidence | None]:
        """Return the result of `compare` for each file, in order, in few round trips.

        One command hashes many files; small files are read together. A file that the server refuses to read, or that
        changed on this machine, gives None. `sha256` must be known.
        """
        config = self._config
        same: list[Evidence | None] = []
        named = [_Named(path, expected) for path, expected in files]
        for batch in batches(named, most=config.compare_files, most_bytes=config.compare_bytes):
            sizes = [(file.path, file.size) for file in batch]
            found = self._call(partial(hash_many, files=sizes, read_up_to=config.chunk_bytes))
            same += map(self._compare_one, batch, found)
        return same

    def _compare_one(self, file: _Named, found: RemoteDigest | RemoteRefused | None) -> Evidence | None:
        if found is None:
            with suppress(RemoteRefused, SourceChanged, SourceMissing, SourceRefused):
                return self.compare(file.path, file.expected)
        elif isinstance(found, RemoteDigest) and found.sha256 == file.expected.sha256:
            return found.evidence
        return None

    def hash(self, path: str, size: int) -> RemoteDigest | None:
        """Return the hash that the server computes of a file of `size` bytes, or None if it cannot."""
        found = self._call(lambda connection: connection.hashes(path, [(0, size)]))
        return None if found is None else RemoteDigest(found[0], Evidence.REMOTE_HASH)

    def digest(self, path: str, size: int) -> RemoteDigest | None:
        """Return the result of `hash`, else the hash of the file read back, if the mode reads all of it."""
        found = self.hash(path, size)
        if found is None and reads_all(self._mode, size, self._config):
            return self.read_back(path, size)
        return found

    def read_back(self, path: str, size: int) -> RemoteDigest:
        """Read a file of `size` bytes back and return its hash. Raises NoPermission when it may not be read."""
        digest = hashlib.sha256()
        layout = self._layout(size)
        self._read_back(path, layout, range(layout.count), digest.update)
        return RemoteDigest(digest.hexdigest(), Evidence.READ_BACK)

    def digests(self, path: str, size: int, indexes: Collection[int]) -> dict[int, str]:
        """Return the digests of the chunks `indexes` that the server has. The complete file has `size` bytes.

        Return no digest if the file is too long, because no write shortens it. Return none if it may not be read.
        """
        there = self._call(lambda connection: connection.files.stat(path)) if indexes else None
        if there is None or there.size > size:
            return {}
        layout = self._layout(size)
        whole = [index for index in indexes if sum(layout.range(index)) <= there.size]
        try:
            return self._digests(path, layout, whole)
        except NoPermission:
            return {}

    def _by_hash(self, path: str, expected: Expected, known: RemoteDigest | None) -> Verification | None:
        if known is None or known.evidence is not Evidence.REMOTE_HASH:
            known = self.hash(path, expected.size)
        if known is None:
            return None
        if expected.sha256 == known.sha256:
            return Verification(Evidence.REMOTE_HASH, known.sha256)
        bad = _differ(expected.chunks, self._digests(path, self._layout(expected.size), expected.chunks))
        if expected.sha256 is not None:  # a wrong file with right chunks: then all chunks are bad
            bad = bad or frozenset(expected.chunks)
        return Verification(Evidence.REMOTE_HASH, known.sha256, bad)

    def _by_reading(self, path: str, expected: Expected, chunks: Mapping[int, str], *, whole: bool) -> Verification:
        digest = hashlib.sha256()
        layout = self._layout(expected.size)
        bad = _differ(chunks, self._read_back(path, layout, chunks, digest.update if whole else None))
        if not whole:
            return Verification(Evidence.SAMPLES, bad=bad)
        found = digest.hexdigest()
        if not bad and expected.sha256 not in (None, found):  # the chunks are from more than one version of the source
            bad = frozenset(chunks)
        return Verification(Evidence.READ_BACK, found, bad)

    def _digests(self, path: str, layout: ChunkLayout, indexes: Iterable[int]) -> dict[int, str]:
        """Return the digests of chunks, hashed by the server or read back."""
        found: dict[int, str] = {}
        todo = sorted(indexes)
        for at in range(0, len(todo), self._config.hash_batch):
            batch = todo[at : at + self._config.hash_batch]
            ranges = [layout.range(index) for index in batch]
            taken = self._call(partial(_hashes, path, ranges))
            if taken is None:
                return found | self._read_back(path, layout, todo[at:], None)
            found |= zip(batch, taken, strict=True)
            self._count(layout.bytes_of(batch))
        return found

    def _read_back(
        self, path: str, layout: ChunkLayout, indexes: Iterable[int], update: Callable[[bytes], None] | None
    ) -> dict[int, str]:
        found: dict[int, str] = {}
        todo = deque(sorted(indexes))

        def read(connection: Connection) -> None:
            # `todo` shrinks with each chunk, so a retry continues where the connection was lost.
            for data in connection.files.read(path, [layout.range(index) for index in todo]):
                found[todo.popleft()] = hashlib.sha256(data).hexdigest()
                if update is not None:
                    update(data)
                self._count(len(data))

        self._call(read)
        return found

    def _samples(self, chunks: Mapping[int, str]) -> dict[int, str]:
        """Return the first, the last and some random chunks. The server cannot know which are compared."""
        last = max(chunks)
        between = [index for index in chunks if index not in (0, last)]
        count = min(self._config.sample_count, len(between))
        return {index: chunks[index] for index in sorted({0, last, *random.SystemRandom().sample(between, count)})}

    def _layout(self, size: int) -> ChunkLayout:
        return ChunkLayout(size, self._config.chunk_bytes)

    def _count(self, size: int) -> None:
        self._steps += 1
        self._seen(size)

    def _call(self, call: Callable[[Connection], T]) -> T:
        return self._context.with_connection(call, lambda: self._steps)


def reads_all(mode: Verify, size: int, config: TransferConfig) -> bool:
    """Return True if a file of `size` bytes is read back whole when the server cannot hash it."""
    return mode == "full" or (mode == "auto" and size <= config.read_back_bytes)


def hash_many(
    connection: Connection, files: Sequence[tuple[str, int]], *, read_up_to: int | None = None
) -> list[RemoteDigest | RemoteRefused | None]:
    """Return the hash of each file (path, size in bytes), computed by the server or from the bytes read back.

    The hash is None if the file is missing. It is also None if the server cannot hash a file of more than
    `read_up_to` bytes.
    A shell may see other folders than SFTP, so a file that it does not find is read back.
    """
    taken = connection.hash_files([path for path, _ in files]) or [None] * len(files)
    results: list[RemoteDigest | RemoteRefused | None] = [
        None if sha256 is None else RemoteDigest(sha256, Evidence.REMOTE_HASH) for sha256 in taken
    ]
    unknown = [
        at for at, (_, size) in enumerate(files) if results[at] is None and (read_up_to is None or size <= read_up_to)
    ]
    # Read one byte more than expected, to detect a file that is too long.
    wanted = [(files[at][0], files[at][1] + 1) for at in unknown]
    for at, data in zip(unknown, connection.files.read_all(wanted) if wanted else (), strict=True):
        results[at] = (
            RemoteDigest(hashlib.sha256(data).hexdigest(), Evidence.READ_BACK) if isinstance(data, bytes) else data
        )
    return results


@dataclass(frozen=True)
class _Named:
    path: str
    expected: Expected

    @property
    def size(self) -> int:
        return self.expected.size


def _differ(chunks: Mapping[int, str], found: Mapping[int, str]) -> frozenset[int]:
    """Return the numbers of the chunks that `found` lacks or that have other digests there."""
    return frozenset(index for index, digest in chunks.items() if found.get(index) != digest)


def _hashes(path: str, ranges: Sequence[tuple[int, int]], connection: Connection) -> list[str] | None:
    return connection.hashes(path, ranges)
