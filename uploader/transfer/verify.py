"""How we know that the bytes arrived: hashes taken on the server, else bytes read back, else structure, else size."""

from __future__ import annotations

import hashlib
import random
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Literal, Protocol, TypeVar

from uploader.errors import NoPermission
from uploader.rate_limit import RateLimiter
from uploader.remote.interface import Connection, Range
from uploader.result import Evidence
from uploader.transfer.chunks import CHUNK_BYTES
from uploader.transfer.rolling_hash import RemoteDigest

T = TypeVar("T")
Verify = Literal["auto", "full", "samples"]

READ_BACK_BYTES = 128 * 1024 * 1024
"""Up to this size all of a file is read back where no hash can be had."""

_SAMPLES = 8
_BATCH = 32


@dataclass(frozen=True)
class Verification:
    """What the server's file turned out to be. `bad`: pieces that differ; empty when it is the right one.

    `sha256` is of the whole, when it was learnt from the server.
    """

    evidence: Evidence
    sha256: str | None = None
    bad: frozenset[int] = frozenset()


def reads_all(mode: Verify, size: int) -> bool:
    """Whether all of a file of `size` bytes is read back where no hash can be had."""
    return mode == "full" or (mode == "auto" and size <= READ_BACK_BYTES)


class Using(Protocol):
    """Runs a call with a connection, again when the line fails."""

    def __call__(self, call: Callable[[Connection], T], /) -> T: ...


class Verifier:
    """Looks at one file on the server, of `size` bytes. `seen` is told of bytes compared."""

    def __init__(
        self,
        using: Using,
        size: int,
        *,
        rate_limiter: RateLimiter,
        seen: Callable[[int], None],
    ) -> None:
        self._using = using
        self._size = size
        self._rate_limiter = rate_limiter
        self._seen = seen

    def prove(
        self,
        path: str,
        chunks: Mapping[int, str],
        sha256: str | None,
        mode: Verify,
        structure: bool,
        *,
        taken: RemoteDigest | None = None,
    ) -> Verification:
        """Compares the file at `path` with the digests of all its pieces, and with `sha256` when it is known.

        `structure`: whether the source's own header covers exactly its bytes. `taken`: a hash of all of it to its
        very end, where that was taken already.
        """
        if taken is not None and taken.sha256 == sha256:
            return Verification(taken.evidence, taken.sha256)
        there = self._using(lambda connection: connection.files.stat(path))
        if there is None or there.size != self._size:
            return Verification(Evidence.SIZE, bad=(frozenset(chunks) - self.good(path, chunks)) or frozenset(chunks))
        by_server = taken.sha256 if taken is not None and taken.evidence is Evidence.REMOTE_HASH else None
        if mode != "samples" and (proof := self._by_hash(path, chunks, sha256, by_server)) is not None:
            return proof
        whole = reads_all(mode, self._size)
        try:
            return self._by_reading(path, chunks if whole else self._samples(chunks), sha256, whole=whole)
        except NoPermission:  # an account that may write and not read
            if mode == "full":
                raise
            return Verification(Evidence.STRUCTURE if structure else Evidence.SIZE)

    def good(self, path: str, claimed: Mapping[int, str]) -> set[int]:
        """Which of the claimed pieces are on the server as claimed."""
        return {index for index, digest in self.digests(path, claimed).items() if digest == claimed[index]}

    def digests(self, path: str, indexes: Collection[int]) -> dict[int, str]:
        """The digests of those of the pieces that are on the server. None of a file that is too long, as nothing cuts
        it, and none of one that may not be read."""
        there = self._using(lambda connection: connection.files.stat(path)) if indexes else None
        if there is None or there.size > self._size:
            return {}
        try:
            return self._digests(path, [index for index in indexes if self._end(index) <= there.size])
        except NoPermission:
            return {}

    def _by_hash(
        self, path: str, chunks: Mapping[int, str], sha256: str | None, taken: str | None
    ) -> Verification | None:
        found = [taken] if taken else self._using(lambda connection: connection.hashes(path, [(0, self._size)]))
        if found is None:
            return None
        right = found[0] == sha256 if sha256 is not None else len(self._good(path, chunks)) == len(chunks)
        if right:
            return Verification(Evidence.REMOTE_HASH, found[0])
        # The pieces tell what to send again. When all of them are right, the file as a whole is still wrong.
        bad = frozenset(chunks) - self._good(path, chunks)
        return Verification(Evidence.REMOTE_HASH, found[0], bad or frozenset(chunks))

    def _by_reading(self, path: str, chunks: Mapping[int, str], sha256: str | None, *, whole: bool) -> Verification:
        digest = hashlib.sha256()
        found_pieces = self._read_back(path, chunks, digest.update if whole else None)
        bad = frozenset(index for index in chunks if found_pieces[index] != chunks[index])
        if not whole:
            return Verification(Evidence.SAMPLES, bad=bad)
        found = digest.hexdigest()
        if not bad and sha256 not in (None, found):  # the pieces were read from more than one version of the source
            bad = frozenset(chunks)
        return Verification(Evidence.READ_BACK, found, bad)

    def _good(self, path: str, chunks: Mapping[int, str]) -> set[int]:
        return {index for index, digest in self._digests(path, chunks).items() if digest == chunks[index]}

    def _digests(self, path: str, indexes: Collection[int]) -> dict[int, str]:
        """Has pieces hashed on the server, or reads them back."""
        found: dict[int, str] = {}
        todo = sorted(indexes)
        for at in range(0, len(todo), _BATCH):
            batch = todo[at : at + _BATCH]
            ranges = [self._range(index) for index in batch]
            taken = self._using(partial(_hashes, path, ranges))
            if taken is None:
                return found | self._read_back(path, todo[at:], None)
            found |= zip(batch, taken, strict=True)
            self._seen(sum(length for _, length in ranges))
        return found

    def _read_back(self, path: str, indexes: Collection[int], update: Callable[[bytes], None] | None) -> dict[int, str]:
        found: dict[int, str] = {}
        todo = deque(sorted(indexes))

        def read(connection: Connection) -> None:
            # `todo` shrinks as pieces come, so that an attempt after a lost line begins where the last one ended.
            for data in self._chunks(connection, path, [self._range(index) for index in todo]):
                found[todo.popleft()] = hashlib.sha256(data).hexdigest()
                if update is not None:
                    update(data)
                self._seen(len(data))

        self._using(read)
        return found

    def _chunks(self, connection: Connection, path: str, ranges: Sequence[Range]) -> Iterator[bytes]:
        """Reads ranges back; under a rate each in as many portions as that takes."""
        portions = connection.files.read(path, self._rate_limiter.ranges(ranges))
        for _, length in ranges:
            yield b"".join(islice(portions, -(-length // self._rate_limiter.portion(length))))

    def _samples(self, chunks: Mapping[int, str]) -> dict[int, str]:
        """The first, the last and some between, at random: nobody can know which are looked at."""
        last = max(chunks)
        between = [index for index in chunks if index not in (0, last)]
        chosen = {0, last, *random.SystemRandom().sample(between, min(_SAMPLES, len(between)))}
        return {index: chunks[index] for index in sorted(chosen)}

    def _end(self, index: int) -> int:
        return min(self._size, (index + 1) * CHUNK_BYTES)

    def _range(self, index: int) -> Range:
        return index * CHUNK_BYTES, self._end(index) - index * CHUNK_BYTES


def _hashes(path: str, ranges: Sequence[Range], connection: Connection) -> list[str] | None:
    return connection.hashes(path, ranges)
