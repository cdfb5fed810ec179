"""One push to one target, stage after stage: resolve → look → plan → execute → notify."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from uploader.artifact import LocalFile
from uploader.commands.push.execute import Execution, outcome_of
from uploader.commands.push.plan import Item, PlanOptions, PushStep, make_plan
from uploader.commands.push.remote_listing import RemoteState, look
from uploader.commands.push.request import PushRequest
from uploader.commands.push.resolve import Place, Resolver
from uploader.commands.push.shared_results import SharedResults
from uploader.commands.push.sidecars import Making, sidecars
from uploader.errors import UploaderError
from uploader.events import Message, Planned
from uploader.profile import MOST_CONNECTIONS, Target
from uploader.result import Failure, Outcome, Report
from uploader.retry import ATTEMPTS_TO_RESOLVE, Retry
from uploader.session.placed import tolerant
from uploader.session.session import Session
from uploader.session.target import TargetSession
from uploader.sources import Sources
from uploader.steps import Action, Plan
from uploader.transfer.connections import first
from uploader.webui.notify import check_switch, notify, untold

_LARGE = 64 << 20
"""Payload in bytes from which push opens further connections before it knows what the server has."""


class Push:
    """One push to one target. The pushes to all targets have `shared` in common; `kept` closes after all of them.

    Raises RouteUnavailable or UsageError when the target does not allow a push.
    """

    def __init__(
        self,
        request: PushRequest,
        session: Session,
        target: Target,
        sources: Sources,
        shared: SharedResults,
        kept: ExitStack,
    ) -> None:
        self._request = request
        self._session = session
        self._sources = sources
        self._shared = shared
        self._kept = kept
        self._target = TargetSession(session, target, connections=request.connections, limit=request.limit)
        check_switch(target, select=request.select)
        place = Place(target, self._target.webui, self._target.folders)
        self._retry = Retry(self._target.cancelled, session.observer, session.wait, attempts=ATTEMPTS_TO_RESOLVE)
        self._resolver = Resolver(request, place, sources, self._retry, session.observer, shared)
        self._ending = threading.Lock()
        self._execution: Execution | None = None
        self._outcomes: list[Outcome] | None = None
        self._beside: frozenset[str] = frozenset()

    @property
    def target(self) -> str:
        return self._target.name

    def run(self) -> Report | Plan[PushStep]:
        """Push to this target. Raises UsageError for options that do not go together."""
        items = self.resolve()
        if isinstance(items, Report):
            return items
        try:
            return self.carry_out(items)
        except UploaderError as error:
            return self.failed(items, error)

    def resolve(self) -> list[Item] | Report:
        """Return the items to push, or the report of all references when some are faulty."""
        items, faults = self._resolver.run(), self._resolver.faults
        if faults:
            failed = [Outcome(self.target, fault.source, "failed", error=Failure.of(fault.error)) for fault in faults]
            return Report(tuple(failed))
        if self._request.sidecars:
            folder = Path(self._kept.enter_context(TemporaryDirectory(prefix="uploader-")))
            http, observer, target = self._sources.http, self._session.observer, self._target
            items += sidecars(items, Making(target.webui, target.target.root, folder, http, self._retry, observer))
        return items

    def carry_out(self, items: Sequence[Item]) -> Report | Plan[PushStep]:
        """Look, plan, execute, notify. Raises UploaderError when the server cannot be reached or looked at."""
        with self._closing():
            if not self._request.dry_run:
                self._target.pool.ahead(partial(self._worth_by_size, items))
            state = self._target.with_connection(partial(look, self._target, items, self._request))
            steps = self._plan(state)
            if self._request.dry_run:
                return Plan(self.target, "", steps)
            self._announce(steps)
            self._outcomes = self._execute(steps, state)
            outcomes = self._outcomes if self._target.cancelled.is_set() else self._notify(self._outcomes)
            return Report(tuple(outcomes), stopped=self._target.cancelled.is_set())

    def stop(self) -> None:
        """End the push at once; call it from another thread. The bytes that arrived stay on the server."""
        with self._ending:
            if self._execution is not None:
                self._execution.stop()
            else:
                self._target.stop()
                self._sources.http.close()

    def failed(self, items: Sequence[Item], error: UploaderError) -> Report:
        """Return the report of a push that failed as a whole."""
        return Report(tuple(replace(outcome_of(self.target, item), error=Failure.of(error)) for item in items))

    def left(self, items: Sequence[Item], error: UploaderError) -> Report:
        """Return the report of a push that was stopped. It is complete if only the WebUI was still awaited."""
        if self._outcomes is None:
            return self.failed(items, error)
        return Report(tuple(self._for_models(self._outcomes, untold)), stopped=True)

    # stages -------------------------------------------------------------------------------------------

    def _plan(self, state: RemoteState) -> list[PushStep]:
        request = self._request
        options = PlanOptions(replace=request.replace, mkdir=request.mkdir, verify=request.verify)
        steps = make_plan(state.items, state.listings, options, root=self._target.target.root, free=state.free)
        return [replace(step, target=self.target) for step in steps]

    def _announce(self, steps: Sequence[PushStep]) -> None:
        observer = self._session.observer
        for step in steps:
            observer(Message(f"{step.name}: {step.reason}", "debug"))
            for warning in step.warnings:
                observer(Message(f"{step.name}: {warning}", "note"))
        observer(Planned(len(steps), sum(step.size or 0 for step in steps if step.error is None)))

    def _execute(self, steps: Sequence[PushStep], state: RemoteState) -> list[Outcome]:
        self._target.pool.warm(self._worth(steps))
        self._beside = frozenset(step.path for step in steps if step.item.beside is not None)
        self._execution = Execution(
            self._request, self._target, state, self._sources, self._shared, self._resolver.again
        )
        return self._execution.run(steps)

    def _notify(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        target, select = self._target, self._request.select
        tell = partial(
            notify,
            target=target.target,
            session=self._session,
            pool=target.pool,
            select=select,
            cancelled=target.cancelled,
        )
        return self._for_models(outcomes, tell)

    def _for_models(
        self, outcomes: Sequence[Outcome], tell: Callable[[Sequence[Outcome]], list[Outcome]]
    ) -> list[Outcome]:
        """Return the outcomes, with those of models replaced by what `tell` returns. No WebUI lists sidecars."""
        if not self._request.notify:
            return list(outcomes)
        models = iter(tell([outcome for outcome in outcomes if outcome.path not in self._beside]))
        return [outcome if outcome.path in self._beside else next(models) for outcome in outcomes]

    @contextmanager
    def _closing(self) -> Iterator[None]:
        try:
            yield
        finally:
            with self._ending:  # `stop` stops the servers' downloads over these connections
                self._target.pool.close()
            tolerant(self._target.manifest.flush, self._session.observer)

    # connections --------------------------------------------------------------------------------------

    def _worth_by_size(self, items: Sequence[Item], round_trip: float) -> int:
        """Return what `_worth` returns, before there is a plan. Files in the manifest most likely need no payload."""
        if sum(item.artifact.size or 0 for item in items) < _LARGE:
            return 1
        known = {(placed.origin, placed.mtime_ns) for placed in self._target.manifest.files.values()}
        new = [item for item in items if _origin(item) not in known]
        large = sum(item.artifact.size or 0 for item in new) >= _LARGE
        return self._at_first(round_trip, MOST_CONNECTIONS) if large else 1

    def _worth(self, steps: Sequence[PushStep]) -> int:
        """Return how many connections the payload is worth. They open while the first one already sends."""
        sizes = [step.bytes for step in steps if step.action is not Action.COMPARE]
        config = self._target.transfer.config
        chunks = sum(-(-size // config.chunk_bytes) for size in sizes if size > config.small_bytes)
        chunks += -(-sum(size for size in sizes if size <= config.small_bytes) // config.chunk_bytes)  # sent together
        return self._at_first(self._target.pool.round_trip, chunks)

    def _at_first(self, round_trip: float, chunks: int) -> int:
        most = min(self._target.pool.most, chunks)
        return most if self._request.connections else first(round_trip, most, self._target.transfer.config)


def _origin(item: Item) -> tuple[str, int] | None:
    origin = item.artifact.origin
    return (str(origin.path), origin.mtime_ns) if isinstance(origin, LocalFile) else None
