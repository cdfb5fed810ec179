"""The command line: one file a verb, loaded when it is called for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

import click

from uploader import __version__
from uploader.cli.errors import guarded
from uploader.cli.invocation import Invocation
from uploader.cli.terminal import make_safe

_VERBS = (
    *("push", "jobs", "search", "identify", "sync", "pull", "ls", "df", "rm", "webui"),
    *("login", "logout", "targets", "providers", "cache", "doctor", "demo"),
)
"""In the order in which a user meets them. Each is the command of that name in the module of that name."""


class Verbs(click.Group):
    """Loads a verb's module when the verb is named, or its line of help is wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the name is click's
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _VERBS:
            return None
        command: click.Command = getattr(import_module(f"uploader.cli.{cmd_name}"), cmd_name)
        return command


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="New here? `uploader demo` shows the whole job on this machine; it needs no account.",
)
@click.version_option(__version__, prog_name="uploader")
def program() -> None:
    """Put Stable Diffusion models where a hosted WebUI finds them: over SFTP, whole and verified."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and returns the exit code. `arguments` are the process's own unless given."""
    make_safe()
    invocation = Invocation()
    given = list(sys.argv[1:] if arguments is None else arguments)
    return guarded(
        lambda: program.main(given, prog_name="uploader", standalone_mode=False, obj=invocation), invocation, given
    )
