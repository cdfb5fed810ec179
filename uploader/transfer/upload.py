"""One file, done safely: looked for, sent to its part file, proven, and only then given its name."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TypeVar

from uploader.artifact import LocalFile, WebFile
from uploader.errors import Exists, RemoteRefused, UploaderError, WrongBytes
from uploader.events import Message, Phase, Progress
from uploader.remote.interface import Connection, Entry
from uploader.result import Evidence
from uploader.sources.interface import Stream
from uploader.state.uploads import UploadRecord
from uploader.threads import BackgroundCall
from uploader.transfer.chunk_queue import ChunkQueue
from uploader.transfer.chunks import CHUNK_BYTES, Chunk, Reading, drain, read_chunks, read_steadily
from uploader.transfer.connections import ConnectionScaler
from uploader.transfer.context import TransferContext
from uploader.transfer.range_readers import Supply
from uploader.transfer.read_ahead import read_ahead
from uploader.transfer.rename import open_part, place, taken, wrong_source
from uploader.transfer.rolling_hash import Following, RemoteDigest, RollingHash
from uploader.transfer.upload_workers import UploadWorkers
from uploader.transfer.values import UploadJob, UploadResult
from uploader.transfer.verify import Verification, Verifier, reads_all

T = TypeVar("T")

_MOMENT = 2.0


class Upload:
    """Carries out one job."""

    def __init__(self, job: UploadJob, context: TransferContext) -> None:
        self._job = job
        self._context = context
        self._artifact = job.artifact
        self._steps_forward = 0
        self._resumed = 0
        self._lanes: list[UploadWorkers] = []
        self._taken: RemoteDigest | None = None
        self._stretch = ""
        self._part_there = True

    @property
    def sent(self) -> int:
        """Payload bytes that left this machine for the server so far, those sent again included."""
        return sum(lanes.sent for lanes in self._lanes)

    def run(self) -> UploadResult:
        """Returns when the final name stands for proven bytes. Raises the errors of the families it works with."""
        stream = self._job.open_stream()
        try:
            local = isinstance(self._artifact.origin, LocalFile)
            if self._artifact.digest is not None and local and not self._job.proven:
                self._phase("hashing")
                self._refuse_wrong_source(self._read_all(stream).sha256)
            there, self._part_there = self._using(self._look) if not self._just_seen() else (None, False)
            if there is not None:
                if (kept := self._same(there, stream)) is not None:
                    return kept
                if there.is_folder or not self._job.replace:
                    raise taken(self._job.path)
            with self._context.uploads.claim(self._job.target, self._job.path) as record:
                try:
                    return self._send(stream, record)
                except WrongBytes:  # what the part holds is known to be no file at all
                    self._discard(record)
                    raise
        finally:
            stream.close()

    def _just_seen(self) -> bool:
        """Whether it was seen moments ago that nothing is there. What comes in between keeps its name all the same:
        a part that is longer than it should be is found by its proof, and no name is taken that is there."""
        unseen = self._job.unseen
        return unseen is not None and not self._job.replace and time.monotonic() - unseen < _MOMENT

    def _look(self, connection: Connection) -> tuple[Entry | None, bool]:
        """What has the final name, and whether there is a part file."""
        final, part = connection.files.stat_all([self._job.path, self._job.part])
        if isinstance(final, RemoteRefused):
            raise final
        return final, part is not None

    # what is there ------------------------------------------------------------------------------------

    def _kept(self, stream: Stream) -> UploadResult | None:
        """What `_compare` says of what took the final name in the meantime."""
        there, _ = self._using(self._look)
        return None if there is None else self._same(there, stream)

    def _same(self, there: Entry, stream: Stream) -> UploadResult | None:
        return self._compare(stream) if not there.is_folder and there.size == self._job.size else None

    def _compare(self, stream: Stream) -> UploadResult | None:
        """Proves that the final name stands for these bytes already; None when it does not."""
        self._phase("comparing")
        published = self._artifact.digest
        if published is not None:
            found = self._using(lambda connection: connection.hashes(self._job.path, [(0, self._job.size)]))
            if found is not None:
                return UploadResult(True, Evidence.REMOTE_HASH, found[0]) if found[0] == published.hex else None
        with BackgroundCall(self._hash_there, name="compare") as there:  # both sides read at once
            reading = self._read_all(stream)
        self._refuse_wrong_source(reading.sha256)
        proof = self._prover("comparing").prove(
            self._job.path,
            reading.chunks,
            reading.sha256,
            self._job.verify,
            self._job.structure,
            taken=there.result(),
        )
        # Equal size or structure alone does not make two files one.
        if proof.bad or proof.evidence in (Evidence.SIZE, Evidence.STRUCTURE):
            return None
        return UploadResult(True, proof.evidence, reading.sha256)

    def _hash_there(self) -> RemoteDigest | None:
        if self._job.verify == "samples":
            return None
        found = self._using(lambda connection: connection.hashes(self._job.path, [(0, self._job.size)]))
        return None if found is None else RemoteDigest(found[0], Evidence.REMOTE_HASH)

    def _read_all(self, stream: Stream) -> Reading:
        reading = self._reading(stream, {})
        chunks = read_chunks(self._chunks(stream, 0), self._job.size, 0, reading)
        drain(chunks, self._context.cancelled, self._progress)
        stream.check()
        return reading

    # sending ------------------------------------------------------------------------------------------

    def _send(self, stream: Stream, record: UploadRecord) -> UploadResult:
        job = self._job
        trusted = self._trusted(record)
        reading = self._reading(stream, trusted)
        self._resumed = self._bytes_of(trusted)
        for _ in range(2):  # once more for what arrived wrong; a server that errs twice is not to be trusted
            self._send_missing(stream, record, trusted, reading)
            stream.check()
            proof = self._prove(reading)
            if not proof.bad:
                break
            self._say(f"{len(proof.bad)} piece(s) of {job.part} arrived wrong and are sent again")
            trusted = {index: digest for index, digest in reading.chunks.items() if index not in proof.bad}
            for index in proof.bad:
                record.forget(index)
            if not trusted:  # nothing cuts a part that is too long
                self._using(self._empty_part)
        else:
            raise WrongBytes(
                f"the server keeps other bytes than it was sent, twice: {job.path}",
                remedy="Its disk or its SFTP server is faulty. The wrong part was removed.",
            )
        sha256 = reading.sha256 or proof.sha256
        try:
            self._place()
        except Exists:  # another may have put the very same file there meanwhile
            if (kept := self._kept(stream)) is None:
                raise
            self._discard(record)
            return replace(kept, bytes_sent=self.sent, resumed_from=self._resumed)
        record.remove()
        return UploadResult(False, proof.evidence, sha256, self.sent, self._resumed)

    def _trusted(self, record: UploadRecord) -> dict[int, str]:
        """What an earlier run left, and its digests on the server; an empty part file when nothing is there.

        A piece that was written down with its digest must still have it. One without is worth something to a local
        file alone, whose pieces are compared as they are read: a link's may not be read again at all."""
        job = self._job
        record.begin(self._artifact.identity, job.size, CHUNK_BYTES, job.part)
        claimed = record.chunks
        found = self._prover("checking").digests(job.part, claimed) if claimed else {}
        compared = isinstance(self._artifact.origin, LocalFile)
        trusted = {
            index: digest
            for index, digest in found.items()
            if claimed[index] == digest or (compared and claimed[index] == "")
        }
        for index in claimed.keys() - trusted.keys():
            record.forget(index)
        if not trusted and self._part_there:
            self._using(self._empty_part)
        return trusted

    def _empty_part(self, connection: Connection) -> None:
        open_part(connection, self._job.part, fresh=True, held=True).close()

    def _send_missing(self, stream: Stream, record: UploadRecord, trusted: dict[int, str], reading: Reading) -> None:
        job, context = self._job, self._context
        # What is known to be the same file still is read from the first byte that the server does not have.
        first = _contiguous(trusted) if self._is_pinned() else 0
        if first and first * CHUNK_BYTES >= job.size:
            return
        there = set(range(first))
        kept = self._bytes_of(trusted)
        missing = -(-job.size // CHUNK_BYTES) - len(trusted)
        self._phase("sending")
        self._progress(kept)

        def acknowledged(chunk: Chunk) -> None:
            record.acknowledge(chunk.index, "" if reading.taken is None else chunk.digest)
            behind.add(chunk.index)

        def is_there(chunk: Chunk) -> bool:
            same = chunk.index in trusted and trusted[chunk.index] == chunk.digest
            if same:
                there.add(chunk.index)
                behind.add(chunk.index)
            return same

        chunks = read_chunks(self._chunks(stream, first * CHUNK_BYTES), job.size, first, reading)
        with self._following(there) as behind, ChunkQueue(chunks, is_there) as feed:
            lanes = UploadWorkers(
                context.pool,
                job.part,
                feed,
                rate_limiter=context.up,
                retry=context.retry,
                acknowledged=acknowledged,
                moved=lambda count: self._progress(min(kept + count, job.size)),
                opened=behind.start,
                held=self._part_there,
            )
            self._lanes.append(lanes)
            try:
                self._run(lanes, missing)
            finally:
                record.flush()
            self._phase("verifying")
            self._taken = behind.finish()
        if len(self._lanes) == 1:  # what the second sending finds there is the first one's work
            self._resumed = self._bytes_of(there)

    def _run(self, lanes: UploadWorkers, missing: int) -> None:
        """Sends over as many connections as were asked for, or as pay; never more than there are pieces."""
        context = self._context
        if context.connections is not None:
            lanes.run(max(1, min(context.connections, missing)))
            return
        climb = ConnectionScaler(context.pool.round_trip, lambda: max(1, min(context.pool.most, missing)))
        lanes.run(climb.to_begin, climb)

    @contextmanager
    def _following(self, there: Iterable[int]) -> Iterator[RollingHash]:
        """Has what arrives hashed while the rest is on its way: on the server, where it can, else by reading it back
        where all of it is to be read back anyway."""
        behind = RollingHash(None if self._job.verify == "samples" else self._follow, self._job.size)
        try:
            for index in sorted(there):
                behind.add(index)
            yield behind
        finally:
            behind.close()

    def _follow(self, connection: Connection) -> Following | None:
        part, size = self._job.part, self._job.size
        if (along := connection.hash_along(part)) is not None:
            return Following(along, Evidence.REMOTE_HASH)
        if connection.can_hash or not reads_all(self._job.verify, size):
            return None  # it hashes all of it at once, at the end
        along = connection.read_along(part, self._context.down.ranges)
        return None if along is None else Following(along, Evidence.READ_BACK)

    def _is_pinned(self) -> bool:
        """Whether a reading that begins in the middle is known to be of the file that the beginning is of.

        A local file is read whole anyway, for its hash."""
        origin = self._artifact.origin
        return isinstance(origin, WebFile) and (origin.validator is not None or self._artifact.digest is not None)

    def _prove(self, reading: Reading) -> Verification:
        """Compares the part with what was read, and what was read with what was promised."""
        if reading.sha256 is not None:
            self._refuse_wrong_source(reading.sha256)
        mode = self._job.verify
        if reading.sha256 is None and self._artifact.digest is not None and mode != "full":
            mode = "full"  # the promise is about the whole, and only the server has all of it in one place
        prover = self._prover("verifying")
        proof = prover.prove(
            self._job.part, reading.chunks, reading.sha256, mode, self._job.structure, taken=self._taken
        )
        if reading.sha256 is None and not proof.bad:
            self._refuse_wrong_source(proof.sha256)
        return proof

    def _place(self) -> None:
        job = self._job
        place(
            job.part,
            job.path,
            job.size,
            replace=job.replace,
            mtime=job.mtime,
            expected=job.expected,
            using=self._using,
            say=self._say,
        )

    # faults -------------------------------------------------------------------------------------------

    def _refuse_wrong_source(self, sha256: str | None) -> None:
        expected = self._artifact.digest
        if expected is not None and sha256 is not None and sha256 != expected.hex:
            raise wrong_source(self._artifact.name, expected, sha256)

    def _discard(self, record: UploadRecord) -> None:
        with suppress(UploaderError):  # the fault that led here is the one to tell
            self._using(lambda connection: connection.files.remove(self._job.part))
            record.remove()

    def _reading(self, stream: Stream, known: dict[int, str]) -> Reading:
        if isinstance(self._artifact.origin, LocalFile):
            return Reading.of_file(stream, self._job.size)
        return Reading.of_link(known)

    # small things -------------------------------------------------------------------------------------

    def _using(self, call: Callable[[Connection], T], /) -> T:
        def attempt() -> T:
            with self._context.pool.lease() as connection:
                return call(connection)

        return self._context.retry(attempt, lambda: self._steps_forward)

    def _chunks(self, stream: Stream, offset: int) -> Iterator[bytes]:
        """The source's bytes; those of a link come over the line, which the user may have limited."""
        origin, context = self._artifact.origin, self._context
        if not isinstance(origin, WebFile):
            return read_steadily(stream, offset, context.retry)
        supply = Supply(stream, context.retry, context.cancelled, context.down)
        # Ranges that nothing ties to one file could be of two.
        return read_ahead(supply, offset, self._job.size if origin.ranges and self._is_pinned() else None)

    def _prover(self, phase: str) -> Verifier:
        seen = 0

        def count(size: int) -> None:
            nonlocal seen
            seen += size
            self._steps_forward += 1
            self._progress(min(seen, self._job.size))

        self._phase(phase)
        return Verifier(self._using, self._job.size, rate_limiter=self._context.down, seen=count)

    def _bytes_of(self, chunks: Iterable[int]) -> int:
        return sum(min(CHUNK_BYTES, self._job.size - index * CHUNK_BYTES) for index in chunks)

    def _progress(self, done: int) -> None:
        self._context.observer(Progress(self._job.item, done, self._resumed))

    def _phase(self, name: str) -> None:
        if name != self._stretch:
            self._stretch = name
            self._context.observer(Phase(self._job.item, name))

    def _say(self, text: str) -> None:
        self._context.observer(Message(text, "note"))


def _contiguous(chunks: dict[int, str]) -> int:
    """How many pieces from the beginning are there without a gap."""
    count = 0
    while count in chunks:
        count += 1
    return count
