"""The verb jobs."""

from __future__ import annotations

import click

from uploader.cli.completion import job_ids
from uploader.cli.invocation import Session
from uploader.cli.options import as_json, quiet, verbose, with_session
from uploader.cli.terminal import write


@click.group(invoke_without_command=True, short_help="See to what servers download by themselves.")
@as_json
@verbose
@click.pass_context
def jobs(context: click.Context, /) -> int:
    """List the downloads that servers do for us: begun with --detach, or left when this program was ended.

    `jobs wait JOB` proves and places what was downloaded; `jobs cancel JOB` ends it and removes what it left.
    """
    if context.invoked_subcommand is not None:
        return 0
    from uploader import documents
    from uploader.cli.show.listings import tell_jobs
    from uploader.cli.terminal import tell

    session = context.ensure_object(Session)
    with session.app() as app:
        found = app.jobs()
    if session.json:
        write(documents.of_jobs(found))
    elif found:
        tell_jobs(found)
    else:
        tell("No server downloads for us. `uploader push LINK --detach` has one do it.")
    return 0


@jobs.command()
@click.argument("job", metavar="JOB", shell_complete=job_ids)
@as_json
@quiet
@verbose
@with_session
def wait(session: Session, /, job: str) -> int:
    """Wait for JOB, prove what it downloaded, and give it its name. Ctrl-C ends the waiting, not the download."""
    from uploader import documents
    from uploader.cli.show.report import tell_faults, tell_report

    with session.app() as app:
        answer = app.wait_for_job(job)
    if session.json:
        write(documents.of_report(answer))
        tell_faults(answer)
    else:
        tell_report(answer, notes=not session.quiet)
    return answer.exit_code


@jobs.command()
@click.argument("job", metavar="JOB", shell_complete=job_ids)
@as_json
@verbose
@with_session
def cancel(session: Session, /, job: str) -> int:
    """End JOB, and remove what it left on the server."""
    from uploader import documents
    from uploader.cli.terminal import answer

    with session.app() as app:
        cancelled = app.cancel_job(job)
    record = cancelled.record
    if session.json:
        write(documents.of_cancelled(cancelled))
    elif cancelled.left is not None:
        answer(
            f"{record.name} is forgotten. {record.target} knows of no such download; a part file stays there:\n"
            f"  {cancelled.left}"
        )
    elif cancelled.there:
        answer(f"{record.name} on {record.target} is cancelled; nothing of it is left there.")
    else:
        answer(f"{record.name} is forgotten. {record.target} is no target any more, so nobody was told there.")
    return 0
