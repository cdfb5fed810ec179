"""Print the reports of sync and pull: a line per file that changed, and the number of others."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import click

from uploader.cli.format import size
from uploader.cli.show.report import print_faults, print_remedies
from uploader.cli.terminal import print_answer
from uploader.documents import of_change

if TYPE_CHECKING:
    from uploader.result import Outcome, Report


def print_folder_report(report: Report, *, notes: bool = True) -> None:
    """Print each change, a summary, and each error once. With `notes` also what is left to do at the WebUI."""
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
    """Print a line per change, at once; with `as_json` each line is a document.

    With `notes` also what is left to do at the WebUI, unless the documents have it."""
    for outcome in report.outcomes:
        if as_json:
            click.echo(json.dumps(of_change(outcome)))
        else:
            print_answer(outcome_line(outcome))
    if notes and not as_json:
        print_remedies(report)
    print_faults(report)


def outcome_line(outcome: Outcome) -> str:
    """Return the one line of an outcome."""
    if outcome.error is not None:
        return f"failed   {outcome.path or outcome.source} ({outcome.error.code})"
    facts = [] if outcome.size is None else [size(outcome.size)]
    if outcome.status == "placed" and outcome.route == "server":
        facts.append("on the server, nothing sent")
    if outcome.evidence is not None:
        facts.append(f"verified by {outcome.evidence}")
    return f"{outcome.status:<7}  {outcome.path} ({', '.join(facts)})"
