"""Small local files, sent, verified and placed together: all of them wait for the line once."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from uploader.artifact import LocalFile
from uploader.errors import Interrupted, RemoteExists, RemoteRefused, UploaderError, WrongBytes
from uploader.events import Phase, Progress
from uploader.placement import part_name
from uploader.remote.interface import Connection, Entry, SmallFile
from uploader.result import Evidence
from uploader.transfer.context import TransferContext
from uploader.transfer.rename import changed, is_another
from uploader.transfer.rolling_hash import RemoteDigest
from uploader.transfer.values import UploadJob, UploadResult
from uploader.transfer.verify import hash_many


def is_small(job: UploadJob, context: TransferContext) -> bool:
    """Return True if a push sends this file together with others: a local file, verified in full, without a limit."""
    local = isinstance(job.artifact.origin, LocalFile)
    return local and job.size <= context.config.small_bytes and job.verify != "samples" and context.limit.rate is None


class SmallFiles:
    """The upload of one batch of jobs. Their final names were seen to be free."""

    def __init__(self, jobs: Sequence[UploadJob], context: TransferContext) -> None:
        self.jobs = jobs
        self._context = context
        self._sent: dict[str, int] = {}

    def sent(self, item: str) -> int:
        """Return the payload bytes of that item that left this machine so far."""
        return self._sent.get(item, 0)

    def run(self) -> dict[str, UploadResult]:
        """Return the placed items by their names. A missing one needs an `Upload` of its own, which tells the error.

        Raises Interrupted, and the NetworkError that no retry mends.
        """
        paths = [job.path for job in self.jobs]
        with self._context.uploads.claim_all(self.jobs[0].target, paths) as ours:
            ready: dict[str, tuple[UploadJob, SmallUpload]] = {}
            for job in self.jobs:
                if job.path in ours and (small := self._read(job)) is not None:
                    ready[job.item] = (job, small)
            return self._context.with_connection(lambda connection: self._place(connection, ready)) if ready else {}

    def _read(self, job: UploadJob) -> SmallUpload | None:
        """Return the file as it is to be sent, or None when it is not what it was."""
        if self._context.cancelled.is_set():
            raise Interrupted("the transfer was stopped")
        try:
            stream = job.open_stream()
            try:
                data = stream.slice(0, job.size)
                stream.check()
            finally:
                stream.close()
        except UploaderError:
            return None
        small = SmallUpload(job.path, data, job.mtime, job.replace)
        promised = job.artifact.digest
        if len(data) != job.size or (promised is not None and promised.hex != small.sha256):
            return None
        return small

    def _place(
        self, connection: Connection, ready: dict[str, tuple[UploadJob, SmallUpload]]
    ) -> dict[str, UploadResult]:
        for item, (job, _) in ready.items():
            self._context.observer(Phase(item, "sending"))
            self._sent[item] = self._sent.get(item, 0) + job.size
        placed = place_small(connection, [small for _, small in ready.values()])
        results: dict[str, UploadResult] = {}
        for (item, (job, small)), end in zip(ready.items(), placed, strict=True):
            if isinstance(end, SmallPlaced):
                self._context.observer(Progress(item, job.size))
                results[item] = UploadResult(False, end.evidence, small.sha256, self._sent[item], mtime=end.mtime)
        return results


@dataclass(frozen=True)
class SmallUpload:
    """One small file. `path` is its absolute final name; `mtime`, in seconds, the time that it shall have there.

    With `expected`, only a file of that size and time may be replaced.
    """

    path: str
    data: bytes
    mtime: int | None = None
    replace: bool = False
    expected: tuple[int, int | None] | None = None

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def part(self) -> str:
        """The absolute name of the part file."""
        folder, name = posixpath.split(self.path)
        return posixpath.join(folder, part_name(name, self.sha256[:8]))


@dataclass(frozen=True)
class SmallPlaced:
    """How one of them ended well. `mtime` is the time, in seconds, that the server tells of it now."""

    evidence: Evidence
    mtime: int | None


def place_small(connection: Connection, files: Sequence[SmallUpload]) -> list[SmallPlaced | UploaderError]:
    """Return for each file how it was placed or why it was not, in order.

    Raises NetworkError when the connection is lost; it may then be called again with the same files.
    """
    remote = connection.files
    results: list[SmallPlaced | UploaderError | None] = [None] * len(files)
    results = list(remote.write_all([SmallFile(file.part, file.data, file.mtime) for file in files]))
    found = hash_many(connection, [(file.part, len(file.data)) for file in files])
    for at, (file, digest) in enumerate(zip(files, found, strict=True)):
        if results[at] is None and not _is(digest, file):
            results[at] = digest if isinstance(digest, RemoteRefused) else _wrong(file)
    _spare_others(connection, files, results)
    for replace in (False, True):
        chosen = [at for at, file in enumerate(files) if results[at] is None and file.replace is replace]
        pairs = [(files[at].part, files[at].path) for at in chosen]
        answers = remote.replace_all(pairs) if replace else remote.rename_all(pairs)
        for at, answer in zip(chosen, answers, strict=True):
            results[at] = answer if isinstance(answer, RemoteRefused) else None
    evidence = [digest.evidence if isinstance(digest, RemoteDigest) else Evidence.SIZE for digest in found]
    _clean_up(connection, files, results)
    placed = [at for at, result in enumerate(results) if result is None]
    told = remote.stat_all([files[at].path for at in placed])
    for at, there in zip(placed, told, strict=True):
        results[at] = SmallPlaced(evidence[at], there.mtime if isinstance(there, Entry) else None)
    return [result for result in results if result is not None]


def _spare_others(
    connection: Connection, files: Sequence[SmallUpload], results: list[SmallPlaced | UploaderError | None]
) -> None:
    """Refuse what would replace another file than the expected one. The new file itself may be there already, where
    the connection was lost after the rename."""
    held = [(at, file.expected) for at, file in enumerate(files) if results[at] is None and file.expected is not None]
    told = connection.files.stat_all([files[at].path for at, _ in held]) if held else []
    for (at, expected), there in zip(held, told, strict=True):
        file = files[at]
        entry = there if isinstance(there, Entry) else None
        if is_another(entry, expected) and is_another(entry, (len(file.data), file.mtime)):
            results[at] = changed(file.path)


def _clean_up(
    connection: Connection, files: Sequence[SmallUpload], results: list[SmallPlaced | UploaderError | None]
) -> None:
    """Remove the part files that were not placed. A name that is taken by these very bytes counts as placed: the rename
    may have come before the connection was lost."""
    taken = [at for at, result in enumerate(results) if isinstance(result, RemoteExists)]
    if taken:
        found = hash_many(connection, [(files[at].path, len(files[at].data)) for at in taken])
        for at, digest in zip(taken, found, strict=True):
            if _is(digest, files[at]):
                results[at] = None
                connection.files.remove(files[at].part)
    for at, result in enumerate(results):
        if isinstance(result, UploaderError):
            try:
                connection.files.remove(files[at].part)
            except RemoteRefused:
                continue  # why it was not placed is what matters


def _is(digest: RemoteDigest | RemoteRefused | None, file: SmallUpload) -> bool:
    return isinstance(digest, RemoteDigest) and digest.sha256 == file.sha256


def _wrong(file: SmallUpload) -> WrongBytes:
    return WrongBytes(
        f"the server keeps other bytes than it was sent: {file.path}",
        remedy="Its disk or its SFTP server is faulty. The wrong part was removed.",
    )
