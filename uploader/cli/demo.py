"""`uploader demo`."""

from __future__ import annotations

import click

from uploader.cli.invocation import Invocation
from uploader.cli.options import quiet, verbose, with_invocation


@click.command(short_help="See the whole job on this machine; needs no account.")
@click.option("--keep", is_flag=True, help="Leave the server's folder behind, to look at it.")
@quiet
@verbose
@with_invocation
def demo(invocation: Invocation, /, keep: bool) -> int:
    """Start a small server on this machine, make a model, save the account and push to it: the same code as everyday.

    Nothing outside of a temporary folder is touched.
    """
    from uploader.cli.terminal import print_answer
    from uploader.demo import run

    with invocation.conversation() as conversation:
        return run(observer=conversation, show=print_answer, keep=keep)
