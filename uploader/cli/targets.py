"""The verb targets."""

from __future__ import annotations

import click

from uploader.cli.options import as_json, verbose, with_session
from uploader.cli.session import Session


@click.command(short_help="List the saved accounts.")
@as_json
@verbose
@with_session
def targets(session: Session, /) -> int:
    """List the targets that were saved with login."""
    with session.app() as app:
        saved = app.targets()
    from uploader.cli.output import document, pages
    from uploader.cli.output.stream import tell

    if session.json:
        document.write(document.of_targets(saved))
    elif saved:
        pages.tell_targets(saved)
    else:
        tell("No target is saved yet. `uploader login PROVIDER` saves one; `uploader providers` lists the providers.")
    return 0
