"""A call that runs beside others, in a thread of its own; whoever wants what it returns waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class BackgroundCall(Generic[T]):
    """Begins at once. Leaving the block waits for its end, so that no thread is left behind."""

    def __init__(self, call: Callable[[], T], *, name: str) -> None:
        self._call = call
        self._future: Future[T] = Future()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.join()

    def result(self) -> T:
        """Waits for the end; returns what the call returned, raises what it raised."""
        return self._future.result()

    def _run(self) -> None:
        try:
            self._future.set_result(self._call())
        except BaseException as error:  # noqa: BLE001 - carried to whoever asks for the result
            self._future.set_exception(error)
