"""One push's dealings with a server that downloads by itself: whether it can, what it is doing, what it shall do."""

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
from uploader.sources import Sources, hand_over
from uploader.steps import Route
from uploader.transfer import TransferContext, UploadJob


class ServerRoute:
    """Knows the server once it was looked at; keeps the errands that run."""

    def __init__(
        self, request: PushRequest, session: Session, target: str, context: TransferContext, sources: Sources
    ) -> None:
        self._target = target
        self._request = request
        self._session = session
        self._context = context
        self._sources = sources
        self._shell = False
        self._errands: dict[str, ServerDownload] = {}

    # planning -----------------------------------------------------------------------------------------

    def settle(self, connection: Connection, items: Sequence[Item]) -> list[tuple[Item, UploaderError | None]]:
        """Gives every item its route, or the error that it has none; one question to the server at most."""
        request = self._request
        links = any(isinstance(item.artifact.origin, WebFile) for item in items)
        self._shell = links and connection.shell is not None
        reach = self._reach(connection) if links and request.via in ("auto", "server") else Reach(None)
        settled: list[tuple[Item, UploaderError | None]] = []
        for item in items:
            try:
                whole, alone = request.verify == "full", request.detach and item.beside is None
                settled.append((settle_route(item, request.via, reach, whole=whole, alone=alone), None))
            except RouteUnavailable as error:
                settled.append((item, error))
        if request.limit and any(item.route is Route.SERVER for item, _ in settled):
            self._say("--limit is about this machine's line: the server downloads at its own speed")
        return settled

    def listing(self, connection: Connection, item: Item, listing: RemoteListing) -> RemoteListing:
        """Adds what a download of the server's own is doing to this item's part."""
        if item.route is not Route.SERVER or listing.part is None or connection.shell is None:
            return listing
        with suppress(RemoteRefused):
            match jobs.look(connection.shell, _key(connection, item)).state:
                case "running":
                    return replace(listing, job="running")
                case "ended" | "dead" | "reset":
                    return replace(listing, job="left")
        return listing

    def _reach(self, connection: Connection) -> Reach:
        shell = connection.shell
        if shell is None:
            return Reach(None, "its account runs no commands")
        try:
            able = self._session.server_facts.able(connection.facts.host_key, lambda: jobs.survey(shell))
        except RemoteRefused as error:
            return Reach(None, error.message)
        if (reason := jobs.why_unable(able)) is not None:
            return Reach(None, reason)
        best = choose(able.downloaders)
        return Reach(best.name if best else None)

    # carrying out -------------------------------------------------------------------------------------

    def errand(self, item: Item, job: UploadJob) -> ServerDownload:
        """What carries out an item of route `server`."""
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
        terms = ServerDownloadOptions(
            record,
            self._session.job_records,
            self._session.server_facts,
            partial(hand_over, item.artifact, self._sources),
            detach=self._request.detach,
            token=self._request.token_on_server,
        )
        errand = self._errands[item.path] = ServerDownload(job, self._context, terms)
        return errand

    def may_take_over(self, errand: ServerDownload, error: UploaderError) -> bool:
        """Whether this machine shall do what the server could not. Leaves nothing of its attempt there then."""
        if self._request.via != "auto" or self._request.detach or not errand.unsuited:
            return False
        self._say(f"{error.message}; it goes by way of this machine instead")
        errand.give_up()
        return True

    def make_room(self, item: Item) -> None:
        """Sees that no download of the server's own writes to the part that this machine is about to send to.

        Raises Busy while one does."""
        if not self._shell or not isinstance(item.artifact.origin, WebFile):
            return

        def attempt() -> None:
            with self._context.pool.lease() as connection:
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

        self._context.retry(attempt)

    def stop(self) -> None:
        """Ends what runs on the server for this push; called before its lines are ended, and over in a
        moment on a dead one."""
        stopping: list[tuple[str, threading.Event]] = []
        for path, errand in list(self._errands.items()):
            ended = threading.Event()
            threading.Thread(target=_end, args=(errand, ended), name=f"end {path}", daemon=True).start()
            stopping.append((path.rpartition("/")[2], ended))
        deadline = time.monotonic() + STOP_SECONDS
        for name, ended in stopping:
            if not ended.wait(timeout=max(0.0, deadline - time.monotonic())):
                self._say(f"the server may go on downloading {name}: `uploader jobs` shows it")

    def _forget(self, part: str) -> None:
        """What this machine remembers of a download into a part that it sends to by itself now."""
        for record in self._session.job_records.all():
            if (record.target, record.part) == (self._target, part):
                self._session.job_records.remove(record)

    def _say(self, text: str) -> None:
        self._session.observer(Message(text, "note"))


def _end(errand: ServerDownload, ended: threading.Event) -> None:
    if errand.stop():
        ended.set()


def _part(connection: Connection, item: Item) -> str:
    folder, _, name = connection.files.resolve(item.path).rpartition("/")
    return f"{folder}/{part_name(name, item.artifact.identity)}"


def _key(connection: Connection, item: Item) -> str:
    return jobs.key_of(_part(connection, item))
