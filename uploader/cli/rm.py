"""`uploader rm`."""

from __future__ import annotations

import click

from uploader import api
from uploader.cli.completion import target_names
from uploader.cli.invocation import Invocation
from uploader.cli.options import as_json, quiet, verbose, with_invocation
from uploader.cli.terminal import write_document


@click.command(short_help="Remove models from a target.")
@click.argument("target", shell_complete=target_names)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@quiet
@verbose
@with_invocation
def rm(invocation: Invocation, /, target: str, paths: tuple[str, ...], yes: bool) -> int:
    """Remove files from TARGET: by the name of a model, or by a path below its root, as `uploader ls` shows them.

    It shows them first, with what else uses the same bytes, and asks. Folders are never removed, nor anything outside
    of the root.
    """
    with invocation.session() as session:
        removed = api.rm(session, target, paths, yes=yes)
    from uploader.cli.show.listings import print_removals
    from uploader.documents import of_removals

    if invocation.json:
        write_document(of_removals(removed))
    else:
        print_removals(removed)
    return 0
