"""The person at the terminal: questions on stderr, answers from the keyboard."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import click

from uploader.cli.format import fitted, shown
from uploader.cli.terminal import encoding, print_note
from uploader.errors import Interrupted
from uploader.secret import Secret


def is_interactive() -> bool:
    """Return True if a person can be asked: without a terminal no question is ever asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


class TerminalPrompter:
    """A person, asked by click's prompts, one question at a time. Raises Interrupted at Ctrl-C and Ctrl-D.

    `paused` stops other drawing on the terminal during a question.
    """

    def __init__(self, paused: Callable[[], AbstractContextManager[None]]) -> None:
        self._paused = paused
        self._lock = threading.Lock()

    def ask(self, text: str) -> str:
        with self._alone():
            return str(click.prompt(_fit(text), default="", show_default=False, err=True))

    def ask_secret(self, text: str) -> Secret:
        with self._alone():
            return Secret(click.prompt(_fit(text), default="", show_default=False, hide_input=True, err=True))

    def confirm(self, text: str) -> bool:
        with self._alone():
            return click.confirm(_fit(text), default=False, err=True)

    def show(self, text: str) -> None:
        with self._alone():
            print_note(text)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._lock, self._paused():
            try:
                yield
            except click.Abort:
                raise Interrupted("stopped at a question", remedy="Run the same command again.") from None


def _fit(text: str) -> str:
    return fitted(shown(text), encoding(sys.stderr)).rstrip().removesuffix(":")
