"""Carrying a push out: every planned step in its turn, and an outcome for each of them."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from uploader.artifact import LocalFile
from uploader.commands.push.plan import Item, PlannedStep, choose_route
from uploader.commands.push.remote_listing import make_folders
from uploader.commands.push.request import PushRequest
from uploader.commands.push.server_route import ServerRoute
from uploader.commands.push.shared_results import SharedResults
from uploader.errors import ConfigurationError, SourceChanged, UploaderError, UsageError
from uploader.events import Message
from uploader.identify import refuse
from uploader.identify.read import read_identity
from uploader.profile import Target
from uploader.remote.interface import Connection
from uploader.result import Outcome
from uploader.session.placed import mtime_of, note, seen_now, tolerant
from uploader.session.runner import Runner, Task, Together
from uploader.session.session import Session
from uploader.sources import Sources, open_stream
from uploader.state.manifest import Manifest
from uploader.steps import Action, Route
from uploader.transfer import (
    CachedDownload,
    SmallFiles,
    TransferContext,
    Upload,
    UploadJob,
    UploadResult,
    is_small,
)
from uploader.transfer.batches import batches

T = TypeVar("T")

_IN_FLIGHT = 3
"""Items at once: while one is proven and gets its name, the next one's bytes are on their way."""


@dataclass(frozen=True)
class Way:
    """What the steps go by: the sources and what other targets' pushes read of them, the means of the transfer, the
    server's own downloads, what is known of the target, the server's own form of a path. `again` looks once more at
    what led to an item; it returns None where that belongs elsewhere now. `stop` ends all of it. `unseen` tells by
    path, as in `UploadJob`, when nothing of an item was there."""

    sources: Sources
    seen: SharedResults
    context: TransferContext
    serving: ServerRoute
    manifest: Manifest
    resolve: Callable[[str], str]
    again: Callable[[Item], Item | None]
    stop: Callable[[], None]
    unseen: dict[str, float]


def known(target: Target, item: Item) -> Outcome:
    """What can be told of an item beforehand."""
    return Outcome(
        target.name,
        item.artifact.source,
        "failed",
        name=item.name,
        kind=item.kind,
        route=item.route.value,
        path=item.path,
        size=item.artifact.size,
        notes=(*item.artifact.notes, *item.warnings),
    )


class Execution:
    """Carries out the steps of one push to one target."""

    def __init__(self, request: PushRequest, session: Session, target: Target, way: Way) -> None:
        self._request = request
        self._session = session
        self._target = target
        self._way = way
        self._context = way.context
        self._pool = way.context.pool
        self._made: set[str] = set()
        self._steps: dict[str, Upload] = {}
        self._failed: dict[str, UploaderError] = {}

    def run(self, steps: list[PlannedStep]) -> list[Outcome]:
        """Returns an outcome for each step, in their order: first the models, then what is put beside them."""
        models = [step for step in steps if step.item.beside is None]
        outcomes = self._run(models) + self._run([step for step in steps if step.item.beside is not None])
        of = {step.item.path: number for number, step in enumerate(steps)}
        return sorted(outcomes, key=lambda outcome: of[outcome.path or ""])

    def _run(self, steps: list[PlannedStep]) -> list[Outcome]:
        """The small files first, many at once, then the large ones."""
        together = self._together(steps)
        bundled = {task.item for bundle in together for task in bundle.tasks}
        tasks = [self._task(step) for step in steps if step.item.path not in bundled]
        outcomes: list[Outcome] = []
        for work, workers in ((together, self._context.config.batches_in_flight), (tasks, _IN_FLIGHT)):
            most = min(workers, self._pool.most)
            runner = Runner(self._session.observer, self._context.cancelled, self._way.stop, most)
            outcomes += runner.run(work)
        return outcomes

    def _fault(self, step: PlannedStep) -> UploaderError | None:
        """Nothing is put beside a model that is not there: its sidecars fail as it did."""
        return step.error or self._failed.get(step.item.beside or "")

    # many small ones ----------------------------------------------------------------------------------

    def _together(self, steps: list[PlannedStep]) -> list[Together]:
        sent = [step for step in steps if step.action is Action.SEND and self._fault(step) is None]
        named = {step.item.path: step for step in sent if _is_local(step.item)}
        jobs = [job for job in (self._job(step.item) for step in named.values()) if is_small(job, self._context)]
        config = self._context.config
        cut = batches(jobs, most=config.batch_files, most_bytes=config.batch_bytes) if len(jobs) > 1 else []
        return [self._bundle(named, SmallFiles(batch, self._context)) for batch in cut]

    def _bundle(self, named: dict[str, PlannedStep], bundle: SmallFiles) -> Together:
        steps = [named[job.item] for job in bundle.jobs]
        tasks = [self._task(step) for step in steps]
        return Together(
            tuple(replace(task, sent=partial(self._sent_of, bundle, task)) for task in tasks),
            partial(self._carry_out_together, steps, bundle),
        )

    def _sent_of(self, bundle: SmallFiles, task: Task) -> int:
        return bundle.sent(task.item) + task.sent()

    def _carry_out_together(self, steps: list[PlannedStep], bundle: SmallFiles) -> list[Outcome | UploaderError]:
        for step in steps:
            if step.make:
                self._using(partial(self._make, item=step.item))
        results = bundle.run()
        return [self._alone(step, results.get(step.item.path)) for step in steps]

    def _alone(self, step: PlannedStep, result: UploadResult | None) -> Outcome | UploaderError:
        """What became of one of a bundle. One that was not placed is tried by itself, which says what is wrong."""
        try:
            return self._carry_out(step) if result is None else self._placed(step.item, result)
        except UploaderError as error:
            return error

    # one step -----------------------------------------------------------------------------------------

    def _task(self, step: PlannedStep) -> Task:
        path = step.item.path
        beforehand = known(self._target, step.item)
        return Task(path, beforehand, partial(self._carry_out, step), partial(self._bytes_sent, path))

    def _carry_out(self, step: PlannedStep) -> Outcome:
        try:
            if (fault := self._fault(step)) is not None:
                raise fault
            if step.make:
                self._using(partial(self._make, item=step.item))
            return self._begun_anew_once(step.item)
        except UploaderError as error:
            self._failed[step.item.path] = error
            raise

    def _begun_anew_once(self, item: Item) -> Outcome:
        """A file that is replaced while it is on its way is begun anew as it is now; nothing of the old one is left."""
        try:
            return self._brought(item)
        except SourceChanged:
            now = None if _is_local(item) else self._way.again(item)
            if now is None:
                raise
        self._way.unseen.pop(item.path, None)  # of the new one there may be a part
        self._session.observer(Message(f"{item.name} was replaced at its source meanwhile, and is begun anew", "note"))
        return self._brought(now)

    def _brought(self, item: Item) -> Outcome:
        serving = self._way.serving
        if item.route is Route.SERVER:
            errand = serving.errand(item, self._job(item))
            try:
                result = errand.run()
                return (
                    replace(known(self._target, item), status="started")
                    if result is None
                    else self._placed(item, result)
                )
            except UploaderError as error:
                if not serving.may_take_over(errand, error):
                    raise
            item = replace(item, route=choose_route(item.artifact, "auto"))
        serving.make_room(item)
        if item.route is Route.RELAY or _is_local(item):
            return self._sent(item)
        return self._by_this_disk(item)

    def _by_this_disk(self, item: Item) -> Outcome:
        stream, cache = open_stream(item.artifact, self._way.sources), self._session.cache
        fetching = CachedDownload(item.path, item.artifact, stream, cache, self._context)
        with self._way.seen.turn(item.artifact), fetching.alone() as fetch:
            outcome = self._sent(self._fetched(item, fetch), proven=True)
        self._tidy(cache.trim)
        return outcome

    def _sent(self, item: Item, *, proven: bool = False) -> Outcome:
        step = self._steps[item.path] = Upload(replace(self._job(item), proven=proven), self._context)
        return self._placed(item, step.run())

    def _placed(self, item: Item, result: UploadResult) -> Outcome:
        path = self._way.resolve(item.path)
        seen = result.mtime if result.mtime is not None else seen_now(self._using, path)
        tolerant(partial(note, self._way.manifest, path, item.artifact, result, seen), self._session.observer)
        return replace(
            known(self._target, item),
            status="kept" if result.kept else "placed",
            sha256=result.sha256,
            evidence=result.evidence,
            bytes_sent=result.bytes_sent,
            resumed_from=result.resumed_from,
        )

    def _bytes_sent(self, path: str) -> int:
        return self._steps[path].sent if path in self._steps else 0

    def _job(self, item: Item) -> UploadJob:
        if item.artifact.size is None:
            raise UsageError(f"{item.artifact.source} does not tell its size", remedy="Use --via local.")
        return UploadJob(
            item.path,
            item.artifact,
            partial(self._way.seen.open, item.artifact, self._way.sources),
            self._way.resolve(item.path),
            self._target.name,
            item.artifact.size,
            replace=self._request.replace,
            structure=item.structure,
            verify=self._request.verify,
            mtime=mtime_of(item.artifact),
            unseen=self._way.unseen.get(item.path),
        )

    def _fetched(self, item: Item, fetch: CachedDownload) -> Item:
        """Downloads, and looks at the whole file once more: what a header promised may have been cut."""
        artifact = fetch.run()
        try:
            with fetch.named_faults():
                identity = read_identity(fetch.path, item.name)
            refuse(identity, item.name, allow_pickle=self._request.allow_pickle)
        except ConfigurationError:  # of this disk; the download is as good as it was
            raise
        except UploaderError:
            self._tidy(fetch.remove)
            raise
        return replace(item, artifact=artifact, structure=identity.complete is True)

    def _tidy(self, remove: Callable[[], None]) -> None:
        """Removes downloads. One that stays takes room, and changes nothing about what became of the item."""
        try:
            remove()
        except ConfigurationError as error:
            self._session.observer(Message(f"a download could not be removed: {error.message}", "note"))

    def _make(self, connection: Connection, item: Item) -> None:
        path = connection.files.resolve(posixpath.dirname(item.path))
        if path not in self._made:
            make_folders(connection, path)
            self._made.add(path)

    def _using(self, call: Callable[[Connection], T]) -> T:
        """Runs a call with a connection, again when the line fails."""

        def attempt() -> T:
            with self._pool.lease() as connection:
                return call(connection)

        return self._context.retry(attempt)


def _is_local(item: Item) -> bool:
    return isinstance(item.artifact.origin, LocalFile)
