"""Choose the display of progress on stderr."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uploader.cli.display.interface import ProgressDisplay


def choose(environ: Mapping[str, str], *, quiet: bool, verbose: bool) -> ProgressDisplay:
    """Return bars if stderr is a terminal that can draw them, else lines; with `quiet` a display of nothing."""
    if quiet:
        from uploader.cli.display.silent import Silent

        return Silent()
    if not sys.stderr.isatty() or environ.get("TERM", "") in ("dumb", "unknown"):
        from uploader.cli.display.plain import Plain
        from uploader.cli.terminal import print_note

        return Plain(print_note, verbose=verbose)
    from rich.console import Console

    from uploader.cli.display.live import Live

    console = Console(stderr=True, no_color=bool(environ.get("NO_COLOR")) or None, highlight=False, emoji=False)
    return Live(console, verbose=verbose)
