"""The verb pull: files of a target fetched to this machine, whole and proven, again and again with --watch."""

from __future__ import annotations

import posixpath
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from uploader.commands.pull.decide import FetchStep, LocalState, PullAction, PullState, decide, taken
from uploader.commands.pull.request import PullPlan, PullRequest
from uploader.commands.pull.small_files import TOGETHER, TOGETHER_BYTES, Fetcher
from uploader.errors import ConfigurationError, RemoteMissing, UploaderError, UsageError
from uploader.events import Message, Planned
from uploader.remote.interface import Connection
from uploader.result import Failure, Outcome, Report
from uploader.scan.filters import Filters
from uploader.scan.remote import list_tree
from uploader.scan.tree import RemoteEntry
from uploader.session.runner import IN_FLIGHT, Runner, StepResult, Task, Together
from uploader.session.session import Session
from uploader.session.target import TargetSession
from uploader.session.watching import ABSENCE_SECONDS, LASTING, PASSING, ChangeFilter, stopped
from uploader.state.manifest import fetched
from uploader.transfer.chunks import CHUNK_BYTES
from uploader.transfer.small_files import groups

T = TypeVar("T")

LOOK_SECONDS = 2.0
"""How often --watch looks at the server; a file that was the same at two looks is whole."""


def pull(request: PullRequest, session: Session) -> Report | PullPlan:
    """Fetches files. Raises UsageError for what does not go together and what makes either side impossible to look at;
    what became of single files is in the report."""
    with TargetSession(session, request.to) as target, Pull(request, session, target) as pulling:
        plan = pulling.plan()
        return plan if request.dry_run else pulling.carry_out(plan)


def watch_pull(
    request: PullRequest,
    session: Session,
    tell: Callable[[Report], None],
    wait: Callable[[float], object] = time.sleep,
) -> None:
    """Fetches, and fetches what comes, until it is stopped: it ends by Interrupted. `tell` is given what became of
    each. What may pass is said once and waited for."""
    if request.dry_run:
        raise UsageError("--dry-run and --watch exclude each other", remedy="Give one of them.")
    news, seen = ChangeFilter(), Steady()
    session.observer(Message("watching; Ctrl-C ends it", "info"))
    with TargetSession(session, request.to) as target, Pull(request, session, target) as pulling:
        try:
            while True:
                wait(_once(pulling, session, tell, news, seen))
        except KeyboardInterrupt:
            raise stopped() from None


def _once(pulling: Pull, session: Session, tell: Callable[[Report], None], news: ChangeFilter, seen: Steady) -> float:
    try:
        report = pulling.carry_out(pulling.plan(seen.of))
    except LASTING:
        raise
    except PASSING as error:
        if news.absent(error):
            session.observer(Message(f"{error.message}; waiting for it", "note"))
        return ABSENCE_SECONDS
    tell(news.of(report))
    if pulling.interrupted:
        raise stopped()
    news.absent(None)
    return LOOK_SECONDS


class Steady:
    """Which of the server's files were the same at the last look: the others may still grow."""

    def __init__(self) -> None:
        self._last: Mapping[str, RemoteEntry] = {}

    def of(self, there: Mapping[str, RemoteEntry]) -> dict[str, RemoteEntry]:
        """Those of them that have not changed since the last time this was asked."""
        last, self._last = self._last, dict(there)
        return {key: file for key, file in there.items() if last.get(key) == file}


class Pull:
    """One pull from one target; `plan` and `carry_out` may be repeated."""

    def __init__(self, request: PullRequest, session: Session, target: TargetSession) -> None:
        self._request = request
        self._session = session
        self._target = target
        self._folder = Path(request.folder).absolute()
        self._manifest = session.manifests.of(fetched(target.name))
        self._cancelled = target.cancelled
        self._bringer = Fetcher(target.name, self._manifest, target.transfer)

    def __enter__(self) -> Pull:
        return self

    def __exit__(self, *_: object) -> None:
        self._manifest.flush()

    @property
    def interrupted(self) -> bool:
        return self._cancelled.is_set()

    def plan(self, steady: Callable[[Mapping[str, RemoteEntry]], dict[str, RemoteEntry]] | None = None) -> PullPlan:
        """Looks at both sides. `steady` says which of the server's files are whole."""
        remote = self._request.remote
        start = self._target.root if remote.strip("/") in ("", ".") else self._target.below(remote)
        base, found = self._target.with_connection(partial(self._listed, start))
        found = steady(found) if steady is not None else found
        scene = PullState(
            base,
            self._folder,
            found,
            _here(self._folder, found),
            self._manifest.files,
            insensitive=sys.platform in ("win32", "darwin"),
        )
        steps = decide(scene, new_only=self._request.new_only, replace_others=self._request.replace)
        steps = [self._compared(step) if step.action is PullAction.COMPARE else step for step in steps]
        return PullPlan(self._target.name, self._target.root, tuple(steps))

    def carry_out(self, plan: PullPlan) -> Report:
        """Fetches what is to be fetched."""
        wanted = [step for step in plan.steps if step.action is PullAction.FETCH]
        self._session.observer(Planned(len(wanted), sum(step.size for step in wanted)))
        outcomes: dict[FetchStep, Outcome] = {}
        for step in plan.steps:
            known = _known(plan, step)
            if step.error is not None:
                outcomes[step] = replace(known, error=Failure.of(step.error))
            elif step.action is PullAction.KEEP:
                outcomes[step] = replace(known, status="kept")
        try:
            outcomes |= self._fetch(plan, wanted)
        finally:
            self._manifest.flush()
        return Report(tuple(outcomes[step] for step in plan.steps), stopped=self.interrupted)

    def _listed(self, start: str, connection: Connection) -> tuple[str, dict[str, RemoteEntry]]:
        """The folder that names are relative to, and the files that take part."""
        there = connection.files.stat(start)
        if there is None:
            raise RemoteMissing(
                f"there is no {self._request.remote} below {self._target.root}",
                remedy="`uploader ls` lists the models.",
            )
        if there.is_folder:
            filters = Filters(self._request.include, self._request.exclude)
            return start, list_tree(connection, start, filters).files
        folder, name = posixpath.split(start)
        return folder, {name: RemoteEntry(name, there.size, there.mtime)}

    def _compared(self, step: FetchStep) -> FetchStep:
        try:
            same = self._bringer.is_same(step)
        except ConfigurationError:
            same = False
        if not same:
            return taken(step)
        if not self._request.dry_run:
            self._bringer.remember(step, None)
        return replace(step, action=PullAction.KEEP, reason="the bytes are the same")

    def _fetch(self, plan: PullPlan, steps: Sequence[FetchStep]) -> dict[FetchStep, Outcome]:
        """The small files first, many at once, then the large ones."""
        small = [step for step in steps if step.size <= CHUNK_BYTES]
        big = [step for step in steps if step.size > CHUNK_BYTES]
        together = groups(small, most=TOGETHER, most_bytes=TOGETHER_BYTES)
        fetched = self._run(small, [self._together(plan, group) for group in together], len(together))
        return fetched | self._run(big, [self._task(plan, step, self._bringer.fetch_big) for step in big], IN_FLIGHT)

    def _run(
        self, steps: Sequence[FetchStep], work: Sequence[Task | Together], workers: int
    ) -> dict[FetchStep, Outcome]:
        pool = self._target.pool
        runner = Runner(self._session.observer, self._cancelled, pool.interrupt, min(workers, pool.most))
        return dict(zip(steps, runner.run(work) if work else [], strict=True))

    def _together(self, plan: PullPlan, steps: Sequence[FetchStep]) -> Together:
        def run() -> list[Outcome | UploaderError]:
            ended = self._bringer.fetch_small(steps)
            return [
                end if isinstance(end, UploaderError) else _fetched(plan, step, end)
                for step, end in zip(steps, ended, strict=True)
            ]

        return Together(tuple(self._task(plan, step, self._alone) for step in steps), run)

    def _alone(self, step: FetchStep) -> StepResult:
        (end,) = self._bringer.fetch_small([step])
        if isinstance(end, UploaderError):
            raise end
        return end

    def _task(self, plan: PullPlan, step: FetchStep, fetch: Callable[[FetchStep], StepResult]) -> Task:
        return Task(step.key, _known(plan, step), lambda: _fetched(plan, step, fetch(step)))


def _fetched(plan: PullPlan, step: FetchStep, done: StepResult) -> Outcome:
    return replace(
        _known(plan, step),
        status="placed",
        evidence=done.evidence,
        sha256=done.sha256,
        resumed_from=done.resumed_from,
    )


def _known(plan: PullPlan, step: FetchStep) -> Outcome:
    """What can be told of a step beforehand: it goes from a path below the root to one on this machine."""
    return Outcome(
        plan.target,
        posixpath.relpath(step.remote, plan.root),
        "failed",
        name=step.local.name,
        route="local",
        path=str(step.local),
        size=step.size,
    )


def _here(folder: Path, there: Mapping[str, RemoteEntry]) -> dict[str, LocalState]:
    """What is here already of the names that are wanted."""
    found: dict[str, LocalState] = {}
    for key in there:
        try:
            state = (folder / key).stat()
        except (OSError, ValueError):
            continue
        found[key] = LocalState(state.st_size, state.st_mtime_ns, not (folder / key).is_file())
    return found
