"""The verb push: everything decided before anything moves, then one outcome for each item."""

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

from uploader.app.carrying import Carrying, Way, known
from uploader.app.looking import Look
from uploader.app.patience import ATTEMPTS_TO_RESOLVE, Patience
from uploader.app.requests import DryRun, PushRequest
from uploader.app.resolving import Place, Resolving
from uploader.app.setting import Setting
from uploader.app.sidecars import Making, sidecars
from uploader.errors import RouteUnavailable, UploaderError, UsageError
from uploader.events import Planned, Said
from uploader.http import Http
from uploader.placement import root_fault
from uploader.plan import Action, Item, PlannedStep, Wishes, plan
from uploader.profile import MOST_CONNECTIONS, Target
from uploader.remote.interface import Connection, Connector
from uploader.remote.pool import Pool
from uploader.result import Failure, Outcome, Report
from uploader.streams import Pacer
from uploader.transfer import Means
from uploader.transfer.bundle import LARGEST
from uploader.transfer.climb import first
from uploader.transfer.feed import PIECE_BYTES

T = TypeVar("T")

_LARGE = 64 << 20
"""Bytes that are worth further connections before it is known what of them is there."""


def push(request: PushRequest, setting: Setting) -> Report | DryRun:
    """Puts models into a target's folders. Raises what stops it before it knows what to push: a target or profile
    that is not there, options that do not go together. What is wrong with single references is in the report, and so
    is a server that cannot be reached or refuses who we are: every item then failed for that."""
    target = setting.choose_target(request.to)
    place = _place(setting, target)
    with Http(allow_http=request.allow_http) as http, ExitStack() as kept:
        cancelled = threading.Event()
        patience = Patience(cancelled, setting.observer, setting.wait, attempts=ATTEMPTS_TO_RESOLVE)
        resolving = Resolving(request, place, setting.sources(http), patience, setting.observer)
        items = resolving.run()
        if resolving.faults:
            return Report(
                tuple(
                    Outcome(target.name, fault.source, "failed", error=Failure.of(fault.error))
                    for fault in resolving.faults
                )
            )
        if request.sidecars:
            folder = Path(kept.enter_context(TemporaryDirectory(prefix="uploader-")))
            items += sidecars(items, Making(place.webui, target.root, folder, http, patience, setting.observer))
        try:
            connector, _ = setting.connector(target)
            return _Push(request, setting, target, connector, resolving, cancelled).run(items)
        except UploaderError as error:
            return Report(tuple(replace(known(target, item), error=Failure.of(error)) for item in items))


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
        self,
        request: PushRequest,
        setting: Setting,
        target: Target,
        connector: Connector,
        resolving: Resolving,
        cancelled: threading.Event,
    ) -> None:
        self._request = request
        self._setting = setting
        self._target = target
        self._resolving = resolving
        provider = setting.catalog.provider(target.provider)
        most = provider.quirks.max_connections or MOST_CONNECTIONS
        self._pool = Pool(connector, min(request.connections or MOST_CONNECTIONS, most))
        self._unseen: dict[str, float] = {}
        self._resolve: Callable[[str], str] = str
        self._retrying = Patience(cancelled, setting.observer, setting.wait)
        self._means = Means(
            self._pool,
            setting.journals,
            setting.observer,
            self._retrying,
            cancelled,
            up=Pacer(request.limit, cancelled),
            down=Pacer(request.limit, cancelled),
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
                for warning in step.item.warnings:
                    self._setting.observer(Said(f"{step.item.name}: {warning}", "note"))
            sizes = [step.item.artifact.size or 0 for step in steps if step.error is None]
            self._setting.observer(Planned(len(steps), sum(sizes)))
            self._pool.warm(self._worth(steps))
            way = Way(self._resolving.sources, self._means, self._resolve, self._resolving.again, self._unseen)
            return Report(tuple(Carrying(self._request, self._setting, self._target, way).run(steps)))
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
        sizes = [step.bytes for step in steps if step.action is not Action.COMPARE]
        pieces = sum(-(-size // PIECE_BYTES) for size in sizes if size > LARGEST)
        pieces += -(-sum(size for size in sizes if size <= LARGEST) // PIECE_BYTES)  # these go together
        return self._at_first(self._pool.round_trip, pieces)

    def _using(self, call: Callable[[Connection], T]) -> T:
        def attempt() -> T:
            with self._pool.lease() as connection:
                return call(connection)

        return self._retrying(attempt, lambda: 0)
