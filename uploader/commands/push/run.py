"""A push to one target: everything decided before anything moves, then one outcome for each item."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from uploader.commands.push.execute import Execution, Way, known
from uploader.commands.push.plan import Item, PlannedStep, PlanOptions, RemoteListing, make_plan
from uploader.commands.push.remote_listing import RemoteLook
from uploader.commands.push.request import DryRun, PushRequest
from uploader.commands.push.resolve import Place, Resolver
from uploader.commands.push.server_route import ServerRoute
from uploader.commands.push.shared_results import SharedResults
from uploader.commands.push.sidecars import Making, sidecars
from uploader.errors import RouteUnavailable, UploaderError, UsageError
from uploader.events import Message, Planned
from uploader.placement import root_fault
from uploader.profile import MOST_CONNECTIONS, Target
from uploader.rate_limit import RateLimiter
from uploader.remote.interface import Connection
from uploader.remote.pool import ConnectionPool
from uploader.result import Failure, Outcome, Report
from uploader.retry import ATTEMPTS_TO_RESOLVE, Retry
from uploader.session.placed import tolerant
from uploader.session.session import Session
from uploader.sources import Sources
from uploader.steps import Action, Route
from uploader.transfer import TransferContext
from uploader.transfer.connections import first
from uploader.webui.notify import check_switch, notify, untold

T = TypeVar("T")

_LARGE = 64 << 20
"""Bytes that are worth further connections before it is known what of them is there."""


def _place(session: Session, target: Target) -> Place:
    provider, webui = session.profiles_of(target)
    if not provider.sftp:
        raise RouteUnavailable(provider.reason or f"{provider.name} has no SFTP", remedy=provider.instead)
    if (fault := root_fault(target.root)) is not None:
        raise UsageError(f"the root {target.root!r} of {target.name} cannot be used: {fault}")
    return Place(target, webui, session.folders_of(target))


def _unseen(items: list[Item], there: list[RemoteListing]) -> dict[str, float]:
    """When nothing was there, by path, of the items that nobody but this push brings."""
    now = time.monotonic()
    return {
        item.path: now
        for item, listing in zip(items, there, strict=True)
        if item.route is not Route.SERVER and listing.error is None and listing.final is None and listing.part is None
    }


class Push:
    """One push to one target. `seen` is shared with the pushes of the same references to other targets; what `kept`
    holds outlives them all."""

    def __init__(
        self,
        request: PushRequest,
        session: Session,
        target: Target,
        sources: Sources,
        seen: SharedResults,
        kept: ExitStack,
    ) -> None:
        self._request = request
        self._session = session
        self._target = target
        self._sources = sources
        self._seen = seen
        self._kept = kept
        self._place = _place(session, target)
        check_switch(target, select=request.select)
        provider = session.profiles.provider(target.provider)
        most = provider.quirks.max_connections or MOST_CONNECTIONS
        self._pool = ConnectionPool(session.connector(target)[0], min(request.connections or MOST_CONNECTIONS, most))
        self._unseen: dict[str, float] = {}
        self._resolve: Callable[[str], str] = str
        self._cancelled = threading.Event()
        self._ending = threading.Lock()
        self._outcomes: list[Outcome] | None = None
        self._beside: frozenset[str] = frozenset()
        self._resolving = self._resolver()
        self._manifest = session.manifests.of(target.name)
        self._context = TransferContext(
            self._pool,
            session.uploads,
            session.observer,
            Retry(self._cancelled, session.observer, session.wait),
            self._cancelled,
            up=RateLimiter(request.limit, self._cancelled),
            down=RateLimiter(request.limit, self._cancelled),
            connections=self._pool.most if request.connections else None,
            config=session.config,
        )
        self._serving = ServerRoute(request, session, target.name, self._context, sources)

    @property
    def target(self) -> str:
        return self._target.name

    def run(self) -> Report | DryRun:
        """Resolves, plans, carries out. Raises UsageError for options that do not go together."""
        items, faults = self.resolve()
        if faults:
            return faults
        try:
            return self.carry_out(items)
        except UploaderError as error:
            return self.failed(items, error)

    def resolve(self) -> tuple[list[Item], Report | None]:
        """Returns what is to be pushed, or the report of all references that came to nothing."""
        items, faults, name = self._resolving.run(), self._resolving.faults, self._target.name
        if faults:
            failed = [Outcome(name, fault.source, "failed", error=Failure.of(fault.error)) for fault in faults]
            return items, Report(tuple(failed))
        if self._request.sidecars:
            folder = Path(self._kept.enter_context(TemporaryDirectory(prefix="uploader-")))
            http, observer = self._sources.http, self._session.observer
            making = Making(self._place.webui, self._target.root, folder, http, self._retry_to_resolve(), observer)
            items += sidecars(items, making)
        return items, None

    def _resolver(self) -> Resolver:
        observer = self._session.observer
        return Resolver(self._request, self._place, self._sources, self._retry_to_resolve(), observer, self._seen)

    def _retry_to_resolve(self) -> Retry:
        session = self._session
        return Retry(self._cancelled, session.observer, session.wait, attempts=ATTEMPTS_TO_RESOLVE)

    def failed(self, items: list[Item], error: UploaderError) -> Report:
        return Report(tuple(replace(known(self._target, item), error=Failure.of(error)) for item in items))

    def left(self, items: list[Item], error: UploaderError) -> Report:
        """What became of the items of a push that was ended before it told: done, if only the WebUI was waited for."""
        if self._outcomes is None:
            return self.failed(items, error)
        return Report(tuple(self._by_models(self._outcomes, untold)), stopped=True)

    def stop(self) -> None:
        """Ends it at once, from another thread: what arrived stays."""
        with self._ending:
            self._cancelled.set()
            self._interrupt()

    def carry_out(self, items: list[Item]) -> Report | DryRun:
        """From the connection on. Raises UploaderError when the server cannot be reached or looked at."""
        try:
            if not self._request.dry_run:
                self._pool.ahead(partial(self._worth_by_size, items))
            steps = self._plan(items)
            if self._request.dry_run:
                return DryRun(self._target.name, tuple(steps))
            for step in steps:
                self._session.observer(Message(f"{step.item.name}: {step.reason}", "debug"))
                for warning in step.item.warnings:
                    self._session.observer(Message(f"{step.item.name}: {warning}", "note"))
            sizes = [step.item.artifact.size or 0 for step in steps if step.error is None]
            self._session.observer(Planned(len(steps), sum(sizes)))
            self._pool.warm(self._worth(steps))
            self._beside = frozenset(step.item.path for step in steps if step.item.beside is not None)
            self._outcomes = Execution(self._request, self._session, self._target, self._way()).run(steps)
            return Report(tuple(self._told(self._outcomes)), stopped=self._cancelled.is_set())
        finally:
            with self._ending:  # the servers are told by these lines
                self._pool.close()
            tolerant(self._manifest.flush, self._session.observer)

    def _way(self) -> Way:
        return Way(
            self._sources,
            self._seen,
            self._context,
            self._serving,
            self._manifest,
            self._resolve,
            self._resolving.again,
            self._interrupt,
            self._unseen,
        )

    def _told(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Tells the WebUI, unless nobody wants that or waits for it."""
        if self._cancelled.is_set():
            return outcomes

        def tell(models: list[Outcome]) -> list[Outcome]:
            select, cancelled = self._request.select, self._cancelled
            return notify(models, self._target, self._session, self._pool, select=select, cancelled=cancelled)

        return self._by_models(outcomes, tell)

    def _by_models(self, outcomes: list[Outcome], told: Callable[[list[Outcome]], list[Outcome]]) -> list[Outcome]:
        """The outcomes with those of models as `told` returns them; what lies beside a model is in no WebUI's list."""
        if not self._request.notify:
            return outcomes
        models = iter(told([outcome for outcome in outcomes if outcome.path not in self._beside]))
        return [outcome if outcome.path in self._beside else next(models) for outcome in outcomes]

    def _plan(self, items: list[Item]) -> list[PlannedStep]:
        wishes = PlanOptions(replace=self._request.replace, mkdir=self._request.mkdir)

        def look(connection: Connection) -> list[PlannedStep]:
            self._resolve = connection.files.resolve
            chunk_bytes = self._context.config.chunk_bytes
            seen = RemoteLook(connection, self._target.root, self._session.uploads, self._target.name, chunk_bytes)
            settled = self._serving.settle(connection, items)
            routed = [item for item, _ in settled]
            there = [
                self._serving.listing(connection, item, listing) if error is None else RemoteListing(error=error)
                for (item, error), listing in zip(settled, seen.at(routed), strict=True)
            ]
            self._unseen = _unseen(routed, there)
            steps = make_plan(routed, there, wishes, root=self._target.root, free=seen.free_bytes(routed))
            facts = connection.facts  # by now they are there
            shell = f"a shell ({', '.join(facts.tools)})" if facts.shell else "no shell"
            self._session.observer(Message(f"connected to {self._target.name}: {facts.software}, {shell}", "debug"))
            return steps

        return self._using(look)

    def _worth_by_size(self, items: list[Item], round_trip: float) -> int:
        """As `_worth`, before there is a plan: of so many bytes some have to be sent, mostly."""
        large = sum(item.artifact.size or 0 for item in items) >= _LARGE
        return self._at_first(round_trip, MOST_CONNECTIONS) if large else 1

    def _at_first(self, round_trip: float, chunks: int) -> int:
        most = min(self._pool.most, chunks)
        return most if self._request.connections else first(round_trip, most, self._context.config)

    def _worth(self, steps: list[PlannedStep]) -> int:
        """How many connections what has to be sent is worth; opened side by side while the first already sends."""
        sizes = [step.bytes for step in steps if step.action is not Action.COMPARE]
        config = self._context.config
        chunks = sum(-(-size // config.chunk_bytes) for size in sizes if size > config.small_bytes)
        chunks += -(-sum(size for size in sizes if size <= config.small_bytes) // config.chunk_bytes)  # sent together
        return self._at_first(self._pool.round_trip, chunks)

    def _using(self, call: Callable[[Connection], T]) -> T:
        def attempt() -> T:
            with self._pool.lease() as connection:
                return call(connection)

        return self._context.retry(attempt)

    def _interrupt(self) -> None:
        self._serving.stop()
        self._pool.interrupt()
        self._sources.http.close()
