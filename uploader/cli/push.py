"""`uploader push`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from uploader import api
from uploader.artifact import Digest, Kind
from uploader.cli.completion import target_names
from uploader.cli.invocation import Invocation
from uploader.cli.options import ROUTES, as_json, preferences, quiet, rate, verbose, whole, with_invocation
from uploader.cli.terminal import write_document
from uploader.errors import UsageError
from uploader.profile import MOST_CONNECTIONS


@click.command(short_help="Put models into a target's folders.")
@click.argument("sources", metavar="SOURCE...", nargs=-1)
@click.option(
    "--to",
    metavar="TARGET",
    multiple=True,
    shell_complete=target_names,
    help="Where to: a saved target's name, @group, or sftp://user@host:port/root?webui=ID. May be given several times. "
    "Not needed if only one is saved, or $UPLOADER_TARGET is set.",
)
@click.option(
    "--kind",
    type=click.Choice([kind.value for kind in Kind]),
    metavar="KIND",
    help="What the model is, if its own header must not decide: " + ", ".join(Kind) + ".",
)
@click.option("--name", metavar="FILENAME", help="The file's name on the server; for one source.")
@click.option(
    "--via",
    type=click.Choice(ROUTES),
    default="auto",
    show_default=True,
    metavar="ROUTE",
    help="How the bytes travel: local (over this disk), relay (through this machine's memory alone), server (it "
    "downloads by itself, if the account has a shell), or auto.",
)
@click.option(
    "--prefer",
    type=preferences,
    metavar="LIST",
    help="Which of a model's files, if the source has several forms of it: words such as full,fp32 or gguf, the "
    "most important first.  [default: pruned,fp16,safetensors]",
)
@click.option("--file", metavar="NAME", help="The name of the file, if the source has several.")
@click.option("--sha256", metavar="HEX", help="The sha256 that the file must have; for one source.")
@click.option(
    "--from-file",
    "lists",
    metavar="LIST",
    multiple=True,
    help="Take the sources from a file, one per line; - is stdin. Blank lines and lines that begin with # are ignored.",
)
@click.option(
    "--sidecars",
    is_flag=True,
    help="Put a preview picture and the model's facts beside it, if its source has them and the WebUI reads them. "
    "Files that are there already stay.",
)
@click.option("--dry-run", is_flag=True, help="Show the plan, and do nothing.")
@click.option("--replace", is_flag=True, help="Replace another file of that name.")
@click.option("--mkdir", is_flag=True, help="Make folders that are missing, even the root.")
@click.option(
    "--allow-pickle", is_flag=True, help="Accept .ckpt, .pt and .bin files that could run code when they are loaded."
)
@click.option("--allow-http", is_flag=True, help="Accept links without encryption (http://).")
@click.option("--limit", type=rate, metavar="RATE", help="Bytes per second at most: 500K, 2M, 1.5G (1024-based).")
@click.option(
    "--connections",
    type=whole(1, MOST_CONNECTIONS),
    metavar="N",
    help=f"Connections to the server at once, 1 to {MOST_CONNECTIONS}. By default as many as make it faster: the round "
    "trip time says how many to begin with.",
)
@click.option(
    "--verify",
    type=click.Choice(["auto", "full", "samples"]),
    default="auto",
    show_default=True,
    help="How the bytes are proven: auto (hashed on the server, else read back up to 128 MB, else samples), full "
    "(hashed, else all read back), samples.",
)
@click.option(
    "--detach", is_flag=True, help="Return as soon as the server downloads by itself; `uploader jobs` does the rest."
)
@click.option(
    "--token-on-server",
    is_flag=True,
    help="Allow a source's token on the server, if the source gives no signed link.",
)
@click.option("--no-notify", "notify", flag_value=False, default=True, help="Do not tell the WebUI of the new models.")
@click.option("--select", is_flag=True, help="Switch the WebUI to the new checkpoint.")
@as_json
@quiet
@verbose
@with_invocation
def push(
    invocation: Invocation, /, sources: tuple[str, ...], lists: tuple[str, ...], to: tuple[str, ...], **options: Any
) -> int:
    """Put models into the folders where the WebUI finds them.

    A SOURCE is a file, a pattern such as 'loras/*.safetensors' or an https:// link. A model of Civitai is its page's
    address, civitai:MODEL@VERSION or its AIR. A file of Hugging Face is its page's address or hf://ORG/REPO/FILE.
    The file's own header tells if it is a checkpoint, a LoRA or something else, and so its folder. Run an interrupted
    command again: it continues where it stopped. Put a name that begins with a dash after "--".
    """
    given = (*sources, *(source for name in lists for source in references(name)))
    if not given:
        raise click.UsageError("Nothing to push: name a file or a link, or give --from-file LIST.")

    kind, sha256, prefer = (options.pop(name) for name in ("kind", "sha256", "prefer"))
    request = api.PushRequest(
        given,
        to=to,
        kind=Kind(kind) if kind else None,
        sha256=Digest.parse(sha256) if sha256 else None,
        prefer=prefer or (),
        **options,
    )
    with invocation.session() as session:
        answer = api.push(session, request)
    from uploader import documents
    from uploader.cli.show.plan import plan_exit_code, print_push_plan
    from uploader.cli.show.report import print_faults, print_report

    if isinstance(answer, api.Plan):
        write_document(documents.of_plan(answer)) if invocation.json else print_push_plan(answer)
        return plan_exit_code(step.error for step in answer.steps)
    if invocation.json:
        write_document(documents.of_report(answer))
        print_faults(answer)
    else:
        print_report(answer, notes=not invocation.quiet)
    return answer.exit_code


def references(name: str) -> list[str]:
    """Return the references of a list, one per line; `-` is stdin. Raises UsageError when it cannot be read."""
    try:
        content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        lines = content.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise UsageError(
            f"the list {name} cannot be read: {error.strerror}", remedy="Give --from-file a file that you may read."
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"the list {name} is not text in UTF-8", remedy="Save it as UTF-8, with one reference a line."
        ) from error
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
