"""`uploader identify`."""

from __future__ import annotations

import click

from uploader import api
from uploader.cli.invocation import Invocation
from uploader.cli.options import as_json, verbose, with_invocation
from uploader.cli.terminal import write_document


@click.command(short_help="Say what a file is, by its own bytes.")
@click.argument("references", metavar="FILE|REFERENCE...", nargs=-1, required=True)
@click.option("--allow-http", is_flag=True, help="Accept links without encryption (http://).")
@as_json
@verbose
@with_invocation
def identify(invocation: Invocation, /, references: tuple[str, ...], allow_http: bool) -> int:
    """Say what files are by their own bytes: format, kind of model, family of models, whole or not. Also say what a
    push would refuse or note.

    Of a link or another reference only the first bytes are read, and of a torch file its pickles. A problem is part of
    the answer; the exit code tells only of files that could not be read.
    """
    with invocation.session() as session:
        found = api.identify(session, references, allow_http=allow_http)
    from uploader import documents
    from uploader.cli.show.listings import print_identified
    from uploader.cli.show.plan import plan_exit_code
    from uploader.cli.terminal import print_error

    write_document(documents.of_identified(found)) if invocation.json else print_identified(found)
    failed = [(one.source, one.error) for one in found if one.error is not None]
    for source, error in failed:
        print_error(error.message if source in error.message else f"{source}: {error.message}", error.remedy)
    return plan_exit_code(one.error for one in found)
