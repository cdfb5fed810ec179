"""The answers of the verbs for folders: a line for each file that was touched, and how many were not."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from uploader.cli.format import plural, size
from uploader.cli.show.report import print_failures, print_faults, print_remedies
from uploader.cli.terminal import print_answer, print_note
from uploader.documents import SCHEMA, _path, of_outcome

if TYPE_CHECKING:
    from uploader.api import PullPlan, SyncPlan
    from uploader.errors import UploaderError
    from uploader.result import Outcome, Report


def print_folder_report(report: Report, *, notes: bool = True) -> None:
    """Prints what was touched, a summary, and each fault once. With `notes` also what is left to do at the WebUI."""
    for outcome in report.outcomes:
        if outcome.status != "kept":
            print_answer(outcome_line(outcome))
    counts = Counter(outcome.status for outcome in report.outcomes)
    sent = sum(outcome.bytes_sent for outcome in report.outcomes)
    words = [f"{counts[status]} {status}" for status in ("placed", "kept", "removed", "failed") if counts[status]]
    print_answer(f"{', '.join(words) or 'nothing to do'}{f' ({size(sent)} sent)' if sent else ''}")
    if notes:
        print_remedies(report)
    print_faults(report)


def print_changes(report: Report, *, as_json: bool, notes: bool = True) -> None:
    """Prints a line for each change, at once; with JSON each is a document on a line of its own. With `notes` also what
    is left to do at the WebUI, unless that is in the documents."""
    for outcome in report.outcomes:
        if as_json:
            click.echo(json.dumps({"schema": SCHEMA, **of_outcome(outcome)}))
        else:
            print_answer(outcome_line(outcome))
    if notes and not as_json:
        print_remedies(report)
    print_faults(report)


def outcome_line(outcome: Outcome) -> str:
    """Returns the one line of an outcome."""
    if outcome.error is not None:
        return f"failed   {outcome.path or outcome.source} ({outcome.error.code})"
    facts = [] if outcome.size is None else [size(outcome.size)]
    if outcome.status == "placed" and outcome.route == "server":
        facts.append("on the server, nothing sent")
    if outcome.evidence is not None:
        facts.append(f"verified by {outcome.evidence}")
    return f"{outcome.status:<7}  {outcome.path} ({', '.join(facts)})"


def print_sync_plan(plan: SyncPlan) -> None:
    """Prints what a sync would do, step by step, and what it would leave alone."""
    from uploader.result import Failure

    kept = 0
    for step in plan.steps:
        if step.action == "keep":
            kept += 1
        elif step.error is None:
            print_answer(f"{step.action:<7}  {_path(plan, step)} ({size(step.size)})\n         {step.reason}")
        else:
            print_answer(f"{step.action:<7}  {_path(plan, step)}")
    sent = sum(step.size for step in plan.steps if step.action in ("send", "replace"))
    same = f"; {plural(kept, 'file')} there already" if kept else ""
    print_note(f"Nothing was done. Without --dry-run {size(sent)} would be sent{same}.")
    print_failures((step.key, Failure.of(step.error)) for step in plan.steps if step.error is not None)


def print_pull_plan(plan: PullPlan) -> None:
    """Prints what a pull would do, file by file."""
    from uploader.result import Failure

    kept = sum(step.action == "keep" for step in plan.steps)
    for step in plan.steps:
        if step.action == "fetch":
            print_answer(f"{step.action:<7}  {step.key} → {step.local} ({size(step.size)})\n         {step.reason}")
        elif step.error is not None:
            print_answer(f"{step.action:<7}  {step.key}")
    fetched = sum(step.size for step in plan.steps if step.action == "fetch")
    same = f"; {plural(kept, 'file')} here already" if kept else ""
    print_note(f"Nothing was done. Without --dry-run {size(fetched)} would be fetched{same}.")
    print_failures((step.key, Failure.of(step.error)) for step in plan.steps if step.error is not None)


def exit_code_of(faults: Iterable[tuple[str, UploaderError | None]]) -> int:
    """Returns the exit code that a plan's refusals would give."""
    from uploader.result import Failure, Outcome, Report

    return Report(
        tuple(Outcome("", name, "failed", error=Failure.of(error)) for name, error in faults if error is not None)
    ).exit_code
