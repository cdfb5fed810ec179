"""A push to one target: everything decided before anything moves, then one outcome for each item."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial

from uploader.app.carrying import Carrying, known_outcome
from uploader.app.looking import Look
from uploader.app.notifying import check_switch, notify, untold
from uploader.app.patience import Patience
from uploader.app.requests import DryRun, PushRequest
from uploader.app.resolving import Place, Resolving, Seen
from uploader.app.setting import Setting
from uploader.errors import RouteUnavailable, UploaderError, UsageError
from uploader.events import Planned, Said
from uploader.http import Http
from uploader.placement import root_fault
from uploader.plan import Action, Item, Listing, PlannedStep, Wishes, plan
from uploader.profile import MOST_CONNECTIONS, Target
from uploader.remote.interface import Connection
from uploader.result import Failure, Outcome, Report
from uploader.transfer.climb import first
from uploader.transfer.feed import PIECE_BYTES

_LARGE = 64 << 20
"""Bytes that are worth further connections before it is known what of them is there."""

_ATTEMPTS_TO_RESOLVE = 3
"""Tries for a reference's address: few, as a mistyped one fails like a line that is down."""


def _place(setting: Setting, target: Target) -> Place:
    provider, webui = setting.profiles_of(target)
    if not provider.sftp:
        raise RouteUnavailable(provider.reason or f"{provider.name} has no SFTP", remedy=provider.instead)
    if (fault := root_fault(target.root)) is not None:
        raise UsageError(f"the root {target.root!r} of {target.name} cannot be used: {fault}")
    return Place(target, webui, setting.folders_of(target))


class Push:
    """One push to one target. `seen` is shared with the pushes of the same references to other targets."""

    def __init__(self, request: PushRequest, setting: Setting, target: Target, http: Http, seen: Seen) -> None:
        self._request = request
        self._setting = setting
        self._target = target
        self._http = http
        self._seen = seen
        self._place = _place(setting, target)
        check_switch(target, select=request.select)
        self._carrying = Carrying(request, setting, target, http, seen)
        self._ending = threading.Lock()
        self._outcomes: list[Outcome] | None = None

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
        patience = Patience(
            self._carrying.cancelled, self._setting.observer, self._setting.wait, attempts=_ATTEMPTS_TO_RESOLVE
        )
        resolving = Resolving(self._request, self._place, self._http, patience, self._seen)
        items = resolving.run()
        name = self._target.name
        failed = [Outcome(name, fault.source, "failed", error=Failure.of(fault.error)) for fault in resolving.faults]
        return items, Report(tuple(failed)) if failed else None

    def failed(self, items: list[Item], error: UploaderError) -> Report:
        return Report(tuple(replace(known_outcome(self._target, item), error=Failure.of(error)) for item in items))

    def left(self, items: list[Item], error: UploaderError) -> Report:
        """What became of the items of a push that was ended before it told: done, if only the WebUI was waited for."""
        if self._outcomes is None:
            return self.failed(items, error)
        return Report(tuple(untold(self._outcomes) if self._request.notify else self._outcomes), stopped=True)

    def stop(self) -> None:
        """Ends it at once, from another thread: what arrived stays."""
        with self._ending:
            self._carrying.cancelled.set()
            self._carrying.interrupt()

    def carry_out(self, items: list[Item]) -> Report | DryRun:
        """From the connection on. Raises UploaderError when the server cannot be reached or looked at."""
        try:
            if not self._request.dry_run:
                self._carrying.pool.ahead(partial(self._worth_by_size, items))
            steps = self._plan(items)
            if self._request.dry_run:
                return DryRun(self._target.name, tuple(steps))
            for step in steps:
                self._setting.observer(Said(f"{step.item.name}: {step.reason}", "debug"))
            sizes = [step.item.artifact.size or 0 for step in steps if step.error is None]
            self._setting.observer(Planned(len(steps), sum(sizes)))
            self._carrying.pool.warm(self._worth(steps))
            outcomes = self._outcomes = self._carrying.run(steps)
            cancelled, pool = self._carrying.cancelled, self._carrying.pool
            if self._request.notify and not cancelled.is_set():
                outcomes = notify(
                    outcomes, self._target, self._setting, pool, select=self._request.select, cancelled=cancelled
                )
            return Report(tuple(outcomes), stopped=cancelled.is_set())
        finally:
            with self._ending:  # the servers are told by these lines
                self._carrying.close()

    def _plan(self, items: list[Item]) -> list[PlannedStep]:
        wishes = Wishes(replace=self._request.replace, mkdir=self._request.mkdir)

        def look(connection: Connection) -> list[PlannedStep]:
            self._carrying.resolve = connection.files.resolve
            seen = Look(connection, self._target.root, self._setting.journals, self._target.name)
            settled = self._carrying.serving.settle(connection, items)
            routed = [item for item, _ in settled]
            listings = [
                self._carrying.serving.listing(connection, item, listing) if error is None else Listing(error=error)
                for (item, error), listing in zip(settled, seen.at(routed), strict=True)
            ]
            steps = plan(routed, listings, wishes, root=self._target.root, free=seen.free_bytes(routed))
            facts = connection.facts  # by now they are there
            self._carrying.serving.host_key = facts.host_key
            shell = f"a shell ({', '.join(facts.tools)})" if facts.shell else "no shell"
            self._setting.observer(Said(f"connected to {self._target.name}: {facts.software}, {shell}", "debug"))
            return steps

        return self._carrying.using(look)

    def _worth_by_size(self, items: list[Item], round_trip: float) -> int:
        """As `_worth`, before there is a plan: of so many bytes some have to be sent, mostly."""
        large = sum(item.artifact.size or 0 for item in items) >= _LARGE
        return self._at_first(round_trip, MOST_CONNECTIONS) if large else 1

    def _at_first(self, round_trip: float, pieces: int) -> int:
        most = min(self._carrying.pool.most, pieces)
        return most if self._request.connections else first(round_trip, most)

    def _worth(self, steps: list[PlannedStep]) -> int:
        """How many connections what has to be sent is worth; opened side by side while the first already sends."""
        pieces = sum(-(-step.bytes // PIECE_BYTES) for step in steps if step.action is not Action.COMPARE)
        return self._at_first(self._carrying.pool.round_trip, pieces)
