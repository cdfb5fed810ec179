"""The verb df."""

from __future__ import annotations

import click

from uploader.cli.completion import target_names
from uploader.cli.invocation import Invocation
from uploader.cli.options import as_json, quiet, verbose, with_invocation
from uploader.cli.terminal import write_document


@click.command(short_help="Show how much room a target has left.")
@click.argument("target", required=False, shell_complete=target_names)
@as_json
@quiet
@verbose
@with_invocation
def df(session: Invocation, /, target: str | None) -> int:
    """Show how full the disk of TARGET's models is, and what each kind of model takes of it."""
    with session.app() as app:
        use = app.df(target)
    from uploader.cli.show.listings import print_disk
    from uploader.documents import of_disk

    if session.json:
        write_document(of_disk(use))
    else:
        print_disk(use)
    return 0
