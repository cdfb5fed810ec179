"""`uploader providers`."""

from __future__ import annotations

import click

from uploader import api
from uploader.cli.completion import provider_ids
from uploader.cli.invocation import Invocation
from uploader.cli.options import as_json, verbose, with_invocation
from uploader.cli.terminal import write_document


@click.command(short_help="List the services that it works with.")
@click.argument("id", required=False, shell_complete=provider_ids)
@as_json
@verbose
@with_invocation
def providers(invocation: Invocation, /, id: str | None) -> int:
    """List the providers, or tell all that is known of the one named ID: how to reach it, where its folders are,
    where that is known from and how sure it is."""
    with invocation.session(silent=True) as session:
        profiles = api.profiles(session)
    from uploader import documents
    from uploader.cli.show.profiles import print_provider, print_providers

    wanted = list(profiles.providers.values()) if id is None else [profiles.provider(id)]
    if invocation.json:
        write_document(documents.of_providers(wanted))
    elif id is None:
        print_providers(profiles)
    else:
        print_provider(wanted[0], profiles)
    return 0
