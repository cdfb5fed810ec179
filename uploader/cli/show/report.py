"""Print a report: a line per outcome on stdout, errors and what to do on stderr."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from typing import TYPE_CHECKING

from uploader.cli.format import plural, size
from uploader.cli.terminal import print_answer, print_error, print_note

if TYPE_CHECKING:
    from uploader.result import Failure, Outcome, Report

_DIGITS = 12
MARGIN = " " * 9


def print_report(report: Report, *, notes: bool = True) -> None:
    """Print all outcomes, then each error once. With `notes` also what is left to do at the WebUI."""
    several = len({outcome.target for outcome in report.outcomes}) > 1
    for outcome in report.outcomes:
        print_answer(f"{outcome.target}: {outcome_line(outcome)}" if several else outcome_line(outcome))
        for note in outcome.notes if outcome.error is None else ():
            print_answer(f"{MARGIN}{note}")
    if any(outcome.status == "started" for outcome in report.outcomes):
        print_note(
            "The server downloads by itself now. `uploader jobs` shows how far it is, `uploader jobs wait JOB` ends it."
        )
    if notes:
        print_remedies(report)
    print_faults(report)


def print_remedies(report: Report) -> None:
    """Print on stderr what is left to do at the WebUI, each thing once."""
    left: dict[str, list[Outcome]] = {}
    for outcome in report.outcomes:
        if outcome.webui is not None and outcome.webui.remedy:
            left.setdefault(outcome.webui.remedy, []).append(outcome)
    for remedy, outcomes in left.items():
        who = _called(outcomes[0]) if len(outcomes) == 1 else plural(len(outcomes), "file")
        print_note(f"note: {who}: {remedy}")


def print_faults(report: Report) -> None:
    """Print each error once, on stderr. After a reference that failed, say that no file was sent."""
    print_failures((_called(outcome), outcome.error) for outcome in report.outcomes if outcome.error is not None)
    if any(outcome.error is not None and outcome.path is None for outcome in report.outcomes):
        print_note("Nothing was sent. Put that right or leave it out, and push again.")


def outcome_line(outcome: Outcome) -> str:
    """Return the one line of an outcome."""
    if outcome.error is not None:
        return f"failed  {_called(outcome)} ({outcome.error.code})"
    return f"{outcome.status:<6}  {_called(outcome)} → {folder_of(outcome.path)} ({', '.join(_facts(outcome))})"


def _facts(outcome: Outcome) -> Iterable[str]:
    if outcome.size is not None:
        yield size(outcome.size)
    if outcome.resumed_from:
        yield f"{size(outcome.resumed_from)} of it from an earlier run"
    if outcome.evidence is not None:
        yield f"{'the same bytes' if outcome.status == 'kept' else 'verified'} by {outcome.evidence}"
    if outcome.webui is not None and outcome.webui.listed is not None:
        yield "the WebUI lists it" if outcome.webui.listed else "the WebUI does not list it"
    if outcome.sha256:
        yield f"sha256 {outcome.sha256[:_DIGITS]}…"


def print_failures(faults: Iterable[tuple[str, Failure]]) -> None:
    """Print each error once, with the number of items that share it."""
    shared: dict[tuple[str, str | None], list[str]] = {}
    for name, fault in faults:
        shared.setdefault((fault.message, fault.remedy), []).append(name)
    for (message, remedy), names in shared.items():
        who = names[0] if len(names) == 1 else plural(len(names), "file")
        # A message may name its file already; one mention is enough.
        print_error(message if names[0] in message else f"{who}: {message}", remedy)


def _called(outcome: Outcome) -> str:
    return outcome.name or outcome.source


def folder_of(path: str | None) -> str:
    folder = posixpath.dirname(path or "")
    return f"{folder}/" if folder and not folder.endswith("/") else folder or "./"
