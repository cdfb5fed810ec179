"""One file that the server downloads by itself: start or join the job, watch it, prove the part, rename it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from uploader import server_download as jobs
from uploader.artifact import WebFile
from uploader.errors import (
    Busy,
    Interrupted,
    NotAModel,
    RemoteRefused,
    RouteUnavailable,
    SourceChanged,
    UploaderError,
    WrongBytes,
)
from uploader.events import Message, Phase, Progress
from uploader.remote.interface import Connection, Shell
from uploader.server_download import JobRecord, JobRecords, JobStatus, ServerFactsStore, ServerTools
from uploader.server_download.downloaders import PASSING, Order, Trouble, choose
from uploader.server_download.verify import ServerFileVerifier
from uploader.sources import ServerLink
from uploader.transfer.context import TransferContext
from uploader.transfer.rename import place, taken
from uploader.transfer.values import UploadJob, UploadResult

T = TypeVar("T")

_FIRST_POLL_SECONDS, _LAST_POLL_SECONDS = 0.1, 1.0
# While the part grows, this many polls ask for its size only: one SFTP request instead of a shell command.
_SIZE_POLLS = 5
_MOST_FRUITLESS = 3
STOP_SECONDS = 1.5
"""Seconds that ending all downloads on servers may take after Ctrl-C."""


@dataclass(frozen=True)
class ServerDownloadOptions:
    """What a server download needs besides its job.

    `hand` asks the source for a fresh link. It is None when the source is unknown: then no download can start, and one
    that runs or has ended can still be finished. `detach` does not wait for the end. `token` allows the server to get
    the source's token.
    """

    record: JobRecord
    job_records: JobRecords
    server_facts: ServerFactsStore
    hand: Callable[[], ServerLink] | None
    detach: bool = False
    token: bool = False


class ServerDownload:
    """One upload job for which the server downloads the file by itself."""

    sent = 0

    def __init__(self, job: UploadJob, context: TransferContext, options: ServerDownloadOptions) -> None:
        self._job = job
        self._context = context
        self._options = options
        self._key = jobs.key_of(job.part)
        self._host = "the source"
        self._fresh = False
        self._reached = 0
        self._resumed = 0
        self._is_resumed = False
        self._starting = threading.Lock()
        self._ours = False
        self._connection: Connection | None = None
        self.unsuited = False
        """True if only a download on the server failed, so that another route may succeed."""

    def run(self) -> UploadResult | None:
        """Return the result when the final name has proven bytes; None when the download runs on detached.

        Raises UploaderError when the server, the source or the proof fails.
        """
        job = self._job
        there = self._call(lambda connection: connection.files.stat(job.path))
        if there is not None:
            if not there.is_folder and there.size == job.size and (kept := self._file_verifier().same(job.path)):
                self._remove_former()
                return kept
            if there.is_folder or not job.replace:
                raise taken(job.path)
        with self._context.uploads.claim(job.target, job.path):
            try:
                return self._carry_out()
            except (WrongBytes, NotAModel):  # the part is certainly not the file
                self._discard()
                raise
            except RemoteRefused as error:  # on a full disk the job cannot write its state either
                if (free := self._free()) is not None and free < jobs.FULL_BYTES:
                    self.unsuited = False
                    raise jobs.disk_fault(free) from error
                raise

    def stop(self) -> bool:
        """Stop the download on the server, from another thread. Its part stays for the next run.

        Return True if, as far as we know, no download runs on the server now.
        """
        if not self._starting.acquire(timeout=STOP_SECONDS):
            return False
        try:
            if self._ours and self._connection is not None:  # no lease: it may have to wait for a connection
                jobs.stop(_shell(self._connection), self._key, silence_seconds=STOP_SECONDS)
        except UploaderError:
            return False
        else:
            return True
        finally:
            self._starting.release()

    def give_up(self) -> None:
        """Stop the job and remove its part and its state, because another route is used. A failure is ignored."""
        with suppress(UploaderError):
            self._call(lambda connection: jobs.stop(_shell(connection), self._key))
            self._discard()

    # the server's work --------------------------------------------------------------------------------

    def _carry_out(self) -> UploadResult | None:
        job = self._job
        status, size = self._call(self._status_and_size)
        done = status.state == "ended" and status.code == 0 and size == job.size
        if status.state == "running":
            self._ours = self._is_resumed = True
            self._reached = size
            self._options.job_records.save(self._options.record)
            self._say(f"the server is downloading {self._options.record.name} already: this run joins in")
        elif done:
            self._reached, self._is_resumed = size, True
        else:
            self._begin(status, size)
        self._resumed = self._reached
        if self._options.detach and not done:
            self._ours = False
            return None
        self._wait_until_whole()
        return self._finish()

    def _begin(self, status: JobStatus, size: int) -> None:
        """Start the download: where a job of ours ended, else at the first byte.

        Raises RemoteRefused when no fresh link is to be had. Raises RouteUnavailable when the server cannot do it.
        """
        hand = self._options.hand
        if hand is None:
            raise RemoteRefused(
                f"the download on the server ended after {size:,} of {self._job.size:,} bytes",
                remedy="Push the same source again: it goes on where it stopped.",
            )
        self._phase("resolving")
        link = self._context.retry(hand)
        order = self._order(link)
        resumes = _is_beginning(status) and order.ranges and 0 < size <= self._job.size and self._is_provable(status)
        self._is_resumed = self._is_resumed or resumes
        self._reached = size if resumes else 0
        self._host, self._fresh = link.host, True
        self._options.job_records.save(self._options.record)
        with self._starting:
            if self._context.cancelled.is_set():
                raise Interrupted("the transfer was stopped")
            self._ours = True
            try:
                self._call(lambda connection: self._start(connection, order, status, resumes=resumes))
            except (RouteUnavailable, RemoteRefused):
                self.unsuited = True
                if not resumes:
                    self._discard()
                raise

    def _order(self, link: ServerLink) -> Order:
        origin = self._job.artifact.origin
        if not isinstance(origin, WebFile):
            raise TypeError("a server downloads links alone")
        if link.header is not None and not self._options.token:
            self.unsuited = True
            raise RouteUnavailable(
                f"{link.host} gives this file to its token's owner alone, and no signed link to it",
                remedy="Use --via relay, or let the token go to the server with --token-on-server.",
            )
        # Without a validator and a digest, the rest of another file of the same size would go unnoticed.
        ranges = origin.ranges and (origin.validator is not None or self._job.artifact.digest is not None)
        return Order(
            *(link.link, self._job.part, self._job.size, origin.validator, ranges, link.plain),
            header=link.header,
        )

    def _is_provable(self, status: JobStatus) -> bool:
        """Return True if the proof finds wrong bytes in the part. After a restart only a digest finds lost writes."""
        return self._job.artifact.digest is not None or status.state != "reset"

    def _start(self, connection: Connection, order: Order, status: JobStatus, *, resumes: bool) -> None:
        shell = _shell(connection)
        if not resumes and jobs.look(shell, self._key).state != "running":  # the answer was lost
            connection.files.open_writer(self._job.part, fresh=True).close()
        if not connection.sees(self._job.part):
            raise jobs.elsewhere(self._job.part)
        tools = self._tools(connection)
        by = choose(tools.downloaders)
        if by is None:
            raise RouteUnavailable(f"the server cannot download by itself: {jobs.why_unable(tools)}")
        cut = jobs.REWIND_BYTES if resumes and status.state == "reset" else 0
        jobs.start(shell, self._key, order, by, tools, cut=cut)

    def _wait_until_whole(self) -> None:
        """Wait until the part is complete. Start the download again while each start adds bytes."""
        fruitless = 0
        while True:
            status, size = self._watch()
            if status.state == "running":
                self._call(lambda connection: jobs.stop(_shell(connection), self._key))
            if size > self._job.size:
                fault = self._wrong_size(size)
                self._discard()
                raise fault
            trouble = jobs.trouble_of(status) if status.state == "ended" else None
            if status.state == "ended" and size == self._job.size and (trouble is None or trouble in PASSING):
                return
            fruitless = 0 if size > self._reached else fruitless + 1
            if fruitless >= _MOST_FRUITLESS or not self._worth_another(status, trouble, moved=size > self._reached):
                fault = self._fault(status, trouble, size)
                if size == 0:
                    self._discard()
                raise fault
            self._begin(status, size)

    def _worth_another(self, status: JobStatus, trouble: Trouble | None, *, moved: bool) -> bool:
        if status.state in ("dead", "reset", "none"):
            return True
        if trouble is Trouble.STATUS and status.status in jobs.EXPIRED:
            return moved or not self._fresh  # a link expires; a server that refuses a fresh link refuses the next, too
        return trouble in PASSING and moved

    def _watch(self) -> tuple[JobStatus, int]:
        """Wait until the job ends or writes more than the promised size. Report the progress."""
        self._phase("fetching")
        pause, size_polls, before = _FIRST_POLL_SECONDS, 0, -1
        while True:
            size = self._call(self._size)
            self._context.observer(Progress(self._job.item, min(size, self._job.size), self._resumed))
            if size > before and size < self._job.size and size_polls < _SIZE_POLLS:
                size_polls += 1
            else:
                size_polls = 0
                status, size = self._call(self._status_and_size)
                if status.state != "running" or size > self._job.size:
                    return status, size
            before = size
            if self._context.cancelled.wait(pause):
                raise Interrupted("the transfer was stopped")
            pause = min(pause * 1.5, _LAST_POLL_SECONDS)

    # the end ------------------------------------------------------------------------------------------

    def _finish(self) -> UploadResult:
        job = self._job
        self._phase("verifying")
        verifier = self._file_verifier()
        verifier.refuse(self._options.record.name, allow_pickle=self._options.record.allow_pickle)
        evidence, sha256 = verifier.prove(resumed=self._is_resumed)
        place(self._context, job)
        self._forget()
        return UploadResult(False, evidence, sha256, resumed_from=self._resumed)

    def _fault(self, status: JobStatus, trouble: Trouble | None, size: int) -> UploaderError:
        """Return the error for a job that does not succeed, and set `unsuited`."""
        lasting = trouble not in (None, Trouble.DISK, Trouble.CHANGED)
        self.unsuited = lasting and (size == 0 or trouble not in PASSING)  # a part that has grown is worth another run
        if status.state != "ended":
            return RemoteRefused(
                "something on the server ends the download, again and again",
                remedy="Does the instance have enough memory? Or use --via relay.",
            )
        if trouble is None:
            return self._wrong_size(size)
        if trouble is Trouble.CERTIFICATE:
            with suppress(UploaderError):
                found = self._call(lambda connection: jobs.diagnose(_shell(connection)))
                return jobs.certificate_fault(self._host, found, time.time())
        if trouble is Trouble.GONE:
            with suppress(UploaderError):
                self._call(lambda connection: self._options.server_facts.forget_able(connection.facts.host_key))
        return jobs.fault_of(status, self._host, free=self._free() if trouble is Trouble.DISK else None)

    def _wrong_size(self, size: int) -> UploaderError:
        """Return the error for a part of the wrong size. Its first bytes show whether it is a web page."""
        try:
            self._file_verifier().refuse(self._options.record.name, allow_pickle=True, size=size)
        except WrongBytes:
            pass  # the sizes say already that it is not complete
        except NotAModel as error:
            self.unsuited = True
            return jobs.other_answer(self._host, error)
        return SourceChanged(
            f"{self._host} gave the server {size:,} bytes where it had promised {self._job.size:,}",
            remedy="Run the same command again, or use --via relay.",
        )

    def _forget(self) -> None:
        """Remove the state of the job, on the server and on this machine."""
        try:
            self._call(self._clear)
        except RemoteRefused as error:
            self._say(f"what the server kept of its download could not be removed: {error.message}")
        self._ours = False
        self._options.job_records.remove(self._options.record)

    def _remove_former(self) -> None:
        """Remove a former download of a file that is there already: its process, its part and its state."""

        def remove(connection: Connection) -> None:
            if connection.shell is not None and jobs.look(connection.shell, self._key).state != "none":
                jobs.stop(connection.shell, self._key)
                connection.files.remove(self._job.part)

        try:
            self._call(remove)
        except (Busy, RemoteRefused) as error:  # the file itself is there and right
            self._say(f"a download of {self._options.record.name} on the server was left alone: {error.message}")
            return
        self._forget()

    def _clear(self, connection: Connection) -> None:
        shell = _shell(connection)
        if jobs.look(shell, self._key).state not in ("none", "running"):
            jobs.clear(shell, self._key)

    def _discard(self) -> None:
        with suppress(UploaderError):  # the caller raises the first error
            self._call(lambda connection: connection.files.remove(self._job.part))
            self._forget()

    # small things -------------------------------------------------------------------------------------

    def _file_verifier(self) -> ServerFileVerifier:
        return ServerFileVerifier(self._job, self._context, readable=self._options.hand is not None)

    def _tools(self, connection: Connection) -> ServerTools:
        return self._options.server_facts.able(connection.facts.host_key, lambda: jobs.survey(_shell(connection)))

    def _free(self) -> int | None:
        """Return the free space on the part's disk in bytes; None when unknown."""
        folder = self._job.path.rpartition("/")[0] or "/"
        with suppress(UploaderError):
            return self._call(lambda connection: connection.files.free_bytes(folder))
        return None

    def _status_and_size(self, connection: Connection) -> tuple[JobStatus, int]:
        status = jobs.look(_shell(connection), self._key)
        return status, self._size(connection)

    def _size(self, connection: Connection) -> int:
        there = connection.files.stat(self._job.part)
        return 0 if there is None else there.size

    def _call(self, call: Callable[[Connection], T], /) -> T:
        def call_and_remember(connection: Connection) -> T:
            self._connection = connection
            return call(connection)

        return self._context.with_connection(call_and_remember)

    def _phase(self, name: str) -> None:
        self._context.observer(Phase(self._job.item, name))

    def _say(self, text: str) -> None:
        self._context.observer(Message(text, "note"))


def _is_beginning(status: JobStatus) -> bool:
    """Return True if the part of a job that is over may be the beginning of the file.

    A page in place of the file, or a part of another file, is no beginning.
    """
    if status.state == "ended":
        return jobs.trouble_of(status) not in (None, Trouble.CHANGED)
    return status.state in ("dead", "reset")


def _shell(connection: Connection) -> Shell:
    if connection.shell is None:
        raise RouteUnavailable("this account runs no commands", remedy="Leave --via out, or use --via relay.")
    return connection.shell
