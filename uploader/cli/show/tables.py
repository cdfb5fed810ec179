"""Print tables and columns of facts on stdout."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from uploader.cli.format import size
from uploader.cli.terminal import encoding, print_answer

if TYPE_CHECKING:
    from rich.console import Console


Fact = tuple[str, str]

_UNBOUNDED = 100_000
"""Cells of a line that is not on a screen: a pipe gets every row whole."""


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], console: Console | None = None) -> None:
    """Print a table as wide as the terminal, or, without a terminal, as wide as it needs."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from uploader.cli.format import fitted, shown

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_edge=False)
    for column, title in enumerate(header):
        table.add_column(title, no_wrap=column == 0, overflow="fold")
    for row in rows:
        table.add_row(*(Text(fitted(shown(cell), encoding(sys.stdout))) for cell in row))
    if console is None:
        console = Console(width=None if sys.stdout.isatty() else _UNBOUNDED, highlight=False, emoji=False)
    with console.capture() as drawn:
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in drawn.get().rstrip().splitlines()))


def size_text(count: int) -> str:
    return size(count) if count < 1000 else f"{size(count)} ({count:,} bytes)"


def shell_text(tools: Sequence[str]) -> str:
    return f"yes ({', '.join(tools)})" if tools else "yes, without tools to hash files"


def print_facts(facts: Iterable[Fact], indent: str = "") -> None:
    """Print facts in two columns: each name once, and its values beside it, wrapped on a terminal."""
    import shutil
    import textwrap

    pairs = list(facts)
    column = max(len(name) for name, _ in pairs) + 2
    width = max(40, shutil.get_terminal_size().columns) if sys.stdout.isatty() else _UNBOUNDED
    before = ""
    for name, value in pairs:
        lead = f"{indent}{'' if name == before else name:<{column}}"
        hanging = " " * len(lead)
        print_answer(
            textwrap.fill(value, width, initial_indent=lead, subsequent_indent=hanging, break_on_hyphens=False)
        )
        before = name
