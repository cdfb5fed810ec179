"""The verb push: everything decided before anything moves, then one outcome for each item."""

from __future__ import annotations

import posixpath
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from uploader.app.looking import Look, make_folders
from uploader.app.patience import Patience
from uploader.app.requests import DryRun, PushRequest
from uploader.app.resolving import Place, Resolving, read_identity
from uploader.app.setting import Setting
from uploader.artifact import LocalFile
from uploader.errors import ConfigurationError, RouteUnavailable, UploaderError, UsageError
from uploader.events import Planned, Said
from uploader.http import Http
from uploader.identify import refuse
from uploader.placement import root_fault
from uploader.plan import Action, Item, PlannedStep, Route, Wishes, plan
from uploader.profile import MOST_CONNECTIONS, Target
from uploader.remote.interface import Connection, Connector
from uploader.remote.pool import Pool
from uploader.result import Failure, Outcome, Report
from uploader.runner import Runner, Task, Together
from uploader.sources import open_stream
from uploader.streams import Pacer
from uploader.transfer import Bundle, Fetch, Job, Means, Result, Step, bundles, is_small
from uploader.transfer.climb import first
from uploader.transfer.feed import PIECE_BYTES

T = TypeVar("T")

_IN_FLIGHT = 3
"""Items at once: while one is proven and gets its name, the next one's bytes are on their way."""

_LARGE = 64 << 20
"""Bytes that are worth further connections before it is known what of them is there."""

_ATTEMPTS_TO_RESOLVE = 3
"""Tries for a reference's address: few, as a mistyped one fails like a line that is down."""


def push(request: PushRequest, setting: Setting) -> Report | DryRun:
    """Puts models into a target's folders. Raises what stops it before it knows what to push: a target or profile
    that is not there, options that do not go together. What is wrong with single references is in the report, and so
    is a server that cannot be reached or refuses who we are: every item then failed for that."""
    target = setting.choose_target(request.to)
    place = _place(setting, target)
    with Http(allow_http=request.allow_http) as http:
        patience = Patience(threading.Event(), setting.observer, setting.wait, attempts=_ATTEMPTS_TO_RESOLVE)
        resolving = Resolving(request, place, http, patience)
        items = resolving.run()
        if resolving.faults:
            return Report(
                tuple(
                    Outcome(target.name, fault.source, "failed", error=Failure.of(fault.error))
                    for fault in resolving.faults
                )
            )
        try:
            connector, _ = setting.connector(target)
            return _Push(request, setting, target, connector, http).run(items)
        except UploaderError as error:
            return Report(tuple(replace(_known(target, item), error=Failure.of(error)) for item in items))


def _known(target: Target, item: Item) -> Outcome:
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
    )


def _place(setting: Setting, target: Target) -> Place:
    provider, webui = setting.profiles_of(target)
    if not provider.sftp:
        raise RouteUnavailable(provider.reason or f"{provider.name} has no SFTP", remedy=provider.instead)
    if (fault := root_fault(target.root)) is not None:
        raise UsageError(f"the root {target.root!r} of {target.name} cannot be used: {fault}")
    return Place(target, webui, dict(setting.catalog.folders(provider, webui)))


class _Push:
    """One push to one target, from the connection on."""

    def __init__(
        self, request: PushRequest, setting: Setting, target: Target, connector: Connector, http: Http
    ) -> None:
        self._request = request
        self._setting = setting
        self._target = target
        self._http = http
        provider = setting.catalog.provider(target.provider)
        most = provider.quirks.max_connections or MOST_CONNECTIONS
        self._pool = Pool(connector, min(request.connections or MOST_CONNECTIONS, most))
        self._cancelled = threading.Event()
        self._made: set[str] = set()
        self._unseen: dict[str, float] = {}
        self._resolve: Callable[[str], str] = str
        self._steps: dict[str, Step] = {}
        self._retrying = Patience(self._cancelled, setting.observer, setting.wait)
        self._means = Means(
            self._pool,
            setting.journals,
            setting.observer,
            self._retrying,
            self._cancelled,
            up=Pacer(request.limit, self._cancelled),
            down=Pacer(request.limit, self._cancelled),
            connections=self._pool.most if request.connections else None,
        )

    def run(self, items: list[Item]) -> Report | DryRun:
        try:
            if not self._request.dry_run:
                self._pool.ahead(partial(self._worth_by_size, items))
            steps = self._plan(items)
            if self._request.dry_run:
                return DryRun(self._target.name, tuple(steps))
            for step in steps:
                self._setting.observer(Said(f"{step.item.name}: {step.reason}", "debug"))
            sizes = [step.item.artifact.size or 0 for step in steps if step.error is None]
            self._setting.observer(Planned(len(steps), sum(sizes)))
            self._pool.warm(self._worth(steps))
            return Report(tuple(self._run(steps)))
        finally:
            self._pool.close()

    def _plan(self, items: list[Item]) -> list[PlannedStep]:
        wishes = Wishes(replace=self._request.replace, mkdir=self._request.mkdir)

        def look(connection: Connection) -> list[PlannedStep]:
            self._resolve = connection.files.resolve
            seen = Look(connection, self._target.root, self._setting.journals, self._target.name)
            there = seen.at(items)
            now = time.monotonic()
            self._unseen = {
                item.path: now
                for item, listing in zip(items, there, strict=True)
                if listing.error is None and listing.final is None and listing.part is None
            }
            steps = plan(items, there, wishes, root=self._target.root, free=seen.free_bytes(items))
            facts = connection.facts  # by now they are there
            shell = f"a shell ({', '.join(facts.tools)})" if facts.shell else "no shell"
            self._setting.observer(Said(f"connected to {self._target.name}: {facts.software}, {shell}", "debug"))
            return steps

        return self._using(look)

    def _worth_by_size(self, items: list[Item], round_trip: float) -> int:
        """As `_worth`, before there is a plan: of so many bytes some have to be sent, mostly."""
        large = sum(item.artifact.size or 0 for item in items) >= _LARGE
        return self._at_first(round_trip, MOST_CONNECTIONS) if large else 1

    def _at_first(self, round_trip: float, pieces: int) -> int:
        most = min(self._pool.most, pieces)
        return most if self._request.connections else first(round_trip, most)

    def _worth(self, steps: list[PlannedStep]) -> int:
        """How many connections what has to be sent is worth; opened side by side while the first already sends."""
        pieces = sum(-(-step.bytes // PIECE_BYTES) for step in steps if step.action is not Action.COMPARE)
        return self._at_first(self._pool.round_trip, pieces)

    def _run(self, steps: list[PlannedStep]) -> list[Outcome]:
        """Carries all steps out: the small files first, many at once, then the large ones."""
        together = self._together(steps)
        bundled = {task.item for bundle in together for task in bundle.tasks}
        tasks = [self._task(step) for step in steps if step.item.path not in bundled]
        outcomes: list[Outcome] = []
        for work, workers in ((together, self._pool.most), (tasks, min(_IN_FLIGHT, self._pool.most))):
            runner = Runner(self._setting.observer, self._cancelled, self._interrupt, workers)
            outcomes += runner.run(work)
        of = {step.item.path: number for number, step in enumerate(steps)}
        return sorted(outcomes, key=lambda outcome: of[outcome.path or ""])

    # many small ones ----------------------------------------------------------------------------------

    def _together(self, steps: list[PlannedStep]) -> list[Together]:
        known = {step.item.path: step for step in steps if step.action is Action.SEND and _is_local(step.item)}
        jobs = [job for job in (self._job(step.item) for step in known.values()) if is_small(job, self._means)]
        return [self._bundle(known, Bundle(cut, self._means)) for cut in bundles(jobs)] if len(jobs) > 1 else []

    def _bundle(self, known: dict[str, PlannedStep], bundle: Bundle) -> Together:
        steps = [known[job.item] for job in bundle.jobs]
        tasks = [self._task(step) for step in steps]
        return Together(
            tuple(replace(task, sent=partial(self._sent_of, bundle, task)) for task in tasks),
            partial(self._carry_out_together, steps, bundle),
        )

    def _sent_of(self, bundle: Bundle, task: Task) -> int:
        return bundle.sent(task.item) + task.sent()

    def _carry_out_together(self, steps: list[PlannedStep], bundle: Bundle) -> list[Outcome | UploaderError]:
        for step in steps:
            if step.make:
                self._using(partial(self._make, item=step.item))
        results = bundle.run()
        return [self._alone(step, results.get(step.item.path)) for step in steps]

    def _alone(self, step: PlannedStep, result: Result | None) -> Outcome | UploaderError:
        """What became of one of a bundle. One that was not placed is tried by itself, which says what is wrong."""
        known = _known(self._target, step.item)
        try:
            return self._carry_out(step, known) if result is None else self._placed(step.item, known, result)
        except UploaderError as error:
            return error

    # one step -----------------------------------------------------------------------------------------

    def _task(self, step: PlannedStep) -> Task:
        item = step.item
        known = _known(self._target, item)
        return Task(item.path, known, partial(self._carry_out, step, known), partial(self._bytes_sent, item.path))

    def _carry_out(self, step: PlannedStep, known: Outcome) -> Outcome:
        if step.error is not None:
            raise step.error
        item = step.item
        if step.make:
            self._using(partial(self._make, item=item))
        if item.route is Route.RELAY or _is_local(item):
            return self._sent(item, known)
        stream = open_stream(item.artifact, self._http)
        with Fetch(item.path, item.artifact, stream, self._setting.cache, self._means).alone() as fetch:
            outcome = self._sent(self._fetched(item, fetch), known)
            self._clear(fetch)
            return outcome

    def _sent(self, item: Item, known: Outcome) -> Outcome:
        step = self._steps[item.path] = Step(self._job(item), self._means)
        return self._placed(item, known, step.run())

    def _placed(self, item: Item, known: Outcome, result: Result) -> Outcome:
        return replace(
            known,
            status="kept" if result.kept else "placed",
            size=item.artifact.size,
            sha256=result.sha256,
            evidence=result.evidence,
            bytes_sent=result.bytes_sent,
            resumed_from=result.resumed_from,
        )

    def _bytes_sent(self, path: str) -> int:
        return self._steps[path].sent if path in self._steps else 0

    def _job(self, item: Item) -> Job:
        if item.artifact.size is None:
            raise UsageError(f"{item.artifact.source} does not tell its size", remedy="Use --via local.")
        return Job(
            item.path,
            item.artifact,
            partial(open_stream, item.artifact, self._http),
            self._resolve(item.path),
            self._target.name,
            item.artifact.size,
            replace=self._request.replace,
            structure=item.structure,
            verify=self._request.verify,
            unseen=self._unseen.get(item.path),
        )

    def _fetched(self, item: Item, fetch: Fetch) -> Item:
        """Downloads, and looks at the whole file once more: what a header promised may have been cut."""
        artifact = fetch.run()
        try:
            with fetch.named_faults():
                identity = read_identity(fetch.path, item.name)
            refuse(identity, item.name, allow_pickle=self._request.allow_pickle)
        except ConfigurationError:  # of this disk; the download is as good as it was
            raise
        except UploaderError:
            self._clear(fetch)
            raise
        return replace(item, artifact=artifact, structure=identity.complete is True)

    def _clear(self, fetch: Fetch) -> None:
        """Removes a download. One that stays takes room, and changes nothing about what became of the item."""
        try:
            fetch.remove()
        except ConfigurationError as error:
            self._setting.observer(Said(f"{fetch.path} could not be removed: {error.message}", "note"))

    def _make(self, connection: Connection, item: Item) -> None:
        path = connection.files.resolve(posixpath.dirname(item.path))
        if path not in self._made:
            make_folders(connection, path)
            self._made.add(path)

    # the line -----------------------------------------------------------------------------------------

    def _using(self, call: Callable[[Connection], T]) -> T:
        def attempt() -> T:
            with self._pool.lease() as connection:
                return call(connection)

        return self._retrying(attempt, lambda: 0)

    def _interrupt(self) -> None:
        self._pool.interrupt()
        self._http.close()


def _is_local(item: Item) -> bool:
    return isinstance(item.artifact.origin, LocalFile)
