"""`uploader cache`."""

from __future__ import annotations

import click

from uploader import api
from uploader.cli.invocation import Invocation
from uploader.cli.options import as_json, verbose, with_invocation
from uploader.cli.terminal import write_document


@click.group(short_help="List or clear the downloads that are kept.", invoke_without_command=True)
@as_json
@verbose
@click.pass_context
def cache(context: click.Context) -> int:
    """List the downloads of route local that are kept on this disk, the one used last first.

    A download stays, so that the next push of the same link downloads nothing. Together they take 20 GB or a tenth of
    the disk at most, or what $UPLOADER_CACHE_LIMIT says (500M, 20G; 0 keeps nothing); what was not used longest goes
    first. A part is of a download that was stopped, and is gone on with; a wrong one is not the file that its
    publisher promised.
    """
    if context.invoked_subcommand is not None:
        return 0
    invocation = context.ensure_object(Invocation)
    with invocation.session(silent=True) as session:
        kept = api.cache(session)
    from uploader import documents
    from uploader.cli.show.listings import print_cache
    from uploader.cli.terminal import print_note

    if invocation.json:
        write_document(documents.of_cache(kept))
    elif kept.entries:
        print_cache(kept)
    else:
        print_note("No download is kept.")
    return 0


@cache.command(short_help="Remove kept downloads.")
@click.argument("names", metavar="[NAME...]", nargs=-1)
@as_json
@verbose
@with_invocation
def clear(invocation: Invocation, /, names: tuple[str, ...]) -> int:
    """Remove the named downloads, or all of them.

    A NAME is one that the list shows, or the model's own. What another run is using stays, and the exit code is 1.
    """
    with invocation.session(silent=True) as session:
        cleared = api.clear_cache(session, names)
    from uploader import documents
    from uploader.cli.terminal import print_answer, print_note

    if invocation.json:
        write_document(documents.of_cleared(cleared))
    else:
        for name in cleared.removed:
            print_answer(f"removed {name}")
        for name in cleared.in_use:
            print_note(f"{name} is in use by another run, and stays")
        if not cleared.removed and not cleared.in_use:
            print_note("No download is kept.")
    return 1 if cleared.in_use else 0
