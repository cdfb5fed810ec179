"""`jobs`: list the downloads that servers do for us, wait for one, cancel one."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from functools import partial

from uploader import server_download as jobs
from uploader.artifact import Artifact, Kind, WebFile
from uploader.errors import RouteUnavailable, UploaderError, UsageError
from uploader.events import Planned
from uploader.placement import part_name
from uploader.remote.interface import Connection, Shell
from uploader.result import Outcome, Report
from uploader.server_download import JobRecord, JobStatus
from uploader.server_download.run import ServerDownload, ServerDownloadOptions
from uploader.session.placed import note, seen_now, tolerant
from uploader.session.runner import Runner, Task
from uploader.session.session import Session
from uploader.session.target import TargetSession
from uploader.sources import Stream
from uploader.state.targets import is_address
from uploader.steps import Route
from uploader.transfer import UploadJob, Verify
from uploader.webui.notify import notify


def list_jobs(session: Session) -> list[JobView]:
    """Return all jobs. Each target is asked once. The jobs of a target that does not answer are `unknown`."""
    by_target: dict[str, list[JobRecord]] = defaultdict(list)
    for record in session.job_records.all():
        by_target[record.target].append(record)
    views: list[JobView] = []
    for name, job_records in by_target.items():
        try:
            with TargetSession(session, name, attempts=1) as target:
                views += target.with_connection(partial(_views, job_records))
        except UploaderError as error:
            views += [JobView(record, "unknown", reason=error.message) for record in job_records]
    return sorted(views, key=lambda view: (view.record.began, view.record.id))


def wait_for_job(id: str, session: Session) -> Report:
    """Wait for a job, prove and place what it downloaded. Raises UsageError for an unknown id."""
    record = session.job_records.get(id)
    known = Outcome(
        record.target,
        record.source,
        "failed",
        name=record.name,
        kind=Kind(record.kind),
        route=Route.SERVER.value,
        path=record.path,
        size=record.size,
    )
    with TargetSession(session, record.target) as target:
        job = _job(record)
        options = ServerDownloadOptions(record, session.job_records, session.server_facts, None)
        download = ServerDownload(job, target.transfer, options)

        def run() -> Outcome:
            result = download.run()
            if result is None:
                raise TypeError("a download that is waited for ends")
            seen = seen_now(target.with_connection, job.path)
            tolerant(partial(note, target.manifest, job.path, job.artifact, result, seen), session.observer)
            return replace(
                known, status="kept" if result.kept else "placed", sha256=result.sha256, evidence=result.evidence
            )

        session.observer(Planned(1, record.size))
        # Ctrl-C ends the wait and not the download, because the user started it detached.
        runner = Runner(session.observer, target.cancelled, target.pool.interrupt)
        outcomes = runner.run([Task(record.path, known, run)])
        if record.notify and not target.cancelled.is_set():
            outcomes = notify(outcomes, target.target, session, target.pool, select=False, cancelled=target.cancelled)
        return Report(tuple(outcomes), stopped=target.cancelled.is_set())


def cancel_job(id: str, session: Session) -> Cancelled:
    """End a job and remove its part, its state and its record. Raises UsageError for an unknown id.

    Raises the error of the connection when the server cannot be asked; the record stays then. For a target that is no
    longer saved only the record is removed.
    """
    record = session.job_records.get(id)
    there = is_address(record.target) or record.target in {target.name for target in session.targets.all()}
    left: str | None = None
    if there:
        with TargetSession(session, record.target) as target:
            left = target.with_connection(partial(_cancel, record))
    session.job_records.remove(record)
    return Cancelled(record, there, left)


def _views(job_records: list[JobRecord], connection: Connection) -> list[JobView]:
    shell = _shell(connection)
    views: list[JobView] = []
    for record in job_records:
        status = jobs.look(shell, jobs.key_of(record.part))
        there = connection.files.stat(record.part)
        views.append(JobView(record, _state(status, record), there.size if there else None))
    return views


def _state(status: JobStatus, record: JobRecord) -> str:
    match status.state:
        case "running":
            return "running"
        case "ended":
            return "finished" if status.code == 0 and status.size == record.size else "failed"
        case "none":
            return "gone"
        case _:
            return "stopped"


def _cancel(record: JobRecord, connection: Connection) -> str | None:
    """Return the part file that stays: a server that knows of no such download may have it from another program."""
    shell, key = _shell(connection), jobs.key_of(record.part)
    if jobs.look(shell, key).state == "none":
        return None if connection.files.stat(record.part) is None else record.part
    jobs.stop(shell, key)
    connection.files.remove(record.part)
    jobs.clear(shell, key)
    return None


def _job(record: JobRecord) -> UploadJob:
    folder, _, part = record.part.rpartition("/")
    name = record.final.rpartition("/")[2]
    identity = part.removeprefix(f"{name}.").removesuffix(".part")
    if record.part != f"{folder}/{part_name(name, identity)}":
        raise UsageError(f"the job {record.id} names no part file of ours", remedy="Push the same source again.")
    # The link is not saved, because it may be a secret. So nothing can be read from the source again.
    origin = WebFile("", None, ranges=False)
    artifact = Artifact(record.source, record.name, record.size, origin, identity, record.digest, Kind(record.kind))
    return UploadJob(
        record.path,
        artifact,
        _no_stream,
        record.final,
        record.target,
        record.size,
        replace=record.replace,
        verify=_proof(record),
    )


def _proof(record: JobRecord) -> Verify:
    match record.verify:
        case "full" | "samples" as verify:
            return verify
    return "auto"


def _no_stream() -> Stream:
    raise RouteUnavailable("the link of a job is not kept", remedy="Push the same source again.")


def _shell(connection: Connection) -> Shell:
    if connection.shell is None:
        raise RouteUnavailable("this account runs no commands any more")
    return connection.shell


@dataclass(frozen=True)
class JobView:
    """A download that a server does for us, as it is now. `done` is in bytes, None if not known.

    `state` is `running`, `finished` (not yet proven and placed), `failed`, or `stopped`. It is `gone` when the server
    knows nothing of it, and `unknown` for that `reason`.
    """

    record: JobRecord
    state: str
    done: int | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Cancelled:
    """A job that was cancelled. `there` is True if the server was asked, False if the target is no longer saved.

    `left` is the part file that stays on a server which knows of no such download.
    """

    record: JobRecord
    there: bool
    left: str | None = None
