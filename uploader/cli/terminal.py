"""Write to the two streams: stdout for the answer, stderr for the conversation."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping

import click

from uploader.cli.format import fitted, shown


def print_answer(text: str) -> None:
    """Print one or more lines of the answer."""
    click.echo(fitted(shown(text), encoding(sys.stdout)))


def print_note(text: str) -> None:
    """Print one or more lines of the conversation."""
    click.echo(fitted(shown(text), encoding(sys.stderr)), err=True)


def print_error(message: str, remedy: str | None) -> None:
    """Print what happened, and below it what to do."""
    print_note(f"error: {message}")
    if remedy:
        print_note(f"  → {remedy}")


def encoding(stream: object) -> str | None:
    return getattr(stream, "encoding", None)


def speaks_utf8(stream: object) -> bool:
    return (encoding(stream) or "").lower().replace("-", "").replace("_", "") == "utf8"


def make_safe() -> None:
    """Write a character that a stream's encoding lacks as its code, in every locale."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def write_document(document: Mapping[str, object]) -> None:
    """Print a document on stdout. Letters that stdout's encoding may lack are escaped, so that it stays JSON."""
    import click

    click.echo(json.dumps(document, indent=2, ensure_ascii=not speaks_utf8(sys.stdout)))
