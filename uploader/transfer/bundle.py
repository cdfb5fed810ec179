"""Small files of this disk, sent, proven and placed together: the line is waited for once for all of them."""

from __future__ import annotations

from collections.abc import Sequence

from uploader.artifact import LocalFile
from uploader.errors import Interrupted, UploaderError
from uploader.events import Phase, Progress
from uploader.remote.interface import Connection
from uploader.transfer.job import Job, Means, Result
from uploader.transfer.small import Small, SmallPlaced, place_small

LARGEST = 1 << 20
"""Bytes up to which a file may be one of a bundle."""

AT_ONCE = 3
"""Bundles under way: each waits for the line, and hardly fills it."""

_MOST_FILES = 1000
_MOST_BYTES = 4 << 20


def is_small(job: Job, means: Means) -> bool:
    """Whether a file can go in a bundle: of this disk, proven in full, and not held to a rate to the byte."""
    local = isinstance(job.artifact.origin, LocalFile)
    return local and job.size <= LARGEST and job.verify != "samples" and means.up.rate is None


def bundles(jobs: Sequence[Job]) -> list[list[Job]]:
    """Cuts small files, in their order, into bundles of bounded number and size."""
    cut: list[list[Job]] = []
    held = 0
    for job in jobs:
        if not cut or len(cut[-1]) == _MOST_FILES or held + job.size > _MOST_BYTES:
            cut.append([])
            held = 0
        cut[-1].append(job)
        held += job.size
    return cut


class Bundle:
    """Carries out the jobs of one bundle. Their final names are free, as far as was seen."""

    def __init__(self, jobs: Sequence[Job], means: Means) -> None:
        self.jobs = jobs
        self._means = means
        self._sent: dict[str, int] = {}

    def sent(self, item: str) -> int:
        """Payload bytes of that item that left this machine so far."""
        return self._sent.get(item, 0)

    def run(self) -> dict[str, Result]:
        """Returns the items that were placed, by their names. What is not among them wants a `Step` of its own,
        which names what stands in its way. Raises Interrupted, and what a line raises that is lost for good."""
        paths = [job.path for job in self.jobs]
        with self._means.journals.claim_all(self.jobs[0].target, paths) as ours:
            ready: dict[str, tuple[Job, Small]] = {}
            for job in self.jobs:
                if job.path in ours and (small := self._read(job)) is not None:
                    ready[job.item] = (job, small)
            return self._means.retrying(lambda: self._attempt(ready), lambda: 0) if ready else {}

    def _read(self, job: Job) -> Small | None:
        """The file as it is to be sent; None for one that is not what it was."""
        if self._means.cancelled.is_set():
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
        small = Small(job.path, data, job.mtime, job.replace)
        promised = job.artifact.digest
        if len(data) != job.size or (promised is not None and promised.hex != small.sha256):
            return None
        return small

    def _attempt(self, ready: dict[str, tuple[Job, Small]]) -> dict[str, Result]:
        with self._means.pool.lease() as connection:
            return self._place(connection, ready)

    def _place(self, connection: Connection, ready: dict[str, tuple[Job, Small]]) -> dict[str, Result]:
        for item, (job, _) in ready.items():
            self._means.observer(Phase(item, "sending"))
            self._sent[item] = self._sent.get(item, 0) + job.size
        placed = place_small(connection, [small for _, small in ready.values()])
        results: dict[str, Result] = {}
        for (item, (job, small)), end in zip(ready.items(), placed, strict=True):
            if isinstance(end, SmallPlaced):
                self._means.observer(Progress(item, job.size))
                results[item] = Result(False, end.evidence, small.sha256, self._sent[item], mtime=end.mtime)
        return results
