"""`uploader jobs`."""

from __future__ import annotations

import click

from uploader import api
from uploader.cli.completion import job_ids
from uploader.cli.invocation import Invocation
from uploader.cli.options import as_json, quiet, verbose, with_invocation
from uploader.cli.terminal import write_document


@click.group(invoke_without_command=True, short_help="Manage what servers download by themselves.")
@as_json
@verbose
@click.pass_context
def jobs(context: click.Context, /) -> int:
    """List the downloads that servers do for us: begun with --detach, or left when this program ended.

    `jobs wait JOB` proves and places what was downloaded; `jobs cancel JOB` ends it and removes what it left.
    """
    if context.invoked_subcommand is not None:
        return 0
    from uploader import documents
    from uploader.cli.show.listings import print_jobs
    from uploader.cli.terminal import print_note

    invocation = context.ensure_object(Invocation)
    with invocation.session() as session:
        found = api.jobs(session)
    if invocation.json:
        write_document(documents.of_jobs(found))
    elif found:
        print_jobs(found)
    else:
        print_note("No server downloads for us. `uploader push LINK --detach` has one do it.")
    return 0


@jobs.command()
@click.argument("job", metavar="JOB", shell_complete=job_ids)
@as_json
@quiet
@verbose
@with_invocation
def wait(invocation: Invocation, /, job: str) -> int:
    """Wait for JOB, prove what it downloaded, and give it its name. Ctrl-C ends the waiting, not the download."""
    from uploader import documents
    from uploader.cli.show.report import print_faults, print_report

    with invocation.session() as session:
        report = api.wait_for_job(session, job)
    if invocation.json:
        write_document(documents.of_report(report))
        print_faults(report)
    else:
        print_report(report, notes=not invocation.quiet)
    return report.exit_code


@jobs.command()
@click.argument("job", metavar="JOB", shell_complete=job_ids)
@as_json
@verbose
@with_invocation
def cancel(invocation: Invocation, /, job: str) -> int:
    """End JOB, and remove what it left on the server."""
    from uploader import documents
    from uploader.cli.terminal import print_answer

    with invocation.session() as session:
        cancelled = api.cancel_job(session, job)
    record = cancelled.record
    if invocation.json:
        write_document(documents.of_cancelled(cancelled))
    elif cancelled.left is not None:
        print_answer(
            f"{record.name} is forgotten. {record.target} knows of no such download; a part file stays there:\n"
            f"  {cancelled.left}"
        )
    elif cancelled.there:
        print_answer(f"{record.name} on {record.target} is cancelled; nothing of it is left there.")
    else:
        print_answer(f"{record.name} is forgotten. {record.target} is no target any more, so the server was not told.")
    return 0
