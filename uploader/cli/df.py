"""`uploader df`."""

from __future__ import annotations

import click

from uploader import api
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
def df(invocation: Invocation, /, target: str | None) -> int:
    """Show how full the disk of TARGET's models is, and what each kind of model takes of it."""
    with invocation.session() as session:
        use = api.df(session, target)
    from uploader.cli.show.listings import print_disk
    from uploader.documents import of_disk

    if invocation.json:
        write_document(of_disk(use))
    else:
        print_disk(use)
    return 0
