"""One sync to one target: the plan, its phases, and an outcome for each file."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from uploader.commands.sync.apply import RemoteChanges
from uploader.commands.sync.decide import SyncStep
from uploader.commands.sync.plan import choose_place, make_plan
from uploader.commands.sync.request import SyncRequest
from uploader.commands.sync.state import Place
from uploader.errors import DeletionRefused, UploaderError, UsageError
from uploader.events import Planned
from uploader.result import Failure, Outcome, Report
from uploader.scan.filters import TRASH
from uploader.scan.tree import LocalEntry
from uploader.session.runner import Runner, StepResult, Task, Together, run_small_then_large
from uploader.session.session import Session
from uploader.session.target import TargetSession
from uploader.steps import Action, Plan
from uploader.transfer.batches import batches
from uploader.webui.notify import notify

_IDLE = (Action.KEEP, Action.REFUSE)
_BRINGING = (Action.COPY, Action.MOVE, Action.SEND, Action.REPLACE)
_REMOVING = (Action.DELETE, Action.TRASH)


def sync(request: SyncRequest, session: Session) -> Report | Plan[SyncStep]:
    """Make a folder of the target equal to a local folder. The report has the outcome of each file.

    Raises UsageError when options exclude each other. Raises UploaderError when one side cannot be listed.
    """
    with open_sync(request, session) as syncing:
        plan = syncing.plan()
        return plan if request.dry_run else syncing.carry_out(plan)


@contextmanager
def open_sync(request: SyncRequest, session: Session) -> Iterator[Sync]:
    """Prepare a sync; no connection opens yet. Raises UsageError or RouteUnavailable when it cannot work."""
    check(request)
    with TargetSession(session, request.to) as target:
        yield Sync(request, target, choose_place(request, target))


def check(request: SyncRequest) -> None:
    """Raise UsageError when options exclude each other."""
    if request.into is not None and request.by_kind:
        raise UsageError("--into and --by-kind exclude each other", remedy="Give one of them.")
    if not request.delete and (request.trash or request.max_delete is not None):
        raise UsageError("--trash and --max-delete say how to delete", remedy="Add --delete, or leave them out.")
    if request.dry_run and request.watch:
        raise UsageError("--dry-run and --watch exclude each other", remedy="Give one of them.")


class Sync:
    """One sync to one target. `plan` and `carry_out` may be repeated. `clock` returns the time in the trash's name."""

    def __init__(
        self,
        request: SyncRequest,
        target: TargetSession,
        place: Place,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._request = request
        self._target = target
        self._session = target.session
        self._place = place
        self._clock = clock
        self._folder = Path(request.folder).absolute()
        self._manifest = target.manifest
        self._changes = RemoteChanges(self._folder, target, replaces_any=request.replace)

    @property
    def interrupted(self) -> bool:
        return self._target.cancelled.is_set()

    def plan(self, growing: Callable[[LocalEntry], bool] | None = None) -> Plan[SyncStep]:
        """List both sides and decide. `growing` returns True for a local file that must not be sent yet."""
        self._manifest.reload()
        return make_plan(self._request, self._place, self._target, growing=growing)

    def carry_out(self, plan: Plan[SyncStep]) -> Report:
        """Do what the plan says. Raises Busy while another sync works on the same folder."""
        with self._session.uploads.claim(self._target.name, self._base(plan)):
            work = [step for step in plan.steps if step.action not in _IDLE]
            self._session.observer(Planned(len(work), sum(step.size for step in work if step.here)))
            try:
                outcomes = self._run_phases(plan)
            finally:
                self._manifest.flush()
        if not self.interrupted:
            outcomes = self._notify(plan, outcomes)
        return Report(tuple(outcomes), stopped=self.interrupted)

    # phases -------------------------------------------------------------------------------------------

    def _run_phases(self, plan: Plan[SyncStep]) -> list[Outcome]:
        """Copy and move first, while the bytes are where the plan found them. Then send. Remove last."""
        trash = posixpath.join(plan.root, TRASH, f"{self._clock():%Y-%m-%dT%H-%M-%S}")
        by_action: dict[Action, list[SyncStep]] = defaultdict(list)
        for step in plan.steps:
            by_action[step.action].append(step)
        if self._manifest.begun or any(step.action not in _IDLE for step in plan.steps):
            self._changes.clear_parts(self._base(plan), plan.steps)
            self._target.make_folders(_folders(plan, trash))
        self._changes.keep(by_action[Action.KEEP])
        outcomes = {step: self._kept(plan, step) for step in by_action[Action.KEEP]}
        outcomes |= {step: self._failed(plan, step, step.error) for step in by_action[Action.REFUSE]}
        outcomes |= self._each(plan, by_action[Action.COPY], self._copy)
        outcomes |= self._each(plan, by_action[Action.MOVE], self._changes.move)
        outcomes |= self._send(plan, [*by_action[Action.SEND], *by_action[Action.REPLACE]])
        if all(outcomes[step].status == "placed" for action in _BRINGING for step in by_action[action]):
            outcomes |= self._each(plan, by_action[Action.DELETE], self._changes.remove)
            outcomes |= self._each(plan, by_action[Action.TRASH], partial(self._trash, trash, plan))
        else:
            spared = [step for action in _REMOVING for step in by_action[action]]
            outcomes |= {step: self._failed(plan, step, _spared(step)) for step in spared}
        if self._manifest.begun and all(outcome.status != "failed" for outcome in outcomes.values()):
            self._changes.clear_parts(self._base(plan))
        return [outcomes[step] for step in plan.steps]

    def _each(
        self, plan: Plan[SyncStep], steps: Sequence[SyncStep], change: Callable[[SyncStep], StepResult]
    ) -> dict[SyncStep, Outcome]:
        tasks = [self._task(plan, step, partial(change, step)) for step in steps]
        return dict(zip(steps, run_small_then_large(self._runner(), [], tasks, groups=0), strict=True))

    def _send(self, plan: Plan[SyncStep], steps: Sequence[SyncStep]) -> dict[SyncStep, Outcome]:
        config = self._session.config
        small = [step for step in steps if self._changes.goes_together(step)]
        large = [step for step in steps if not self._changes.goes_together(step)]
        cut = batches(small, most=config.sync_batch_files, most_bytes=config.sync_batch_bytes)
        groups = [self._group(plan, group) for group in cut]
        tasks = [self._task(plan, step, partial(self._changes.send_large, step)) for step in large]
        outcomes = run_small_then_large(self._runner(), groups, tasks, groups=len(groups))
        return dict(zip([*small, *large], outcomes, strict=True))

    def _group(self, plan: Plan[SyncStep], steps: Sequence[SyncStep]) -> Together:
        def run() -> list[Outcome | UploaderError]:
            ended = self._changes.send_small(steps)
            return [
                end if isinstance(end, UploaderError) else self._done(plan, step, end)
                for step, end in zip(steps, ended, strict=True)
            ]

        return Together(tuple(self._task(plan, step, partial(self._send_alone, step)) for step in steps), run)

    def _copy(self, step: SyncStep) -> StepResult:
        return self._changes.copy(step) or self._send_alone(step)

    def _send_alone(self, step: SyncStep) -> StepResult:
        if not self._changes.goes_together(step):
            return self._changes.send_large(step)
        (end,) = self._changes.send_small([step])
        if isinstance(end, UploaderError):
            raise end
        return end

    def _trash(self, trash: str, plan: Plan[SyncStep], step: SyncStep) -> StepResult:
        return self._changes.put_into_trash(step, posixpath.join(trash, plan.shown(step)))

    def _task(self, plan: Plan[SyncStep], step: SyncStep, change: Callable[[], StepResult]) -> Task:
        def run() -> Outcome:
            return self._done(plan, step, change())

        return Task(step.key, self._known(plan, step), run, partial(self._changes.bytes_sent, step.key))

    def _runner(self) -> Runner:
        pool = self._target.pool
        return Runner(self._session.observer, self._target.cancelled, pool.interrupt, pool.most)

    def _notify(self, plan: Plan[SyncStep], outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Notify the WebUI of new models. Only files that were sorted by kind are known to be models."""
        target = self._target
        new = [
            replace(outcome, path=posixpath.join(plan.root, outcome.path or ""))
            for outcome in outcomes
            if _is_new_model(outcome)
        ]
        after = iter(notify(new, target.target, self._session, target.pool, select=False, cancelled=target.cancelled))
        return [
            replace(outcome, webui=next(after).webui) if _is_new_model(outcome) else outcome for outcome in outcomes
        ]

    # outcomes -----------------------------------------------------------------------------------------

    def _known(self, plan: Plan[SyncStep], step: SyncStep) -> Outcome:
        """Return what is known of a step before it is carried out."""
        return Outcome(
            plan.target,
            str(self._folder / step.here.path) if step.here else step.key,
            "failed",
            name=step.name,
            kind=step.kind,
            route=step.route,
            path=plan.shown(step),
            size=step.size,
        )

    def _done(self, plan: Plan[SyncStep], step: SyncStep, result: StepResult) -> Outcome:
        return replace(
            self._known(plan, step),
            status="removed" if step.action in _REMOVING else "placed",
            evidence=result.evidence,
            sha256=result.sha256,
            bytes_sent=result.bytes_sent,
            resumed_from=result.resumed_from,
        )

    def _kept(self, plan: Plan[SyncStep], step: SyncStep) -> Outcome:
        known = self._manifest.get(step.path)
        sha256 = step.sha256 or (known.sha256 if known else None)
        return replace(self._known(plan, step), status="kept", evidence=step.evidence, sha256=sha256)

    def _failed(self, plan: Plan[SyncStep], step: SyncStep, error: UploaderError | None) -> Outcome:
        return replace(self._known(plan, step), error=Failure.of(error or UploaderError(step.reason)))

    def _base(self, plan: Plan[SyncStep]) -> str:
        """Return the absolute folder on the server that this sync makes equal."""
        return posixpath.join(plan.root, self._place.into or "").rstrip("/") or "/"


def _is_new_model(outcome: Outcome) -> bool:
    return outcome.status == "placed" and outcome.kind is not None


def _spared(step: SyncStep) -> DeletionRefused:
    return DeletionRefused(
        f"{step.key} stays: not all that was to be placed was, and nothing is deleted before that",
        remedy="See to what failed, then run the same command again.",
    )


def _folders(plan: Plan[SyncStep], trash: str) -> Iterator[str]:
    """Yield the folders that the steps need."""
    for step in plan.steps:
        if step.action is Action.TRASH:
            yield posixpath.dirname(posixpath.join(trash, plan.shown(step)))
        elif step.action in _BRINGING:
            yield posixpath.dirname(step.path)
