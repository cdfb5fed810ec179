"""`uploader doctor`."""

from __future__ import annotations

import click

from uploader import api
from uploader.cli.completion import target_names
from uploader.cli.invocation import Invocation
from uploader.cli.options import as_json, quiet, verbose, with_invocation
from uploader.cli.terminal import write_document


@click.command(short_help="Find out what is wrong with a target.")
@click.argument("target", required=False, shell_complete=target_names)
@click.option("--report", is_flag=True, help="Mask hosts, users and paths: fit to be shown to others.")
@as_json
@quiet
@verbose
@with_invocation
def doctor(invocation: Invocation, /, target: str | None, report: bool) -> int:
    """Check everything between this machine and TARGET's folders. Each check that fails says what to do.

    To measure the speed, it writes a file of its own into a folder of models for 2 seconds. Then it removes that file.
    """
    with invocation.session() as session:
        diagnosis = api.doctor(session, target, report=report)
    from uploader.cli.show.doctor import print_diagnosis
    from uploader.documents import of_diagnosis

    if invocation.json:
        write_document(of_diagnosis(diagnosis))
    else:
        print_diagnosis(diagnosis, about_us=report)
    return diagnosis.exit_code
