"""The verb logout."""

from __future__ import annotations

import click

from uploader.cli.completion import names_to_forget
from uploader.cli.invocation import Session
from uploader.cli.options import as_json, verbose, with_session
from uploader.cli.terminal import write


@click.command(short_help="Forget a saved account and its password.")
@click.argument("name", shell_complete=names_to_forget)
@as_json
@verbose
@with_session
def logout(session: Session, /, name: str) -> int:
    """Forget the target NAME, its password and its host key. Nothing on the server is touched. For civitai and
    huggingface, forget the token.

    An address (sftp://...) is never saved; only the host key pinned for it is forgotten.
    """
    with session.app() as app:
        removed = app.logout(name)
    from uploader import documents
    from uploader.cli.terminal import answer

    if session.json:
        write(documents.of_logout(removed))
    else:
        answer("\n".join(removed))
    return 0
