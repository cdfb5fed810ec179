"""The verb providers."""

from __future__ import annotations

import click

from uploader.cli.completion import provider_ids
from uploader.cli.invocation import Session
from uploader.cli.options import as_json, verbose, with_session
from uploader.cli.terminal import write


@click.command(short_help="List the services that it works with.")
@click.argument("id", required=False, shell_complete=provider_ids)
@as_json
@verbose
@with_session
def providers(session: Session, /, id: str | None) -> int:
    """List the providers, or tell all that is known of the one named ID: how to reach it, where its folders are,
    where that is known from and how sure it is."""
    with session.app() as app:
        catalog = app.catalog()
    from uploader import documents
    from uploader.cli.show.profiles import tell_provider, tell_providers

    wanted = list(catalog.providers.values()) if id is None else [catalog.provider(id)]
    if session.json:
        write(documents.of_providers(wanted))
    elif id is None:
        tell_providers(catalog)
    else:
        tell_provider(wanted[0], catalog)
    return 0
