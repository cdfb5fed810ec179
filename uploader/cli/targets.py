"""`uploader targets`."""

from __future__ import annotations

import click

from uploader import api
from uploader.cli.invocation import Invocation
from uploader.cli.options import as_json, verbose, with_invocation
from uploader.cli.terminal import write_document


@click.command(short_help="List the saved accounts.")
@as_json
@verbose
@with_invocation
def targets(invocation: Invocation, /) -> int:
    """List the targets that were saved with login."""
    with invocation.session(silent=True) as session:
        saved = api.targets(session)
    from uploader import documents
    from uploader.cli.show.profiles import print_targets
    from uploader.cli.terminal import print_note

    if invocation.json:
        write_document(documents.of_targets(saved))
    elif saved:
        print_targets(saved)
    else:
        print_note(
            "No target is saved yet. `uploader login PROVIDER` saves one; `uploader providers` lists the providers."
        )
    return 0
