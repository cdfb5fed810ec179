"""The verb providers."""

from __future__ import annotations

import click

from uploader.cli.completion import provider_ids
from uploader.cli.options import as_json, verbose, with_session
from uploader.cli.session import Session


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
    from uploader.cli.output import document, pages

    wanted = list(catalog.providers.values()) if id is None else [catalog.provider(id)]
    if session.json:
        document.write(document.of_providers(wanted))
    elif id is None:
        pages.tell_providers(catalog)
    else:
        pages.tell_provider(wanted[0], catalog)
    return 0
