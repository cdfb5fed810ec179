"""One run of the command line: its common options, its display and its session."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uploader.api import Session
    from uploader.cli.display.interface import ProgressDisplay


@dataclass
class Invocation:
    """One run of the program: its environment and its common options.

    `json`, `quiet` and `verbose` are set while the options are parsed, so that a later error respects them.
    """

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    json: bool = False
    quiet: bool = False
    verbose: bool = False

    @contextmanager
    def conversation(self, *, silent: bool = False) -> Iterator[ProgressDisplay]:
        """Open the display of progress on stderr for the duration of a command; `silent` shows none."""
        from uploader.cli.display import choose

        _hush_libraries()
        with choose(self.environ, quiet=silent or self.quiet, verbose=self.verbose) as conversation:
            yield conversation

    @contextmanager
    def session(self, *, silent: bool = False) -> Iterator[Session]:
        """Open what the verbs work with; on a terminal it can ask a person. `silent`: this verb has no progress."""
        from uploader.api import Session
        from uploader.cli.prompt import TerminalPrompter, is_interactive

        with self.conversation(silent=silent) as conversation:
            prompter = TerminalPrompter(conversation.paused) if is_interactive() else None
            yield Session(environ=self.environ, prompter=prompter, observer=conversation)


def _hush_libraries() -> None:
    """Keep paramiko's log of lost connections off stderr, where Python would print it."""
    import logging

    logger = logging.getLogger("paramiko")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
