"""`uploader logout`."""

from __future__ import annotations

import click

from uploader import api
from uploader.cli.completion import names_to_forget
from uploader.cli.invocation import Invocation
from uploader.cli.options import as_json, verbose, with_invocation
from uploader.cli.terminal import write_document


@click.command(short_help="Forget a saved account and its password.")
@click.argument("name", shell_complete=names_to_forget)
@as_json
@verbose
@with_invocation
def logout(invocation: Invocation, /, name: str) -> int:
    """Forget the target NAME, its password and its host key. Nothing on the server is touched. For civitai and
    huggingface, forget the token.

    An address (sftp://...) is never saved; only the host key pinned for it is forgotten.
    """
    with invocation.session() as session:
        removed = api.logout(session, name)
    from uploader import documents
    from uploader.cli.terminal import print_answer

    if invocation.json:
        write_document(documents.of_logout(removed))
    else:
        print_answer("\n".join(removed))
    return 0
