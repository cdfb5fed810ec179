"""Print a plan: the dry run of push, sync and pull."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from uploader.cli.format import plural, size
from uploader.cli.show.report import MARGIN, folder_of, print_failures
from uploader.cli.terminal import print_answer, print_note

if TYPE_CHECKING:
    from uploader.api import Plan, PullStep, PushStep, SyncStep, UploaderError


def print_push_plan(plan: Plan[PushStep]) -> None:
    """Print what a push would do, step by step, then what prevents it."""
    several = len({step.target for step in plan.steps}) > 1
    for step in plan.steps:
        print_answer(f"{step.target}: {step_lines(step)}" if several else step_lines(step))
    total = sum(step.bytes for step in plan.steps if step.error is None)
    print_note(f"Nothing was sent. Without --dry-run up to {size(total)} would go to {plan.target}.")
    _print_refusals((step.item.name, step.error) for step in plan.steps)


def step_lines(step: PushStep) -> str:
    """Return the lines of a planned step: action, reason, facts of the source, and warnings."""
    item = step.item
    count = item.artifact.size
    facts = (str(item.kind), "size not known" if count is None else size(count), f"route {item.route}")
    what = f"{step.action:<7}  {item.name} → {folder_of(item.path)} ({', '.join(facts)})"
    return "\n".join((what, *(MARGIN + line for line in _reasons(step))))


def _reasons(step: PushStep) -> Iterable[str]:
    """Yield the lines below a step. A refusal's reason is its error, which is printed on stderr."""
    if step.error is None:
        yield step.reason
        yield from step.item.artifact.notes
    yield from (f"note: {warning}" for warning in step.item.warnings)


def print_sync_plan(plan: Plan[SyncStep]) -> None:
    """Print what a sync would do, step by step; files that stay are counted."""
    for step in plan.steps:
        path = plan.shown(step)
        if step.error is not None:
            print_answer(f"{step.action:<7}  {path}")
        elif step.action != "keep":
            print_answer(f"{step.action:<7}  {path} ({size(step.size)})\n{MARGIN}{step.reason}")
    sent = sum(step.payload for step in plan.steps)
    same = _same(sum(step.action == "keep" for step in plan.steps), "there")
    print_note(f"Nothing was done. Without --dry-run {size(sent)} would be sent{same}.")
    _print_refusals((step.key, step.error) for step in plan.steps)


def print_pull_plan(plan: Plan[PullStep]) -> None:
    """Print what a pull would do, file by file; files that stay are counted."""
    for step in plan.steps:
        if step.action == "fetch":
            print_answer(f"{step.action:<7}  {step.key} → {step.path} ({size(step.size)})\n{MARGIN}{step.reason}")
        elif step.error is not None:
            print_answer(f"{step.action:<7}  {step.key}")
    fetched = sum(step.payload for step in plan.steps)
    same = _same(sum(step.action == "keep" for step in plan.steps), "here")
    print_note(f"Nothing was done. Without --dry-run {size(fetched)} would be fetched{same}.")
    _print_refusals((step.key, step.error) for step in plan.steps)


def _same(kept: int, where: str) -> str:
    return f"; {plural(kept, 'file')} {where} already" if kept else ""


def _print_refusals(errors: Iterable[tuple[str, UploaderError | None]]) -> None:
    from uploader.result import Failure

    print_failures((name, Failure.of(error)) for name, error in errors if error is not None)


def plan_exit_code(errors: Iterable[UploaderError | None]) -> int:
    """Return the exit code that the errors of a plan's steps would give; None is a step without one."""
    from uploader.result import Failure, Outcome, Report

    return Report(
        tuple(Outcome("", "", "failed", error=Failure.of(error)) for error in errors if error is not None)
    ).exit_code
