"""The verb df."""

from __future__ import annotations

import click

from uploader.cli.completion import target_names
from uploader.cli.options import as_json, quiet, verbose, with_session
from uploader.cli.session import Session


@click.command(short_help="Show how much room a target has left.")
@click.argument("target", required=False, shell_complete=target_names)
@as_json
@quiet
@verbose
@with_session
def df(session: Session, /, target: str | None) -> int:
    """Show how full the disk of TARGET's models is, and what each kind of model takes of it."""
    with session.app() as app:
        use = app.df(target)
    from uploader.cli.output import document, holdings

    if session.json:
        document.write(holdings.of_disk(use))
    else:
        holdings.tell_disk(use)
    return 0
