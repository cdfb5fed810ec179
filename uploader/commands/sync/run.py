"""The verb sync: a plan for a whole folder, then one outcome for each of its files."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from uploader.commands.sync.apply import RemoteChanges
from uploader.commands.sync.decide import Action, SyncStep
from uploader.commands.sync.plan import make_plan, source_of
from uploader.commands.sync.request import SyncPlan, SyncRequest
from uploader.commands.sync.state import Place
from uploader.errors import DeletionRefused, UploaderError, UsageError
from uploader.events import Message, Planned
from uploader.placement import folder_fault, model_extension
from uploader.result import Failure, Outcome, Report
from uploader.scan.filters import TRASH
from uploader.scan.tree import LocalEntry
from uploader.session.runner import IN_FLIGHT, Runner, StepResult, Task, Together
from uploader.session.session import Session
from uploader.session.target import TargetSession
from uploader.state.manifest import Manifest
from uploader.transfer.batches import batches
from uploader.webui.notify import notify

_BRINGING = (Action.COPY, Action.MOVE, Action.SEND, Action.REPLACE)


def sync(request: SyncRequest, session: Session) -> Report | SyncPlan:
    """Makes a folder of the target hold what a local one holds. Raises UsageError for what does not go together, and
    what makes either side impossible to look at; what became of single files is in the report."""
    with open_sync(request, session) as syncing:
        plan = syncing.plan()
        return plan if request.dry_run else syncing.carry_out(plan)


@contextmanager
def open_sync(request: SyncRequest, session: Session) -> Iterator[Sync]:
    """Prepare a sync; no connection opens yet. Raises UsageError, RouteUnavailable."""
    check(request)
    with TargetSession(session, request.to) as target:
        yield Sync(request, session, target, place_of(request, session, target))


def check(request: SyncRequest) -> None:
    """Raises UsageError for options that do not go together."""
    if request.into is not None and request.by_kind:
        raise UsageError("--into and --by-kind exclude each other", remedy="Give one of them.")
    if not request.delete and (request.trash or request.max_delete is not None):
        raise UsageError("--trash and --max-delete say how to delete", remedy="Add --delete, or leave them out.")
    if request.dry_run and request.watch:
        raise UsageError("--dry-run and --watch exclude each other", remedy="Give one of them.")


def _sorts_by_kind(folder: str, session: Session) -> bool:
    """Whether a folder whose purpose nobody named holds models at its top, and somebody wants them sorted."""
    try:
        models = [entry.name for entry in Path(folder).iterdir() if entry.is_file() and model_extension(entry.name)]
    except OSError:
        return False  # the scan will say what is wrong with it
    if not models:
        return False
    remedy = "Give --by-kind to sort them into the WebUI's folders, or --into SUBFOLDER to mirror the folder there."
    if session.prompter is None:
        raise UsageError(f"{folder} holds models: are they to be sorted by kind?", remedy=remedy)
    session.prompter.show(f"{folder} holds models ({models[0]} …).")
    if not session.prompter.confirm("Sort them into the WebUI's folders by what they are?"):
        raise UsageError(f"nothing was done with {folder}", remedy=remedy)
    return True


class Sync:
    """One sync to one target, from the connection on; `plan` and `carry_out` may be repeated. `clock` gives the time
    that the trash is named for."""

    def __init__(
        self,
        request: SyncRequest,
        session: Session,
        target: TargetSession,
        place: Place,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._request = request
        self._session = session
        self._target = target
        self._place = place
        self._clock = clock
        self._pool = target.pool
        self._cancelled = target.cancelled
        self._manifest = target.manifest
        self._carrier = RemoteChanges(
            Path(request.folder).absolute(), target.name, self._manifest, target.transfer, replaces_any=request.replace
        )

    @property
    def interrupted(self) -> bool:
        return self._cancelled.is_set()

    def plan(self, growing: Callable[[LocalEntry], bool] | None = None) -> SyncPlan:
        """Looks at both sides. `growing` says of a local file that it is not to be touched yet."""
        self._manifest.reload()
        return make_plan(
            self._request, self._place, self._target.transfer, self._manifest, growing=growing, say=self._say
        )

    def carry_out(self, plan: SyncPlan) -> Report:
        """Does what the plan says, in an order in which nothing is taken away that is needed still."""
        base = self._base(plan)
        with self._session.uploads.claim(self._target.name, base):
            work = [step for step in plan.steps if step.action not in (Action.KEEP, Action.REFUSE)]
            self._session.observer(Planned(len(work), sum(step.size for step in work if step.here)))
            try:
                outcomes = self._phases(plan)
            finally:
                self._manifest.flush()
        if not self.interrupted:
            outcomes = self._told(plan, outcomes)
        return Report(tuple(outcomes), stopped=self.interrupted)

    def _base(self, plan: SyncPlan) -> str:
        """The absolute folder that this sync is about."""
        return posixpath.join(plan.root, self._place.into or "").rstrip("/") or "/"

    def _told(self, plan: SyncPlan, outcomes: list[Outcome]) -> list[Outcome]:
        """Tells the WebUI of the models that came, where they were sorted by kind: else nobody knows what they are."""
        came = [
            replace(outcome, path=posixpath.join(plan.root, outcome.path or ""))
            for outcome in outcomes
            if _came(outcome)
        ]
        told = iter(
            notify(came, self._target.target, self._session, self._pool, select=False, cancelled=self._cancelled)
        )
        return [replace(outcome, webui=next(told).webui) if _came(outcome) else outcome for outcome in outcomes]

    def _say(self, text: str) -> None:
        self._session.observer(Message(text, "info"))

    def _phases(self, plan: SyncPlan) -> list[Outcome]:
        """What is copied or moved goes first, while its bytes are where the plan found them; what is removed last."""
        trash = posixpath.join(plan.root, TRASH, f"{self._clock():%Y-%m-%dT%H-%M-%S}")
        by_action: dict[Action, list[SyncStep]] = {action: [] for action in Action}
        for step in plan.steps:
            by_action[step.action].append(step)
        if self._has_work(plan):
            self._carrier.clear_parts(self._base(plan), plan.steps)
            self._target.make_folders(_folders(plan, trash))
        self._carrier.keep(by_action[Action.KEEP])
        outcomes = {step: _kept(plan, step, self._manifest) for step in by_action[Action.KEEP]}
        outcomes |= {step: _refused(plan, step) for step in by_action[Action.REFUSE]}
        outcomes |= self._each(plan, by_action[Action.COPY], self._copy)
        outcomes |= self._each(plan, by_action[Action.MOVE], self._carrier.move)
        outcomes |= self._send(plan, [*by_action[Action.SEND], *by_action[Action.REPLACE]])
        if all(outcomes[step].status == "placed" for action in _BRINGING for step in by_action[action]):
            outcomes |= self._each(plan, by_action[Action.DELETE], self._carrier.remove)
            outcomes |= self._each(plan, by_action[Action.TRASH], partial(self._trash, trash, plan))
        else:
            outcomes |= {step: _spared(plan, step) for step in by_action[Action.DELETE] + by_action[Action.TRASH]}
        if self._manifest.begun and all(outcome.status != "failed" for outcome in outcomes.values()):
            self._carrier.clear_parts(self._base(plan))
        return [outcomes[step] for step in plan.steps]

    def _has_work(self, plan: SyncPlan) -> bool:
        idle = (Action.KEEP, Action.REFUSE)
        return bool(self._manifest.begun) or any(step.action not in idle for step in plan.steps)

    def _run(
        self, work: Sequence[tuple[tuple[SyncStep, ...], Task | Together]], workers: int
    ) -> dict[SyncStep, Outcome]:
        if not work:
            return {}
        runner = Runner(self._session.observer, self._cancelled, self._pool.interrupt, min(workers, self._pool.most))
        steps = [step for concerned, _ in work for step in concerned]
        return dict(zip(steps, runner.run([unit for _, unit in work]), strict=True))

    def _each(
        self, plan: SyncPlan, steps: Sequence[SyncStep], carry: Callable[[SyncStep], StepResult]
    ) -> dict[SyncStep, Outcome]:
        return self._run([((step,), self._task(plan, step, partial(carry, step))) for step in steps], IN_FLIGHT)

    def _send(self, plan: SyncPlan, steps: Sequence[SyncStep]) -> dict[SyncStep, Outcome]:
        """The small files first, many at once, then the large ones."""
        config = self._session.config
        small = [step for step in steps if self._carrier.goes_together(step)]
        cut = batches(small, most=config.sync_batch_files, most_bytes=config.sync_batch_bytes)
        sent = self._run([(tuple(batch), self._together(plan, batch)) for batch in cut], len(cut))
        large = [step for step in steps if not self._carrier.goes_together(step)]
        return sent | self._each(plan, large, self._carrier.send_big)

    def _together(self, plan: SyncPlan, steps: Sequence[SyncStep]) -> Together:
        def run() -> list[Outcome | UploaderError]:
            ended = self._carrier.send_small(steps)
            return [
                end if isinstance(end, UploaderError) else carried_outcome(plan, step, end)
                for step, end in zip(steps, ended, strict=True)
            ]

        return Together(tuple(self._task(plan, step, partial(self._sent_alone, step)) for step in steps), run)

    def _copy(self, step: SyncStep) -> StepResult:
        done = self._carrier.copy(step)
        if done is not None:
            return done
        return self._sent_alone(step)

    def _sent_alone(self, step: SyncStep) -> StepResult:
        if not self._carrier.goes_together(step):
            return self._carrier.send_big(step)
        (end,) = self._carrier.send_small([step])
        if isinstance(end, UploaderError):
            raise end
        return end

    def _trash(self, trash: str, plan: SyncPlan, step: SyncStep) -> StepResult:
        return self._carrier.put_into_trash(step, _in_trash(trash, plan, step))

    def _task(self, plan: SyncPlan, step: SyncStep, carry: Callable[[], StepResult]) -> Task:
        def run() -> Outcome:
            return carried_outcome(plan, step, carry())

        return Task(step.key, known_outcome(plan, step), run, partial(self._carrier.bytes_sent, step.key))


def _came(outcome: Outcome) -> bool:
    return outcome.status == "placed" and outcome.kind is not None


def carried_outcome(plan: SyncPlan, step: SyncStep, done: StepResult) -> Outcome:
    """What became of a step that was carried out."""
    return replace(
        known_outcome(plan, step),
        status="removed" if step.action in (Action.DELETE, Action.TRASH) else "placed",
        evidence=done.evidence,
        sha256=done.sha256,
        bytes_sent=done.bytes_sent,
        resumed_from=done.resumed_from,
    )


def known_outcome(plan: SyncPlan, step: SyncStep) -> Outcome:
    """What can be told of a step beforehand."""
    sent = step.action in (Action.SEND, Action.REPLACE, Action.KEEP)
    return Outcome(
        plan.target,
        source_of(step, plan.folder),
        "failed",
        name=posixpath.basename(step.path),
        kind=plan.kinds.get(step.key),
        route="local" if sent else "server",
        path=posixpath.relpath(step.path, plan.root),
        size=step.size,
    )


def _kept(plan: SyncPlan, step: SyncStep, manifest: Manifest) -> Outcome:
    known = manifest.get(step.path)
    sha256 = step.sha256 or (known.sha256 if known else None)
    return replace(known_outcome(plan, step), status="kept", evidence=step.evidence, sha256=sha256)


def _refused(plan: SyncPlan, step: SyncStep) -> Outcome:
    error = step.error or UploaderError(step.reason)
    return replace(known_outcome(plan, step), error=Failure.of(error))


def _spared(plan: SyncPlan, step: SyncStep) -> Outcome:
    error = DeletionRefused(
        f"{step.key} stays: not all that was to be placed was, and nothing is deleted before that",
        remedy="See to what failed, then run the same command again.",
    )
    return replace(known_outcome(plan, step), error=Failure.of(error))


def _folders(plan: SyncPlan, trash: str) -> Iterator[str]:
    """The folders that the steps need."""
    for step in plan.steps:
        if step.action is Action.TRASH:
            yield posixpath.dirname(_in_trash(trash, plan, step))
        elif step.action in (Action.SEND, Action.REPLACE, Action.COPY, Action.MOVE):
            yield posixpath.dirname(step.path)


def _in_trash(trash: str, plan: SyncPlan, step: SyncStep) -> str:
    return posixpath.join(trash, posixpath.relpath(step.path, plan.root))


def place_of(request: SyncRequest, session: Session, target: TargetSession) -> Place:
    """Decides where a sync goes. Asks, or raises UsageError, where the folder does not tell whether it is a tree to be
    mirrored or a heap of models to be sorted."""
    into = None if request.by_kind else request.into
    if into is not None:
        into = into.strip("/")
        if into and (fault := folder_fault(into)) is not None:
            raise UsageError(f"--into {request.into}: {fault}", remedy="Give a folder below the target's root.")
    elif not request.by_kind and not _sorts_by_kind(request.folder, session):
        into = ""
    return Place(target.name, target.target.root, into, target.webui, target.folders)
