"""The route `server` of one push: whether the server can download by itself, and its downloads."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from uploader import server_download as jobs
from uploader.artifact import WebFile
from uploader.commands.push.plan import Item, Reach, RemoteListing, settle_route
from uploader.commands.push.request import PushRequest
from uploader.errors import Busy, RemoteRefused, RouteUnavailable, UploaderError
from uploader.events import Message
from uploader.placement import part_name
from uploader.remote.interface import Connection
from uploader.server_download import JobRecord
from uploader.server_download.downloaders import choose
from uploader.server_download.run import STOP_SECONDS, ServerDownload, ServerDownloadOptions
from uploader.session.session import Session
from uploader.session.target import TargetSession
from uploader.sources import Sources, hand_over
from uploader.steps import Route
from uploader.transfer import UploadJob


def settle(
    connection: Connection, items: Sequence[Item], request: PushRequest, session: Session
) -> list[tuple[Item, UploaderError | None]]:
    """Return each item with its route, or with the error that it has none. Send the server at most one command."""
    links = any(isinstance(item.artifact.origin, WebFile) for item in items)
    reach = _reach(connection, session) if links and request.via in ("auto", "server") else Reach(None)
    settled: list[tuple[Item, UploaderError | None]] = []
    for item in items:
        try:
            whole, alone = request.verify == "full", request.detach and item.beside is None
            settled.append((settle_route(item, request.via, reach, whole=whole, alone=alone), None))
        except RouteUnavailable as error:
            settled.append((item, error))
    if request.limit and any(item.route is Route.SERVER for item, _ in settled):
        text = "--limit is about this machine's line: the server downloads at its own speed"
        session.observer(Message(text, "note"))
    return settled


def with_job(connection: Connection, item: Item, listing: RemoteListing) -> RemoteListing:
    """Return the listing with the state of the server's own download of the part file."""
    if item.route is not Route.SERVER or listing.part is None or connection.shell is None:
        return listing
    with suppress(RemoteRefused):
        match jobs.look(connection.shell, _key(connection, item)).state:
            case "running":
                return replace(listing, job="running")
            case "ended" | "dead" | "reset":
                return replace(listing, job="left")
    return listing


def _reach(connection: Connection, session: Session) -> Reach:
    shell = connection.shell
    if shell is None:
        return Reach(None, "its account runs no commands")
    try:
        able = session.server_facts.able(connection.facts.host_key, lambda: jobs.survey(shell))
    except RemoteRefused as error:
        return Reach(None, error.message)
    if (reason := jobs.why_unable(able)) is not None:
        return Reach(None, reason)
    best = choose(able.downloaders)
    return Reach(best.name if best else None)


class ServerDownloads:
    """The server's own downloads in one push. `shell`: the server runs commands."""

    def __init__(self, request: PushRequest, target: TargetSession, sources: Sources, *, shell: bool) -> None:
        self._request = request
        self._target = target
        self._sources = sources
        self._shell = shell
        self._running: dict[str, ServerDownload] = {}

    def prepare(self, item: Item, job: UploadJob) -> ServerDownload:
        """Return the download for an item of route `server`."""
        record = JobRecord(
            target=job.target,
            source=item.artifact.source,
            name=item.name,
            kind=item.kind.value,
            path=item.path,
            final=job.path,
            part=job.part,
            size=job.size,
            sha256=None if item.artifact.digest is None else item.artifact.digest.hex,
            replace=job.replace,
            allow_pickle=self._request.allow_pickle,
            notify=self._request.notify,
            verify=job.verify,
            began=time.time(),
        )
        session = self._target.session
        options = ServerDownloadOptions(
            record,
            session.job_records,
            session.server_facts,
            partial(hand_over, item.artifact, self._sources),
            detach=self._request.detach,
            token=self._request.token_on_server,
        )
        download = self._running[item.path] = ServerDownload(job, self._target.transfer, options)
        return download

    def may_take_over(self, download: ServerDownload, error: UploaderError) -> bool:
        """Return True if this machine sends the file after the server's own download failed.

        If so, remove what the failed download left on the server.
        """
        if self._request.via != "auto" or self._request.detach or not download.unsuited:
            return False
        self._say(f"{error.message}; it goes by way of this machine instead")
        download.give_up()
        return True

    def make_room(self, item: Item) -> None:
        """Remove the job of an earlier download by the server from the part file that this machine sends to.

        Raises Busy when that download still runs.
        """
        if self._shell and isinstance(item.artifact.origin, WebFile):
            self._target.with_connection(partial(self._refuse_running, item))

    def stop(self) -> None:
        """End the downloads on the server, within STOP_SECONDS even on a dead connection.

        Call it while the connections are open: the commands to stop go over them.
        """
        stopping: list[tuple[str, threading.Event]] = []
        for path, download in list(self._running.items()):
            ended = threading.Event()
            threading.Thread(target=_end, args=(download, ended), name=f"end {path}", daemon=True).start()
            stopping.append((path.rpartition("/")[2], ended))
        deadline = time.monotonic() + STOP_SECONDS
        for name, ended in stopping:
            if not ended.wait(timeout=max(0.0, deadline - time.monotonic())):
                self._say(f"the server may go on downloading {name}: `uploader jobs` shows it")

    def _refuse_running(self, item: Item, connection: Connection) -> None:
        if connection.shell is None:
            return
        key = _key(connection, item)
        state = jobs.look(connection.shell, key).state
        if state == "running":
            raise Busy(
                f"the server is downloading {item.name} by itself",
                remedy="Leave --via out to join in, or end it with `uploader jobs cancel JOB`.",
            )
        if state != "none":
            jobs.clear(connection.shell, key)
        self._forget(_part(connection, item))

    def _forget(self, part: str) -> None:
        """Remove the records of downloads to a part file that this machine now sends to."""
        records = self._target.session.job_records
        for record in records.all():
            if (record.target, record.part) == (self._target.name, part):
                records.remove(record)

    def _say(self, text: str) -> None:
        self._target.session.observer(Message(text, "note"))


def _end(download: ServerDownload, ended: threading.Event) -> None:
    if download.stop():
        ended.set()


def _part(connection: Connection, item: Item) -> str:
    folder, _, name = connection.files.resolve(item.path).rpartition("/")
    return f"{folder}/{part_name(name, item.artifact.identity)}"


def _key(connection: Connection, item: Item) -> str:
    return jobs.key_of(_part(connection, item))
