"""What the members of this family owe: they talk on stderr while a command works, and never touch stdout."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol

from uploader.events import Event


class ProgressDisplay(Protocol):
    """An observer that shows what it is told. Used as a context manager; says nothing after it was left.

    Events may come from any thread. Leaving it gives the terminal back as it was, whatever happened inside.
    """

    def __call__(self, event: Event) -> None: ...

    def __enter__(self) -> ProgressDisplay: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def paused(self) -> AbstractContextManager[None]:
        """While it lasts the terminal belongs to somebody else: a question, another writer."""
