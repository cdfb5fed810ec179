"""Options that several verbs share, and parsers of their values."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from uploader.cli.invocation import Invocation

F = TypeVar("F", bound=Callable[..., Any])

ROUTES = ("auto", "local", "relay", "server")

with_invocation = click.make_pass_decorator(Invocation, ensure=True)

_RATE = re.compile(r"(\d{1,15}(?:\.\d*)?|\.\d+)\s*([kmgt]?)(?:i?b)?(?:/s)?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def as_json(command: F) -> F:
    """Add --json."""
    return _flag("json", "--json", help="Print the answer as one JSON document on stdout.")(command)


def quiet(command: F) -> F:
    """Add --quiet."""
    return _flag("quiet", "-q", "--quiet", help="No progress and no notes on stderr; errors are still shown.")(command)


def verbose(command: F) -> F:
    """Add --verbose."""
    return _flag("verbose", "-v", "--verbose", help="Say more on stderr; show where a defect is.")(command)


def _flag(field: str, *names: str, help: str) -> Callable[[F], F]:
    """Return a flag that the invocation keeps. It is read first, so that an error in the others respects it."""

    def keep(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
        if value:
            setattr(context.ensure_object(Invocation), field, True)

    return click.option(*names, is_flag=True, is_eager=True, expose_value=False, callback=keep, help=help)


def rate(text: str) -> float:
    """Return bytes per second from `500K`, `2M`, `1.5G`: 1024-based as with curl and rclone; a number alone is bytes.

    Raises click.BadParameter for any other text."""
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise click.BadParameter(f"{text!r} is not a rate. Write it like 500K, 2M or 1.5G (bytes per second).")
    number: float = float(match[1]) * math.pow(1024, _POWERS[match[2].lower()])
    if number < 1:
        raise click.BadParameter(f"at {text!r} no byte would ever arrive. Leave it out for full speed.")
    return number


def whole(low: int, high: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from `low` to `high`. It raises click.BadParameter for any other text."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise click.BadParameter(f"{text!r} is not a whole number from {low} to {high}.")
        return value

    return number


def preferences(text: str) -> tuple[str, ...]:
    """Return the words of a list such as `full,fp32`, in lower case. Raises click.BadParameter for unknown ones."""
    from uploader.sources import PREFERENCES

    words = tuple(word.strip().lower() for word in text.split(",") if word.strip())
    unknown = [word for word in words if word not in PREFERENCES]
    if unknown or not words:
        known = ", ".join(sorted(PREFERENCES))
        raise click.BadParameter(
            f"{', '.join(map(repr, unknown)) or 'nothing'} cannot be preferred. Choose from {known}."
        )
    return words
