"""One file that the server downloads by itself: started or joined, watched, proven, and only then named."""

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

_FIRST_GLANCE, _LATER_GLANCE = 0.1, 1.0
_BLIND_GLANCES = 5
_FRUITLESS = 3
STOP_SECONDS = 1.5
"""Seconds that ending all downloads on servers may take after Ctrl-C."""


@dataclass(frozen=True)
class ServerDownloadOptions:
    """What a download needs beside its job.

    `hand` asks the source for a fresh link; None where no link can be had, and then only what runs or is done is seen
    to. `token`: the source's token may go to the server.
    """

    record: JobRecord
    job_records: JobRecords
    server_facts: ServerFactsStore
    hand: Callable[[], ServerLink] | None
    detach: bool = False
    token: bool = False


class ServerDownload:
    """The download of one file by the server: no byte of it passes through this machine."""

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
        self._line: Connection | None = None
        self.unsuited = False
        """Whether the failure lies in this way of fetching, so that another way may work."""

    def run(self) -> UploadResult | None:
        """Return when the final name has proven bytes; None once the download goes on by itself, detached.

        Raises the errors of the source and of the server.
        """
        job = self._job
        there = self._call(lambda connection: connection.files.stat(job.path))
        if there is not None:
            if not there.is_folder and there.size == job.size and (kept := self._arrived().same(job.path)):
                self._put_away()
                return kept
            if there.is_folder or not job.replace:
                raise taken(job.path)
        with self._context.uploads.claim(job.target, job.path):
            try:
                return self._carry_out()
            except (WrongBytes, NotAModel):  # what the part holds is known to be no file at all
                self._discard()
                raise
            except RemoteRefused as error:  # where nothing can be written, the state cannot be either
                if (free := self._free()) is not None and free < jobs.FULL_BYTES:
                    self.unsuited = False
                    raise jobs.disk_fault(free) from error
                raise

    def stop(self) -> bool:
        """End the download on the server, from another thread; its part stays for the next run.

        Return whether none goes on, as far as is known.
        """
        if not self._starting.acquire(timeout=STOP_SECONDS):
            return False
        try:
            if self._ours and self._line is not None:  # not by a lease: another thread may keep the last connection
                jobs.stop(_shell(self._line), self._key, silence_seconds=STOP_SECONDS)
        except UploaderError:
            return False
        else:
            return True
        finally:
            self._starting.release()

    def give_up(self) -> None:
        """Leave nothing on the server: the file is sent another way."""
        with suppress(UploaderError):
            self._call(lambda connection: jobs.stop(_shell(connection), self._key))
            self._discard()

    # the server's work --------------------------------------------------------------------------------

    def _carry_out(self) -> UploadResult | None:
        job = self._job
        status, size = self._call(self._glance)
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
        self._see_through()
        return self._finish()

    def _begin(self, status: JobStatus, size: int) -> None:
        """Start the download: from where a job of ours ended, else from the first byte."""
        hand = self._options.hand
        if hand is None:
            raise RemoteRefused(
                f"the download on the server ended after {size:,} of {self._job.size:,} bytes",
                remedy="Push the same source again: it goes on where it stopped.",
            )
        self._phase("resolving")
        handed = self._context.retry(hand)
        order = self._order(handed)
        goes_on = _sound(status) and order.ranges and 0 < size <= self._job.size and self._shows(status)
        self._is_resumed = self._is_resumed or goes_on
        self._reached = size if goes_on else 0
        self._host, self._fresh = handed.host, True
        self._options.job_records.save(self._options.record)
        with self._starting:
            if self._context.cancelled.is_set():
                raise Interrupted("the transfer was stopped")
            self._ours = True
            try:
                self._call(lambda connection: self._start(connection, order, status, goes_on=goes_on))
            except (RouteUnavailable, RemoteRefused):
                self.unsuited = True
                if not goes_on:
                    self._discard()
                raise

    def _order(self, handed: ServerLink) -> Order:
        origin = self._job.artifact.origin
        if not isinstance(origin, WebFile):
            raise TypeError("a server downloads links alone")
        if handed.header is not None and not self._options.token:
            self.unsuited = True
            raise RouteUnavailable(
                f"{handed.host} gives this file to its token's owner alone, and no signed link to it",
                remedy="Use --via relay, or let the token go to the server with --token-on-server.",
            )
        # Without a validator another file of the same size would be gone on with, and without a digest placed.
        ranges = origin.ranges and (origin.validator is not None or self._job.artifact.digest is not None)
        return Order(
            *(handed.link, self._job.part, self._job.size, origin.validator, ranges, handed.plain),
            header=handed.header,
        )

    def _shows(self, status: JobStatus) -> bool:
        """Whether a wrong beginning shows in the end. What a machine lost in a crash shows by the digest alone."""
        return self._job.artifact.digest is not None or status.state != "reset"

    def _start(self, connection: Connection, order: Order, status: JobStatus, *, goes_on: bool) -> None:
        shell = _shell(connection)
        if not goes_on and jobs.look(shell, self._key).state != "running":  # an attempt whose answer was lost
            connection.files.open_writer(self._job.part, fresh=True).close()
        if not connection.sees(self._job.part):
            raise jobs.elsewhere(self._job.part)
        able = self._able(connection)
        by = choose(able.downloaders)
        if by is None:
            raise RouteUnavailable(f"the server cannot download by itself: {jobs.why_unable(able)}")
        cut = jobs.REWIND_BYTES if goes_on and status.state == "reset" else 0
        jobs.start(shell, self._key, order, by, able, cut=cut)

    def _see_through(self) -> None:
        """Return when the part is whole; start again as long as that leads on."""
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
            if fruitless >= _FRUITLESS or not self._worth_another(status, trouble, moved=size > self._reached):
                fault = self._fault(status, trouble, size)
                if size == 0:
                    self._discard()
                raise fault
            self._begin(status, size)

    def _worth_another(self, status: JobStatus, trouble: Trouble | None, *, moved: bool) -> bool:
        if status.state in ("dead", "reset", "none"):
            return True
        if trouble is Trouble.STATUS and status.status in jobs.EXPIRED:
            return moved or not self._fresh  # a link that ran out; a fresh one that is refused stays refused
        return trouble in PASSING and moved

    def _watch(self) -> tuple[JobStatus, int]:
        """Wait for the job to end, or to write more than was promised. Report the progress."""
        self._phase("fetching")
        pause, blind, before = _FIRST_GLANCE, 0, -1
        while True:
            size = self._call(self._size)
            self._context.observer(Progress(self._job.item, min(size, self._job.size), self._resumed))
            if size > before and size < self._job.size and blind < _BLIND_GLANCES:
                blind += 1
            else:
                blind = 0
                status, size = self._call(self._glance)
                if status.state != "running" or size > self._job.size:
                    return status, size
            before = size
            if self._context.cancelled.wait(pause):
                raise Interrupted("the transfer was stopped")
            pause = min(pause * 1.5, _LATER_GLANCE)

    # the end ------------------------------------------------------------------------------------------

    def _finish(self) -> UploadResult:
        job = self._job
        self._phase("verifying")
        arrived = self._arrived()
        arrived.refuse(self._options.record.name, allow_pickle=self._options.record.allow_pickle)
        evidence, sha256 = arrived.prove(resumed=self._is_resumed)
        place(self._context, job)
        self._forget()
        return UploadResult(False, evidence, sha256, resumed_from=self._resumed)

    def _fault(self, status: JobStatus, trouble: Trouble | None, size: int) -> UploaderError:
        """Return the error of a job that will not do. Its part is removed where it is of no use."""
        lasting = trouble not in (None, Trouble.DISK, Trouble.CHANGED)
        self.unsuited = lasting and (size == 0 or trouble not in PASSING)  # what came so far is worth another try
        if status.state != "ended":
            return RemoteRefused(
                "the download on the server is ended there from outside, again and again",
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
        """Return the error of a wrong size: perhaps the source sent a page, which its first bytes tell."""
        try:
            self._arrived().refuse(self._options.record.name, allow_pickle=True, size=size)
        except WrongBytes:
            pass  # that it is not whole is what the sizes say
        except NotAModel as error:
            self.unsuited = True
            return jobs.other_answer(self._host, error)
        return SourceChanged(
            f"{self._host} gave the server {size:,} bytes where it had promised {self._job.size:,}",
            remedy="Run the same command again, or use --via relay.",
        )

    def _forget(self) -> None:
        """Remove the state of the job, on the server and here."""
        try:
            self._call(self._clear)
        except RemoteRefused as error:
            self._say(f"what the server kept of its download could not be removed: {error.message}")
        self._ours = False
        self._options.job_records.remove(self._options.record)

    def _put_away(self) -> None:
        """Remove a download that is no longer needed: its process, its part and its state."""

        def away(connection: Connection) -> None:
            if connection.shell is not None and jobs.look(connection.shell, self._key).state != "none":
                jobs.stop(connection.shell, self._key)
                connection.files.remove(self._job.part)

        try:
            self._call(away)
        except (Busy, RemoteRefused) as error:  # the file is there all the same
            self._say(f"a download of {self._options.record.name} on the server was left alone: {error.message}")
            return
        self._forget()

    def _clear(self, connection: Connection) -> None:
        shell = _shell(connection)
        if jobs.look(shell, self._key).state not in ("none", "running"):
            jobs.clear(shell, self._key)

    def _discard(self) -> None:
        with suppress(UploaderError):  # the fault that led here is the one to tell
            self._call(lambda connection: connection.files.remove(self._job.part))
            self._forget()

    # small things -------------------------------------------------------------------------------------

    def _arrived(self) -> ServerFileVerifier:
        return ServerFileVerifier(self._job, self._context, readable=self._options.hand is not None)

    def _able(self, connection: Connection) -> ServerTools:
        return self._options.server_facts.able(connection.facts.host_key, lambda: jobs.survey(_shell(connection)))

    def _free(self) -> int | None:
        """Return the bytes left on the part's disk, None when not told."""
        folder = self._job.path.rpartition("/")[0] or "/"
        with suppress(UploaderError):
            return self._call(lambda connection: connection.files.free_bytes(folder))
        return None

    def _glance(self, connection: Connection) -> tuple[JobStatus, int]:
        status = jobs.look(_shell(connection), self._key)
        return status, self._size(connection)

    def _size(self, connection: Connection) -> int:
        there = connection.files.stat(self._job.part)
        return 0 if there is None else there.size

    def _call(self, call: Callable[[Connection], T], /) -> T:
        def remembered(connection: Connection) -> T:
            self._line = connection
            return call(connection)

        return self._context.with_connection(remembered)

    def _phase(self, name: str) -> None:
        self._context.observer(Phase(self._job.item, name))

    def _say(self, text: str) -> None:
        self._context.observer(Message(text, "note"))


def _sound(status: JobStatus) -> bool:
    """Whether an ended job left the beginning of the file, as far as it can tell.

    A page in the file's place, or the rest of another file, is not.
    """
    if status.state == "ended":
        return jobs.trouble_of(status) not in (None, Trouble.CHANGED)
    return status.state in ("dead", "reset")


def _shell(connection: Connection) -> Shell:
    if connection.shell is None:
        raise RouteUnavailable("this account runs no commands", remedy="Leave --via out, or use --via relay.")
    return connection.shell
