"""`uploader ls`."""

from __future__ import annotations

import click

from uploader import api
from uploader.artifact import Kind
from uploader.cli.completion import target_names
from uploader.cli.invocation import Invocation
from uploader.cli.options import as_json, quiet, verbose, with_invocation
from uploader.cli.terminal import write_document


@click.command(short_help="List the models that a target holds.")
@click.argument("target", required=False, shell_complete=target_names)
@click.argument("kind", required=False)
@as_json
@quiet
@verbose
@with_invocation
def ls(invocation: Invocation, /, target: str | None, kind: str | None) -> int:
    """List the models of TARGET by kind: what each is by its own header, its size, and whether this program placed it.

    With KIND (checkpoint, lora, vae ...) only those. TARGET may be left out when one is saved.
    """
    with invocation.session() as session:
        kinds = set(Kind)
        if kind is None and target in kinds and target not in {saved.name for saved in api.targets(session)}:
            target, kind = None, target  # `uploader ls lora`
        if kind is not None and kind not in kinds:
            raise click.BadParameter(f"{kind!r} is no kind. Choose one of {', '.join(Kind)}.")
        models = api.ls(session, target, Kind(kind) if kind else None)
    from uploader.cli.show.listings import print_models
    from uploader.cli.terminal import print_note
    from uploader.documents import of_models

    if invocation.json:
        write_document(of_models(models))
    elif models:
        print_models(models)
    else:
        print_note("No model is there." if kind is None else f"No model of the kind {kind} is there.")
    return 0
