"""How one push waits and tries again: the back-off, told to the observer, ended by a stop or when there is no need."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from uploader.errors import UploaderError
from uploader.events import Observer, Said
from uploader.retry import ATTEMPTS, retrying

T = TypeVar("T")
_LOOK_SECONDS = 0.2

ATTEMPTS_TO_RESOLVE = 3
"""Tries for a reference's address: few, as a mistyped one fails like a line that is down."""


@dataclass(frozen=True)
class Patience:
    """Fulfils `transfer.Retrying`. `wait` waits that many seconds and says whether it was stopped meanwhile; it is
    `cancelled.wait` unless given."""

    cancelled: threading.Event
    observer: Observer
    wait: Callable[[float], bool] | None = None
    attempts: int = ATTEMPTS

    def __call__(self, call: Callable[[], T], progress: Callable[[], int], /, over: threading.Event | None = None) -> T:
        wait = self.wait or self.cancelled.wait
        return retrying(
            call,
            cancelled=self.cancelled,
            attempts=self.attempts,
            on_retry=self._tell,
            progress=progress,
            wait=wait if over is None else partial(_wait_until, over, wait),
        )

    def _tell(self, error: UploaderError, seconds: float) -> None:
        self.observer(Said(f"{error.message}; trying again in {seconds:.0f} s", "note"))


def _wait_until(over: threading.Event, wait: Callable[[float], bool], seconds: float) -> bool:
    left = seconds
    while left > 0 and not over.is_set():
        if wait(min(left, _LOOK_SECONDS)):
            return True
        left -= _LOOK_SECONDS
    return False
