"""A conversation that is not held: --quiet. Errors are told by the boundary all the same."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from types import TracebackType

from uploader.events import Event


class Silent:
    """Shows nothing."""

    def __call__(self, event: Event) -> None:
        """Passes over it."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Holds nothing."""

    def paused(self) -> AbstractContextManager[None]:
        return nullcontext()
