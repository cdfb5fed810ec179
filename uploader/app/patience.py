"""How one push waits and tries again: the back-off, told to the observer, ended by a stop or when there is no need."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from uploader.errors import UploaderError
from uploader.events import Observer, Said
from uploader.retry import ATTEMPTS, retrying

T = TypeVar("T")
_LOOK_SECONDS = 0.2
_SAME_SECONDS = 1.0
"""Within which one fault met by many lines at once is told once."""

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
    _told: dict[str, float] = field(default_factory=dict, init=False, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

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
        text = f"{error.message}; trying again in {seconds:.0f} s"
        with self._lock:
            now = time.monotonic()
            is_new = now - self._told.get(text, -_SAME_SECONDS) >= _SAME_SECONDS
            if is_new:
                self._told[text] = now
        if is_new:
            self.observer(Said(text, "note"))


def _wait_until(over: threading.Event, wait: Callable[[float], bool], seconds: float) -> bool:
    left = seconds
    while left > 0 and not over.is_set():
        if wait(min(left, _LOOK_SECONDS)):
            return True
        left -= _LOOK_SECONDS
    return False
