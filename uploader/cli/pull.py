"""`uploader pull`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from uploader import api
from uploader.cli.completion import target_names
from uploader.cli.invocation import Invocation
from uploader.cli.options import as_json, quiet, verbose, with_invocation
from uploader.cli.terminal import write_document

if TYPE_CHECKING:
    from uploader.result import Report


@click.command(short_help="Fetch images or models back from a target.")
@click.argument("remote", metavar="REMOTE")
@click.argument("folder", metavar="DIR", type=click.Path())
@click.option(
    "--to",
    metavar="TARGET",
    shell_complete=target_names,
    help="Which target: a saved one's name, or sftp://user@host:port/root?webui=ID.",
)
@click.option("--new-only", is_flag=True, help="Leave out what was fetched before, even if it is no longer here.")
@click.option("--include", metavar="P", multiple=True, help="Take only files that match; several may be given.")
@click.option("--exclude", metavar="P", multiple=True, help="Leave out what matches, as a line of .gitignore.")
@click.option("--replace", is_flag=True, help="Replace files here that differ.")
@click.option("--dry-run", is_flag=True, help="Show the plan, and do nothing.")
@click.option("--watch", is_flag=True, help="Continue: fetch what comes, until Ctrl-C.")
@as_json
@quiet
@verbose
@with_invocation
def pull(invocation: Invocation, /, **options: Any) -> int:
    """Fetch REMOTE, a file or a folder below the target's root such as outputs, into DIR.

    Run an interrupted command again: it continues where it stopped. A file appears here when it is whole and proven.
    No file on the server is changed.
    """

    request = api.PullRequest(**options)
    with invocation.session() as session:
        if request.watch:
            return _watch(invocation, session, request)
        answer = api.pull(session, request)
    from uploader import documents
    from uploader.cli.show.folders import print_folder_report
    from uploader.cli.show.plan import plan_exit_code, print_pull_plan
    from uploader.cli.show.report import print_faults

    if isinstance(answer, api.Plan):
        write_document(documents.of_plan(answer)) if invocation.json else print_pull_plan(answer)
        return plan_exit_code(step.error for step in answer.steps)
    if invocation.json:
        write_document(documents.of_report(answer))
        print_faults(answer)
    else:
        print_folder_report(answer)
    return answer.exit_code


def _watch(invocation: Invocation, session: api.Session, request: api.PullRequest) -> int:
    """Print each change as it happens: a line, or with --json a document per line. Raises Interrupted at Ctrl-C."""
    from uploader.cli.show.folders import print_changes

    as_json = invocation.json

    def tell(report: Report) -> None:
        invocation.json = False  # from here on each line is a document; the error at the end goes to stderr alone
        print_changes(report, as_json=as_json)

    api.watch_pull(session, request, tell)
    return 0
