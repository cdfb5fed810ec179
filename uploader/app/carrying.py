"""What a push does once its plan is made: every step carried out, one outcome for each."""

from __future__ import annotations

import posixpath
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from uploader.app.looking import make_folders
from uploader.app.noting import mtime_of, note
from uploader.app.patience import Patience
from uploader.app.requests import PushRequest
from uploader.app.resolving import Seen, read_identity
from uploader.app.serving import Serving
from uploader.app.setting import Setting
from uploader.artifact import LocalFile
from uploader.errors import ConfigurationError, UploaderError, UsageError
from uploader.events import Said
from uploader.http import Http
from uploader.identify import refuse
from uploader.plan import Action, Item, PlannedStep, Route, choose_route
from uploader.profile import MOST_CONNECTIONS, Target
from uploader.remote.interface import Connection
from uploader.remote.pool import Pool
from uploader.result import Outcome
from uploader.runner import Runner, Task, Together
from uploader.sources import open_stream
from uploader.streams import Pacer
from uploader.transfer import Bundle, Errand, Fetch, Job, Means, Result, Step, bundles, is_small

T = TypeVar("T")

_IN_FLIGHT = 3
"""Items at once: while one is proven and gets its name, the next one's bytes are on their way."""


def known_outcome(target: Target, item: Item) -> Outcome:
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


class Carrying:
    """The connections of one push to one target, and what goes over them. `resolve`, set by whoever looks at the server
    first, makes a path absolute; `seen` is shared with the pushes of the same references to other targets."""

    def __init__(self, request: PushRequest, setting: Setting, target: Target, http: Http, seen: Seen) -> None:
        self._request = request
        self._setting = setting
        self._target = target
        self._http = http
        self._seen = seen
        connector, _ = setting.connector(target)
        provider = setting.catalog.provider(target.provider)
        most = provider.quirks.max_connections or MOST_CONNECTIONS
        self.pool = Pool(connector, min(request.connections or MOST_CONNECTIONS, most))
        self.cancelled = threading.Event()
        self.resolve: Callable[[str], str] = str
        self._made: set[str] = set()
        self._steps: dict[str, Step] = {}
        self._manifest = setting.manifests.of(target.name)
        self._retrying = Patience(self.cancelled, setting.observer, setting.wait)
        self._means = Means(
            self.pool,
            setting.journals,
            setting.observer,
            self._retrying,
            self.cancelled,
            up=Pacer(request.limit, self.cancelled),
            down=Pacer(request.limit, self.cancelled),
            connections=self.pool.most if request.connections else None,
        )
        self.serving = Serving(request, setting, self._means, http)

    def close(self) -> None:
        self.pool.close()
        self._manifest.flush()

    def run(self, steps: list[PlannedStep]) -> list[Outcome]:
        """Carries all steps out: the small files first, many at once, then the large ones."""
        together = self._together(steps)
        bundled = {task.item for bundle in together for task in bundle.tasks}
        tasks = [self._task(step) for step in steps if step.item.path not in bundled]
        outcomes: list[Outcome] = []
        for work, workers in ((together, self.pool.most), (tasks, min(_IN_FLIGHT, self.pool.most))):
            runner = Runner(self._setting.observer, self.cancelled, self.interrupt, workers)
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
                self.using(partial(self._make, item=step.item))
        results = bundle.run()
        return [self._alone(step, results.get(step.item.path)) for step in steps]

    def _alone(self, step: PlannedStep, result: Result | None) -> Outcome | UploaderError:
        """What became of one of a bundle. One that was not placed is tried by itself, which says what is wrong."""
        known = known_outcome(self._target, step.item)
        try:
            return self._carry_out(step, known) if result is None else self._placed(step.item, known, result)
        except UploaderError as error:
            return error

    # one step -----------------------------------------------------------------------------------------

    def _task(self, step: PlannedStep) -> Task:
        item = step.item
        known = known_outcome(self._target, item)
        return Task(item.path, known, partial(self._carry_out, step, known), partial(self._bytes_sent, item.path))

    def _carry_out(self, step: PlannedStep, known: Outcome) -> Outcome:
        if step.error is not None:
            raise step.error
        item = step.item
        if step.make:
            self.using(partial(self._make, item=item))
        if item.route is Route.SERVER:
            errand = self.serving.errand(item, self._job(item))
            try:
                return self._fetched_there(errand, item, known)
            except UploaderError as error:
                if not self.serving.may_take_over(errand, error):
                    raise
            item = replace(item, route=choose_route(item.artifact, "auto"))
            known = replace(known, route=item.route.value)
        self.serving.make_room(item)
        if item.route is Route.RELAY or _is_local(item):
            return self._sent(item, known)
        stream = open_stream(item.artifact, self._http)
        fetching = Fetch(item.path, item.artifact, stream, self._setting.cache, self._means)
        with self._seen.turn(item.artifact), fetching.alone() as fetch:
            outcome = self._sent(self._fetched(item, fetch), known)
            self._clear(fetch)
            return outcome

    def _fetched_there(self, errand: Errand, item: Item, known: Outcome) -> Outcome:
        result = errand.run()
        return replace(known, status="started") if result is None else self._placed(item, known, result)

    def _sent(self, item: Item, known: Outcome) -> Outcome:
        step = self._steps[item.path] = Step(self._job(item), self._means)
        began = time.monotonic()
        result = step.run()
        self.serving.measured(result.bytes_sent, time.monotonic() - began)
        return self._placed(item, known, result)

    def _placed(self, item: Item, known: Outcome, result: Result) -> Outcome:
        note(self._manifest, self.resolve(item.path), item.artifact, result)
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
            partial(self._seen.open, item.artifact, self._http),
            self.resolve(item.path),
            self._target.name,
            item.artifact.size,
            replace=self._request.replace,
            structure=item.structure,
            verify=self._request.verify,
            mtime=mtime_of(item),
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

    def using(self, call: Callable[[Connection], T]) -> T:
        def attempt() -> T:
            with self.pool.lease() as connection:
                return call(connection)

        return self._retrying(attempt, lambda: 0)

    def interrupt(self) -> None:
        self.serving.stop()
        self.pool.interrupt()
        self._http.close()


def _is_local(item: Item) -> bool:
    return isinstance(item.artifact.origin, LocalFile)
