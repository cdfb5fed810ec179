"""Pull: list → decide → download → report."""

from __future__ import annotations

import posixpath
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from uploader.commands.pull.decide import LocalState, PullState, PullStep, decide, taken
from uploader.commands.pull.large_files import download_large, is_same
from uploader.commands.pull.request import PullRequest
from uploader.commands.pull.small_files import MOST_BYTES, MOST_FILES, download_small
from uploader.errors import RemoteMissing, UploaderError
from uploader.events import Planned
from uploader.remote.interface import Connection
from uploader.result import Failure, Outcome, Report
from uploader.scan.filters import Filters
from uploader.scan.remote import list_tree
from uploader.scan.tree import RemoteEntry
from uploader.session.runner import Runner, StepResult, Task, Together, run_small_then_large
from uploader.session.session import Session
from uploader.session.target import TargetSession
from uploader.state.manifest import PlacedFile
from uploader.steps import Action, Plan
from uploader.transfer.batches import batches


def pull(request: PullRequest, session: Session) -> Report | Plan[PullStep]:
    """Fetch files and report on each, or return the plan of a dry run.

    Raises UsageError, and what keeps either side from being listed.
    """
    with TargetSession(session, request.to) as target, Pull(request, session, target) as pulling:
        plan = pulling.plan()
        return plan if request.dry_run else pulling.carry_out(plan)


class Pull:
    """One pull from one target. `plan` and `carry_out` may be repeated."""

    def __init__(self, request: PullRequest, session: Session, target: TargetSession) -> None:
        self._request = request
        self._session = session
        self._target = target
        self._folder = Path(request.folder).absolute()
        self._manifest = session.manifests.of(target.name, "pull")
        self._context = target.transfer

    def __enter__(self) -> Pull:
        return self

    def __exit__(self, *_: object) -> None:
        self._manifest.flush()

    @property
    def interrupted(self) -> bool:
        """True after the user stopped it."""
        return self._target.cancelled.is_set()

    def plan(self, choose: Callable[[Mapping[str, RemoteEntry]], dict[str, RemoteEntry]] = dict) -> Plan[PullStep]:
        """List both sides and decide. `choose` returns the files of the server that take part."""
        remote = self._request.remote
        start = self._target.root if remote.strip("/") in ("", ".") else self._target.below(remote)
        base, found = self._context.with_connection(partial(self._list, start))
        found = choose(found)
        state = PullState(
            self._target.root,
            base,
            self._folder,
            found,
            _local_states(self._folder, found),
            self._manifest.files,
            insensitive=sys.platform in ("win32", "darwin"),
        )
        steps = decide(state, new_only=self._request.new_only, replace_others=self._request.replace)
        steps = [self._compared(step) if step.action is Action.COMPARE else step for step in steps]
        return Plan(self._target.name, "", steps)

    def carry_out(self, plan: Plan[PullStep]) -> Report:
        """Download what the plan says. Return an outcome for each step."""
        wanted = [step for step in plan.steps if step.action is Action.FETCH]
        self._session.observer(Planned(len(wanted), sum(step.size for step in wanted)))
        try:
            done = self._download(wanted)
        finally:
            self._manifest.flush()
        return Report(tuple(done.get(step.key) or self._settled(step) for step in plan.steps), stopped=self.interrupted)

    def _settled(self, step: PullStep) -> Outcome:
        """Return the outcome of a step that has nothing to download."""
        known = self._known(step)
        return replace(known, error=Failure.of(step.error)) if step.error else replace(known, status="kept")

    def _list(self, start: str, connection: Connection) -> tuple[str, dict[str, RemoteEntry]]:
        """Return the folder that names are relative to, and the files that take part."""
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

    def _compared(self, step: PullStep) -> PullStep:
        if not is_same(step, self._context):
            return taken(step)
        if not self._request.dry_run:
            self._record(step, None)
        return replace(step, action=Action.KEEP, reason="the bytes are the same")

    def _record(self, step: PullStep, sha256: str | None) -> None:
        """Record that the local file is the server's."""
        mtime_ns = step.local.stat().st_mtime_ns
        self._manifest.record(step.remote, PlacedFile(step.size, sha256, mtime_ns, step.there.mtime, str(step.local)))

    def _download(self, steps: Sequence[PullStep]) -> dict[str, Outcome]:
        """Download the small files in batches, then the large ones. Return their outcomes by key."""
        chunk_bytes = self._context.config.chunk_bytes
        small = [step for step in steps if step.size <= chunk_bytes]
        large = [step for step in steps if step.size > chunk_bytes]
        together = [self._batch(batch) for batch in batches(small, most=MOST_FILES, most_bytes=MOST_BYTES)]
        pool = self._target.pool
        runner = Runner(self._session.observer, self._target.cancelled, pool.interrupt, pool.most)
        tasks = [self._task(step) for step in large]
        outcomes = run_small_then_large(runner, together, tasks, groups=pool.most)
        return {step.key: outcome for step, outcome in zip([*small, *large], outcomes, strict=True)}

    def _batch(self, steps: Sequence[PullStep]) -> Together:
        def run() -> list[Outcome | UploaderError]:
            results = self._context.with_connection(partial(download_small, steps))
            return [
                result if isinstance(result, UploaderError) else self._placed(step, result)
                for step, result in zip(steps, results, strict=True)
            ]

        return Together(tuple(self._task(step) for step in steps), run)

    def _task(self, step: PullStep) -> Task:
        def run() -> Outcome:
            return self._placed(step, download_large(step, self._target.name, self._context))

        return Task(step.key, self._known(step), run)

    def _placed(self, step: PullStep, result: StepResult) -> Outcome:
        self._record(step, result.sha256)
        return replace(
            self._known(step),
            status="placed",
            evidence=result.evidence,
            sha256=result.sha256,
            resumed_from=result.resumed_from,
        )

    def _known(self, step: PullStep) -> Outcome:
        """Return the outcome of a step that is not carried out yet."""
        return Outcome(
            self._target.name,
            step.source,
            "failed",
            name=step.name,
            route=step.route,
            path=step.path,
            size=step.size,
        )


def _local_states(folder: Path, wanted: Mapping[str, RemoteEntry]) -> dict[str, LocalState]:
    """Return what the local folder has of the wanted names."""
    found: dict[str, LocalState] = {}
    for key in wanted:
        try:
            state = (folder / key).stat()
        except (OSError, ValueError):
            continue
        found[key] = LocalState(state.st_size, state.st_mtime_ns, not (folder / key).is_file())
    return found
