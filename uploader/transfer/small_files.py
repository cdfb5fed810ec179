"""Small files of this disk, sent, proven and placed together: the line is waited for once for all of them."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeVar

from uploader.artifact import LocalFile
from uploader.errors import Interrupted, RemoteExists, RemoteRefused, UploaderError, WrongBytes
from uploader.events import Phase, Progress
from uploader.placement import part_name
from uploader.remote.interface import Connection, Entry, SmallFile
from uploader.result import Evidence
from uploader.transfer.chunks import CHUNK_BYTES
from uploader.transfer.context import TransferContext
from uploader.transfer.rename import changed, is_another
from uploader.transfer.values import UploadJob, UploadResult

LARGEST = 1 << 20
"""Bytes up to which a file may be one of a bundle."""

AT_ONCE = 3
"""Bundles under way: each waits for the line, and hardly fills it."""

_MOST_FILES = 1000
_MOST_BYTES = 4 << 20


def is_small(job: UploadJob, context: TransferContext) -> bool:
    """Whether a file can go in a bundle: of this disk, proven in full, and not held to a rate to the byte."""
    local = isinstance(job.artifact.origin, LocalFile)
    return local and job.size <= LARGEST and job.verify != "samples" and context.up.rate is None


def bundles(jobs: Sequence[UploadJob]) -> list[list[UploadJob]]:
    """Cuts small files, in their order, into bundles of bounded number and size."""
    cut: list[list[UploadJob]] = []
    held = 0
    for job in jobs:
        if not cut or len(cut[-1]) == _MOST_FILES or held + job.size > _MOST_BYTES:
            cut.append([])
            held = 0
        cut[-1].append(job)
        held += job.size
    return cut


class SmallFiles:
    """Carries out the jobs of one bundle. Their final names are free, as far as was seen."""

    def __init__(self, jobs: Sequence[UploadJob], context: TransferContext) -> None:
        self.jobs = jobs
        self._context = context
        self._sent: dict[str, int] = {}

    def sent(self, item: str) -> int:
        """Payload bytes of that item that left this machine so far."""
        return self._sent.get(item, 0)

    def run(self) -> dict[str, UploadResult]:
        """Returns the items that were placed, by their names. What is not among them wants a `Step` of its own,
        which names what stands in its way. Raises Interrupted, and what a line raises that is lost for good."""
        paths = [job.path for job in self.jobs]
        with self._context.uploads.claim_all(self.jobs[0].target, paths) as ours:
            ready: dict[str, tuple[UploadJob, SmallUpload]] = {}
            for job in self.jobs:
                if job.path in ours and (small := self._read(job)) is not None:
                    ready[job.item] = (job, small)
            return self._context.retry(lambda: self._attempt(ready)) if ready else {}

    def _read(self, job: UploadJob) -> SmallUpload | None:
        """The file as it is to be sent; None for one that is not what it was."""
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

    def _attempt(self, ready: dict[str, tuple[UploadJob, SmallUpload]]) -> dict[str, UploadResult]:
        with self._context.pool.lease() as connection:
            return self._place(connection, ready)

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


TOGETHER = 512
"""Small files that are sent together."""


TOGETHER_BYTES = 8 << 20
"""Their bytes, all together: they are held in memory."""


class Sized(Protocol):
    """Something that takes bytes."""

    @property
    def size(self) -> int: ...


def goes_together(step: Sized) -> bool:
    """Whether a file is sent together with others: below a piece there is nothing to resume."""
    return step.size < CHUNK_BYTES


S = TypeVar("S", bound=Sized)


def groups(steps: Sequence[S], *, most: int, most_bytes: int) -> list[list[S]]:
    """Cuts steps, in their order, into groups of bounded number and size."""
    cut: list[list[S]] = []
    held = 0
    for step in steps:
        if not cut or len(cut[-1]) == most or held + step.size > most_bytes:
            cut.append([])
            held = 0
        cut[-1].append(step)
        held += step.size
    return cut


@dataclass(frozen=True)
class SmallUpload:
    """One file: `path` is its absolute final name; `mtime`, in seconds since 1970, is what it is to get, if any.
    `expected` are size and time of the only file that may be replaced, where not any may."""

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
        folder, name = posixpath.split(self.path)
        return posixpath.join(folder, part_name(name, self.sha256[:8]))


@dataclass(frozen=True)
class SmallPlaced:
    """How one of them ended well. `mtime` is what the server tells of it now."""

    evidence: Evidence
    mtime: int | None


def place_small(connection: Connection, files: Sequence[SmallUpload]) -> list[SmallPlaced | UploaderError]:
    """Returns for each file how it was placed or why it was not, in order. Raises NetworkError when the line is lost;
    it may then be called again with the same files."""
    remote = connection.files
    results: list[SmallPlaced | UploaderError | None] = [None] * len(files)
    results = list(remote.write_all([SmallFile(file.part, file.data, file.mtime) for file in files]))
    found = _proofs(connection, [(file.part, len(file.data)) for file in files])
    for at, (file, (_, sha256)) in enumerate(zip(files, found, strict=True)):
        if results[at] is None and sha256 != file.sha256:
            results[at] = sha256 if isinstance(sha256, RemoteRefused) else _wrong(file)
    _spare_others(connection, files, results)
    for replace in (False, True):
        chosen = [at for at, file in enumerate(files) if results[at] is None and file.replace is replace]
        pairs = [(files[at].part, files[at].path) for at in chosen]
        answers = remote.replace_all(pairs) if replace else remote.rename_all(pairs)
        for at, answer in zip(chosen, answers, strict=True):
            results[at] = answer if isinstance(answer, RemoteRefused) else None
    _take_back(connection, files, results)
    placed = [at for at, result in enumerate(results) if result is None]
    told = remote.stat_all([files[at].path for at in placed])
    for at, there in zip(placed, told, strict=True):
        results[at] = SmallPlaced(found[at][0], there.mtime if isinstance(there, Entry) else None)
    return [result for result in results if result is not None]


def _spare_others(
    connection: Connection, files: Sequence[SmallUpload], results: list[SmallPlaced | UploaderError | None]
) -> None:
    """Refuses what would replace another file than it was meant to. The new file itself may be there already, where the
    line was lost after it got its name."""
    held = [(at, file.expected) for at, file in enumerate(files) if results[at] is None and file.expected is not None]
    told = connection.files.stat_all([files[at].path for at, _ in held]) if held else []
    for (at, expected), there in zip(held, told, strict=True):
        file = files[at]
        entry = there if isinstance(there, Entry) else None
        if is_another(entry, expected) and is_another(entry, (len(file.data), file.mtime)):
            results[at] = changed(file.path)


def _proofs(
    connection: Connection, files: Sequence[tuple[str, int]]
) -> list[tuple[Evidence, str | RemoteRefused | None]]:
    """The sha256 of each file as the server has it: taken there, or of what is read back. A shell may see other folders
    than SFTP does: that it finds no such file says nothing of it."""
    taken = connection.hash_files([path for path, _ in files]) or [None] * len(files)
    # One byte more than was sent: a file that is too long is no whole file either.
    unknown = [(path, size + 1) for (path, size), sha256 in zip(files, taken, strict=True) if sha256 is None]
    read = iter(connection.files.read_all(unknown) if unknown else [])
    return [(Evidence.REMOTE_HASH, sha256) if sha256 else (Evidence.READ_BACK, _sum(next(read))) for sha256 in taken]


def _sum(data: bytes | RemoteRefused) -> str | RemoteRefused:
    return data if isinstance(data, RemoteRefused) else hashlib.sha256(data).hexdigest()


def _take_back(
    connection: Connection, files: Sequence[SmallUpload], results: list[SmallPlaced | UploaderError | None]
) -> None:
    """Removes the parts of what was not placed. A name that is taken by these very bytes counts as placed: it may have
    been, before the line was lost."""
    taken = [at for at, result in enumerate(results) if isinstance(result, RemoteExists)]
    if taken:
        found = _proofs(connection, [(files[at].path, len(files[at].data)) for at in taken])
        for at, (_, sha256) in zip(taken, found, strict=True):
            if sha256 == files[at].sha256:
                results[at] = None
                connection.files.remove(files[at].part)
    for at, result in enumerate(results):
        if isinstance(result, UploaderError):
            try:
                connection.files.remove(files[at].part)
            except RemoteRefused:
                continue  # why it was not placed is what matters


def _wrong(file: SmallUpload) -> WrongBytes:
    return WrongBytes(
        f"the server keeps other bytes than it was sent: {file.path}",
        remedy="Its disk or its SFTP server is faulty. The wrong part was removed.",
    )
