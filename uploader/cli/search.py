"""`uploader search`."""

from __future__ import annotations

import click

from uploader import api
from uploader.artifact import Kind
from uploader.cli.invocation import Invocation
from uploader.cli.options import as_json, preferences, quiet, verbose, whole, with_invocation
from uploader.cli.terminal import write_document

_MOST = 100
_KINDS = [kind.value for kind in Kind if kind not in (Kind.OTHER, Kind.IP_ADAPTER)]
"""Those that Civitai has a type for."""


@click.command(short_help="Find models on Civitai.")
@click.argument("words", nargs=-1, required=True)
@click.option(
    "--type",
    "kind",
    type=click.Choice(_KINDS),
    metavar="KIND",
    help="Models of this kind alone: checkpoint, lora, vae, embedding, controlnet ...",
)
@click.option("--base", metavar="MODEL", help="Made for this base model alone, as Civitai calls it: 'SDXL 1.0'.")
@click.option(
    "--prefer",
    type=preferences,
    metavar="LIST",
    help="Which of a model's files is looked at, as with push.",
)
@click.option(
    "--count", type=whole(1, _MOST), default=20, show_default=True, metavar="N", help=f"Models at most, 1 to {_MOST}."
)
@as_json
@quiet
@verbose
@with_invocation
def search(
    invocation: Invocation,
    /,
    words: tuple[str, ...],
    kind: str | None,
    base: str | None,
    prefer: tuple[str, ...] | None,
    count: int,
) -> int:
    """List the models of Civitai that fit the WORDS, best first, each with the reference to push.

    The reference is the model's newest version; the size is that of the file which push would take of it.
    """

    request = api.SearchRequest(" ".join(words), Kind(kind) if kind else None, base, prefer or (), count)
    with invocation.session() as session:
        hits = api.search(session, request)
    from uploader import documents
    from uploader.cli.show.listings import print_hits
    from uploader.cli.terminal import print_note

    if invocation.json:
        write_document(documents.of_search(hits))
    elif hits:
        print_hits(hits)
    else:
        print_note("Nothing on Civitai fits these words.")
    return 0
