"""No progress: --quiet. Errors are still printed, by `cli.errors`."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from types import TracebackType

from uploader.events import Event


class Silent:
    """A display that shows nothing."""

    def __call__(self, event: Event) -> None:
        """Ignore the event."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing: there is nothing to restore."""

    def paused(self) -> AbstractContextManager[None]:
        return nullcontext()
