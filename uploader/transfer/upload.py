"""The upload of one file: look for it, send its part file, verify that, and rename it to the final name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from uploader.artifact import LocalFile, WebFile
from uploader.errors import Exists, RemoteRefused, UploaderError, WrongBytes
from uploader.events import Message, Phase, Progress
from uploader.remote.interface import Connection, Entry, RollingDigest
from uploader.result import Evidence
from uploader.sources.interface import Stream
from uploader.state.uploads import UploadRecord
from uploader.threads import BackgroundCall
from uploader.transfer.chunk_queue import ChunkQueue
from uploader.transfer.chunks import Chunk, ChunkLayout, Reading, drain, read_chunks, read_steadily
from uploader.transfer.connections import ConnectionScaler
from uploader.transfer.context import TransferContext
from uploader.transfer.range_readers import Supply
from uploader.transfer.read_ahead import read_ahead
from uploader.transfer.rename import open_part, place, taken, wrong_source
from uploader.transfer.rolling_hash import RemoteDigest, RollingHash
from uploader.transfer.upload_workers import UploadWorkers
from uploader.transfer.values import UploadJob, UploadResult
from uploader.transfer.verify import Expected, Verification, Verifier, Verify, reads_all

T = TypeVar("T")


class Upload:
    """The upload of one file."""

    def __init__(self, job: UploadJob, context: TransferContext) -> None:
        self._job = job
        self._context = context
        self._artifact = job.artifact
        self._layout = ChunkLayout(job.size, context.config.chunk_bytes)
        self._resumed = 0
        self._workers: list[UploadWorkers] = []
        self._taken: RemoteDigest | None = None
        self._last_phase = ""
        self._part_there = True

    @property
    def sent(self) -> int:
        """Payload bytes sent to the server so far, including bytes sent again."""
        return sum(workers.sent for workers in self._workers)

    def run(self) -> UploadResult:
        """Send the file. Return when the final name has verified bytes.

        Raises UploaderError when the source, the server or the state fails.
        """
        stream = self._job.open_stream()
        try:
            local = isinstance(self._artifact.origin, LocalFile)
            if self._artifact.digest is not None and local and not self._job.proven:
                self._phase("hashing")
                self._refuse_wrong_source(self._read_all(stream).sha256)
            # A file that appeared after the plan is safe without a look: the rename refuses a taken name, and the
            # verification finds a part file that is too long.
            absent = self._job.absent and not self._job.replace
            there, self._part_there = (None, False) if absent else self._look()
            if there is not None:
                if (kept := self._same(there, stream)) is not None:
                    return kept
                if there.is_folder or not self._job.replace:
                    raise taken(self._job.path)
            with self._context.uploads.claim(self._job.target, self._job.path) as record:
                try:
                    return self._send(stream, record)
                except WrongBytes:  # a part file with wrong bytes is useless
                    self._discard(record)
                    raise
        finally:
            stream.close()

    def _look(self) -> tuple[Entry | None, bool]:
        """Return the entry at the final name, and whether there is a part file."""
        names = [self._job.path, self._job.part]
        final, part = self._call(lambda connection: connection.files.stat_all(names))
        if isinstance(final, RemoteRefused):
            raise final
        return final, part is not None

    # the file at the final name -----------------------------------------------------------------------

    def _same(self, there: Entry, stream: Stream) -> UploadResult | None:
        """Return the result if the final name already has these bytes, else None."""
        if there.is_folder or there.size != self._job.size:
            return None
        self._phase("comparing")
        verifier, published = self._verifier("comparing"), self._artifact.digest
        if published is not None and (found := verifier.hash(self._job.path, self._job.size)) is not None:
            return UploadResult(True, found.evidence, found.sha256) if found.sha256 == published.hex else None

        def hash_there() -> RemoteDigest | None:
            return None if self._job.verify == "samples" else verifier.hash(self._job.path, self._job.size)

        with BackgroundCall(hash_there, name="compare") as hashing:  # both sides read at once
            reading = self._read_all(stream)
        self._refuse_wrong_source(reading.sha256)
        evidence = verifier.compare(self._job.path, self._expected(reading), known=hashing.result())
        return None if evidence is None else UploadResult(True, evidence, reading.sha256)

    def _read_all(self, stream: Stream) -> Reading:
        reading = self._reading(stream, {})
        chunks = read_chunks(self._blocks(stream, 0), self._layout, 0, reading)
        drain(chunks, self._context.cancelled, self._progress)
        stream.check()
        return reading

    # sending ------------------------------------------------------------------------------------------

    def _send(self, stream: Stream, record: UploadRecord) -> UploadResult:
        job = self._job
        trusted = self._trusted(record)
        reading = self._reading(stream, trusted)
        self._resumed = self._layout.bytes_of(trusted)
        for _ in range(2):  # send wrong chunks again once; a server that fails twice is faulty
            self._send_missing(stream, record, trusted, reading)
            stream.check()
            found = self._verify(reading)
            if not found.bad:
                break
            self._say(f"{len(found.bad)} chunk(s) of {job.part} arrived wrong and are sent again")
            trusted = {index: digest for index, digest in reading.chunks.items() if index not in found.bad}
            for index in found.bad:
                record.forget(index)
            if not trusted:  # SFTP writes do not shorten a part that is too long
                self._call(self._empty_part)
        else:
            raise WrongBytes(
                f"the server keeps other bytes than it was sent, twice: {job.path}",
                remedy="Its disk or its SFTP server is faulty. The wrong part was removed.",
            )
        try:
            place(self._context, job)
        except Exists:  # another program may have placed the same file in the meantime
            there, _ = self._look()
            if there is None or (kept := self._same(there, stream)) is None:
                raise
            self._discard(record)
            return replace(kept, bytes_sent=self.sent, resumed_from=self._resumed)
        record.remove()
        return UploadResult(False, found.evidence, reading.sha256 or found.sha256, self.sent, self._resumed)

    def _trusted(self, record: UploadRecord) -> dict[int, str]:
        """Return the digests of the usable chunks in the part file. Empty the part file if there are none.

        A chunk recorded with a digest must still have it. A chunk recorded without a digest counts only for a local
        file, because `is_present` compares it with the file.
        """
        job = self._job
        record.begin(self._artifact.identity, job.size, self._layout.chunk_bytes, job.part)
        claimed = record.chunks
        found = self._verifier("checking").digests(job.part, job.size, claimed) if claimed else {}
        compared = isinstance(self._artifact.origin, LocalFile)
        trusted = {
            index: digest
            for index, digest in found.items()
            if claimed[index] == digest or (compared and claimed[index] == "")
        }
        for index in claimed.keys() - trusted.keys():
            record.forget(index)
        if not trusted and self._part_there:
            self._call(self._empty_part)
        return trusted

    def _empty_part(self, connection: Connection) -> None:
        open_part(connection, self._job.part, fresh=True, held=True).close()

    def _send_missing(self, stream: Stream, record: UploadRecord, trusted: dict[int, str], reading: Reading) -> None:
        job, layout = self._job, self._layout
        # A source that is still the same file is read from the first byte that the server lacks.
        first = _prefix(trusted) if self._is_pinned() else 0
        if first and first == layout.count:
            return
        present = set(range(first))
        before = layout.bytes_of(trusted)
        self._phase("sending")
        self._progress(before)

        def acknowledged(chunk: Chunk) -> None:
            record.acknowledge(chunk.index, "" if reading.taken is None else chunk.digest)
            rolling.add(chunk.index)

        def is_present(chunk: Chunk) -> bool:
            same = chunk.index in trusted and trusted[chunk.index] == chunk.digest
            if same:
                present.add(chunk.index)
                rolling.add(chunk.index)
            return same

        chunks = read_chunks(self._blocks(stream, first * layout.chunk_bytes), layout, first, reading)
        ahead = self._context.config.chunks_ahead
        begin = None if job.verify == "samples" else self._begin_hash
        with RollingHash(begin, layout, first) as rolling, ChunkQueue(chunks, is_present, ahead) as queue:
            workers = UploadWorkers(
                self._context,
                job.part,
                queue,
                acknowledged=acknowledged,
                moved=lambda count: self._progress(min(before + count, job.size)),
                opened=rolling.start,
                held=self._part_there,
            )
            self._workers.append(workers)
            try:
                self._run_workers(workers, layout.count - len(trusted))
            finally:
                record.flush()
            self._phase("verifying")
            self._taken = rolling.finish()
        if len(self._workers) == 1:  # a second round finds the chunks that the first one sent
            self._resumed = layout.bytes_of(present)

    def _run_workers(self, workers: UploadWorkers, missing: int) -> None:
        """Send over the wanted number of connections, else let the scaler choose. Never use more than `missing`."""
        context = self._context
        if context.connections is not None:
            workers.run(max(1, min(context.connections, missing)))
            return
        pool = context.pool
        scaler = ConnectionScaler(pool.round_trip, lambda: max(1, min(pool.most, missing)), context.config)
        workers.run(scaler.to_begin, scaler)

    def _begin_hash(self, connection: Connection) -> tuple[RollingDigest, Evidence] | None:
        """Start the hash of the part file during the send: on the server, else by reading it back if that is due."""
        part = self._job.part
        if (digest := connection.hash_along(part)) is not None:
            return digest, Evidence.REMOTE_HASH
        if connection.abilities.hash or not reads_all(self._job.verify, self._job.size, self._context.config):
            return None  # then the whole file is hashed or sampled at the end
        digest = connection.read_along(part)
        return None if digest is None else (digest, Evidence.READ_BACK)

    def _is_pinned(self) -> bool:
        """Return True if a link that is read from its middle is known to be the same file still.

        A local file is always read whole, for its hash.
        """
        origin = self._artifact.origin
        return isinstance(origin, WebFile) and (origin.validator is not None or self._artifact.digest is not None)

    def _verify(self, reading: Reading) -> Verification:
        """Compare the part file with the bytes read, and the bytes read with the expected sha256."""
        self._refuse_wrong_source(reading.sha256)
        mode = self._job.verify
        if reading.sha256 is None and self._artifact.digest is not None:
            mode = "full"  # the sha256 covers the whole file, and only the server has all of it
        found = self._verifier("verifying", mode).verify(self._job.part, self._expected(reading), known=self._taken)
        if reading.sha256 is None and not found.bad:
            self._refuse_wrong_source(found.sha256)
        return found

    def _refuse_wrong_source(self, sha256: str | None) -> None:
        promised = self._artifact.digest
        if promised is not None and sha256 is not None and sha256 != promised.hex:
            raise wrong_source(self._artifact.name, promised, sha256)

    def _discard(self, record: UploadRecord) -> None:
        with suppress(UploaderError):  # the caller raises the first error
            self._call(lambda connection: connection.files.remove(self._job.part))
            record.remove()

    # shared parts -------------------------------------------------------------------------------------

    def _call(self, call: Callable[[Connection], T]) -> T:
        return self._context.with_connection(call)

    def _reading(self, stream: Stream, known: dict[int, str]) -> Reading:
        local = isinstance(self._artifact.origin, LocalFile)
        return Reading.of_file(stream, self._layout) if local else Reading.of_link(known)

    def _blocks(self, stream: Stream, offset: int) -> Iterator[bytes]:
        """Return the blocks of the source. The blocks of a link are read ahead, within the user's limit."""
        origin, context = self._artifact.origin, self._context
        if not isinstance(origin, WebFile):
            return read_steadily(stream, offset, context.retry)
        supply = Supply.of(context.limited(stream), context)
        # Without a validator or a digest, two ranges could come from two different files.
        return read_ahead(supply, offset, self._job.size if origin.ranges and self._is_pinned() else None)

    def _expected(self, reading: Reading) -> Expected:
        return Expected(self._job.size, reading.sha256, reading.chunks, self._job.structure)

    def _verifier(self, phase: str, mode: Verify | None = None) -> Verifier:
        compared = 0

        def count(size: int) -> None:
            nonlocal compared
            compared += size
            self._progress(min(compared, self._job.size))

        self._phase(phase)
        return Verifier(self._context, mode or self._job.verify, count)

    def _progress(self, done: int) -> None:
        self._context.observer(Progress(self._job.item, done, self._resumed))

    def _phase(self, name: str) -> None:
        if name != self._last_phase:
            self._last_phase = name
            self._context.observer(Phase(self._job.item, name))

    def _say(self, text: str) -> None:
        self._context.observer(Message(text, "note"))


def _prefix(chunks: dict[int, str]) -> int:
    """Return the number of contiguous chunks from the beginning."""
    count = 0
    while count in chunks:
        count += 1
    return count
