"""One run of the command line: what its flags say about talking, and the app that it calls."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uploader.api import App
    from uploader.cli.display.interface import ProgressDisplay


@dataclass
class Invocation:
    """`json`, `quiet` and `verbose` are set while the options are parsed, so that a later fault knows of them."""

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    json: bool = False
    quiet: bool = False
    verbose: bool = False

    @contextmanager
    def conversation(self) -> Iterator[ProgressDisplay]:
        """The conversation on stderr, held until the answer is there."""
        from uploader.cli.display import choose

        _hush_libraries()
        with choose(self.environ, quiet=self.quiet, verbose=self.verbose) as conversation:
            yield conversation

    @contextmanager
    def app(self) -> Iterator[App]:
        """The verbs, with somebody to ask where there is a terminal."""
        from uploader.api import App
        from uploader.cli.prompt import TerminalPrompter, is_interactive

        with self.conversation() as conversation:
            prompter = TerminalPrompter(conversation.paused) if is_interactive() else None
            yield App(environ=self.environ, prompter=prompter, observer=conversation)


def _hush_libraries() -> None:
    """Paramiko logs tracebacks of lost connections; Python prints them on stderr unless somebody takes them."""
    import logging

    logger = logging.getLogger("paramiko")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
