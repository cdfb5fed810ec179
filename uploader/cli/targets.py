"""The verb targets."""

from __future__ import annotations

import click

from uploader.cli.invocation import Session
from uploader.cli.options import as_json, verbose, with_session
from uploader.cli.terminal import write


@click.command(short_help="List the saved accounts.")
@as_json
@verbose
@with_session
def targets(session: Session, /) -> int:
    """List the targets that were saved with login."""
    with session.app() as app:
        saved = app.targets()
    from uploader import documents
    from uploader.cli.show.profiles import tell_targets
    from uploader.cli.terminal import tell

    if session.json:
        write(documents.of_targets(saved))
    elif saved:
        tell_targets(saved)
    else:
        tell("No target is saved yet. `uploader login PROVIDER` saves one; `uploader providers` lists the providers.")
    return 0
