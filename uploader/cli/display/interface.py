"""What a display of progress owes: it writes to stderr while a command works, and never to stdout."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol

from uploader.events import Event


class ProgressDisplay(Protocol):
    """An observer that shows the events it receives. A context manager; it shows nothing after it was left.

    Events may come from any thread. Leaving it restores the terminal, also after an exception.
    """

    def __call__(self, event: Event) -> None: ...

    def __enter__(self) -> ProgressDisplay: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def paused(self) -> AbstractContextManager[None]:
        """Return a context in which the terminal is free for a question or for another writer."""
