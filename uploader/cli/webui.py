"""`uploader webui`."""

from __future__ import annotations

import click

from uploader import api
from uploader.cli.completion import target_names
from uploader.cli.invocation import Invocation
from uploader.cli.options import as_json, verbose, with_invocation
from uploader.cli.terminal import write_document


@click.command(short_help="Ask the WebUI what it is and what it lists.")
@click.argument("target", required=False, shell_complete=target_names)
@as_json
@verbose
@with_invocation
def webui(invocation: Invocation, /, target: str | None) -> int:
    """Ask a target's WebUI what it is: its name, version and checkpoint, and how many models of each kind it lists.

    Also name the files on its disk that it does not list, or lists as another kind, with the reason. Changes
    nothing. Give its address with `uploader login`, --webui-url or --webui-tunnel.
    """
    with invocation.session() as session:
        facts = api.webui_facts(session, target)
        profiles = api.profiles(session)
    from uploader import documents
    from uploader.cli.show.webui import print_webui

    if invocation.json:
        write_document(documents.of_webui(facts))
    else:
        print_webui(facts, profiles)
    return 0
