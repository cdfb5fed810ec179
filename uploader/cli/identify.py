"""The verb identify."""

from __future__ import annotations

import click

from uploader.cli.invocation import Session
from uploader.cli.options import as_json, verbose, with_session
from uploader.cli.terminal import write


@click.command(short_help="Say what a file is, by its own bytes.")
@click.argument("references", metavar="FILE|REFERENCE...", nargs=-1, required=True)
@click.option("--allow-http", is_flag=True, help="Accept links without encryption (http://).")
@as_json
@verbose
@with_session
def identify(session: Session, /, references: tuple[str, ...], allow_http: bool) -> int:
    """Say what files are by their own bytes: which format, which kind of model, for which family of models, whether
    they are whole, and what a push would refuse or note.

    Of a link or another reference only the first bytes are read, and of a torch file its pickles. A problem is part of
    the answer; the exit code tells only of what could not be looked at.
    """
    with session.app() as app:
        found = app.identify(references, allow_http=allow_http)
    from uploader import documents
    from uploader.cli.show.listings import tell_identified
    from uploader.cli.terminal import tell_error
    from uploader.result import Failure, Outcome, Report

    write(documents.of_identified(found)) if session.json else tell_identified(found)
    failed = [(one.source, one.error) for one in found if one.error is not None]
    for source, error in failed:
        tell_error(error.message if source in error.message else f"{source}: {error.message}", error.remedy)
    return Report(tuple(Outcome("", source, "failed", error=Failure.of(error)) for source, error in failed)).exit_code
