"""`uploader sync`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from uploader import api
from uploader.cli.completion import target_names
from uploader.cli.invocation import Invocation
from uploader.cli.options import as_json, quiet, verbose, whole, with_invocation
from uploader.cli.terminal import write_document

if TYPE_CHECKING:
    from uploader.result import Report

_MOST = 1_000_000


@click.command(short_help="Make a remote folder hold what a local one holds.")
@click.argument("folder", metavar="DIR", type=click.Path())
@click.option(
    "--to",
    metavar="TARGET",
    shell_complete=target_names,
    help="Where to: a saved target's name, or sftp://user@host:port/root?webui=ID.",
)
@click.option("--into", metavar="SUBFOLDER", help="Mirror DIR into this folder below the target's root.")
@click.option("--by-kind", is_flag=True, help="Sort DIR's models into the WebUI's folders by what they are.")
@click.option("--delete", is_flag=True, help="Remove what was placed from DIR before and is no longer in it.")
@click.option(
    "--max-delete",
    type=whole(0, _MOST),
    metavar="N",
    help="Remove nothing at all if it would be more than N files; by default 10, or half of what was placed.",
)
@click.option("--trash", is_flag=True, help="With --delete: move into a dated folder below the root instead.")
@click.option("--checksum", is_flag=True, help="Compare contents, not size and time.")
@click.option("--include", metavar="P", multiple=True, help="Take only files that match; several may be given.")
@click.option(
    "--exclude", metavar="P", multiple=True, help="Leave out what matches, as a line of .gitignore or .uploadignore."
)
@click.option("--replace", is_flag=True, help="Replace files that this program did not place, or that changed there.")
@click.option("--dry-run", is_flag=True, help="Show the plan, and do nothing.")
@click.option("--watch", is_flag=True, help="Continue: send changes as they come, until Ctrl-C.")
@as_json
@quiet
@verbose
@with_invocation
def sync(invocation: Invocation, /, **options: Any) -> int:
    """Make a folder of the target hold what DIR holds.

    Only what differs is sent; what was renamed here is renamed there. Nothing is removed unless you say --delete,
    and then only files that this program placed from DIR. A file .uploadignore in DIR says what to leave out, with
    gitignore's rules.
    """

    request = api.SyncRequest(**options)
    with invocation.session() as session:
        if request.watch:
            return _watch(invocation, session, request)
        answer = api.sync(session, request)
    from uploader import documents
    from uploader.cli.show.folders import print_folder_report
    from uploader.cli.show.plan import plan_exit_code, print_sync_plan
    from uploader.cli.show.report import print_faults

    if isinstance(answer, api.Plan):
        write_document(documents.of_plan(answer)) if invocation.json else print_sync_plan(answer)
        return plan_exit_code(step.error for step in answer.steps)
    if invocation.json:
        write_document(documents.of_report(answer))
        print_faults(answer)
    else:
        print_folder_report(answer, notes=not invocation.quiet)
    return answer.exit_code


def _watch(invocation: Invocation, session: api.Session, request: api.SyncRequest) -> int:
    """Print each change as it happens: a line, or with --json a document per line. Raises Interrupted at Ctrl-C."""
    from uploader.cli.show.folders import print_changes

    as_json = invocation.json

    def tell(report: Report) -> None:
        invocation.json = False  # from here on each line is a document; the error at the end goes to stderr alone
        print_changes(report, as_json=as_json, notes=not invocation.quiet)

    api.watch(session, request, tell)
    return 0
