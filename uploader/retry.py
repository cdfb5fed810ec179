"""The one back-off policy: which errors are worth another try, when, and how often."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from uploader.errors import Interrupted, RateLimited, UploaderError
from uploader.events import Message, Observer

ATTEMPTS = 6
"""Tries in a row without progress, the first one included."""

ATTEMPTS_TO_RESOLVE = 3
"""Tries for a reference's address. Few, because a mistyped host fails like a lost connection."""

LONGEST_WAIT = 30.0
"""Seconds between two tries when no server asked for more."""

LONGEST_ASKED_WAIT = 120.0
"""Seconds between two tries at most, even if a rate limit asks for more."""

_LOOK_SECONDS = 0.2
_SAME_SECONDS = 1.0
"""Within this time, one error that several threads meet is reported once."""

T = TypeVar("T")


@dataclass(frozen=True)
class Retry:
    """Runs a call again while its error is retryable. Waits 0.5 to 1 times 1, 2, 4 ... 30 s between two tries.

    Waits what RateLimited asks for instead, at most 120 s. Gives up after `attempts` failures in a row without
    progress, and raises the last error. RateLimited does not count as a failure, but six of them end the call too.
    `wait(seconds)` returns True if it was cancelled; it is `cancelled.wait` unless given.
    """

    cancelled: threading.Event
    observer: Observer
    wait: Callable[[float], bool] | None = None
    attempts: int = ATTEMPTS
    _reported: dict[str, float] = field(default_factory=dict, init=False, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    def __call__(
        self, call: Callable[[], T], progress: Callable[[], int] = int, /, over: threading.Event | None = None
    ) -> T:
        """Return what `call` returns. Raises Interrupted when `cancelled` is set, also in the middle of a wait.

        A `progress()` that grew since the last failure resets both counts. A wait ends at once when `over` is set: the
        call then finds that nothing is left to do.
        """
        failures, tries, reached = 0, 0, progress()
        while True:
            if self.cancelled.is_set():
                raise _stopped()
            try:
                return call()
            except UploaderError as error:
                if not error.retryable:
                    raise
                if self.cancelled.is_set():
                    raise _stopped() from error
                if (now := progress()) > reached:
                    failures, tries, reached = 0, 0, now
                failures += not isinstance(error, RateLimited)
                tries += 1
                if failures >= self.attempts or tries >= max(self.attempts, ATTEMPTS):
                    raise
                seconds = _pause(error, tries)
                self._report(error, seconds)
            self._sleep(seconds, over)

    def _report(self, error: UploaderError, seconds: float) -> None:
        text = f"{error.message}; trying again in {seconds:.0f} s"
        with self._lock:
            now = time.monotonic()
            is_new = now - self._reported.get(text, -_SAME_SECONDS) >= _SAME_SECONDS
            if is_new:
                self._reported[text] = now
        if is_new:
            self.observer(Message(text, "note"))

    def _sleep(self, seconds: float, over: threading.Event | None) -> None:
        wait = self.wait or self.cancelled.wait
        if over is None:
            if wait(seconds):
                raise _stopped()
            return
        while seconds > 0 and not over.is_set():
            if wait(min(seconds, _LOOK_SECONDS)):
                raise _stopped()
            seconds -= _LOOK_SECONDS


def _pause(error: UploaderError, tries: int) -> float:
    """Return seconds, at random: many clients that lost their connection at once do not return at once."""
    if isinstance(error, RateLimited) and error.wait is not None:
        return min(max(error.wait, 0.0), LONGEST_ASKED_WAIT)
    growing = min(2.0 ** (tries - 1), LONGEST_WAIT)
    return growing * random.uniform(0.5, 1.0)  # noqa: S311 - not a secret


def _stopped() -> Interrupted:
    return Interrupted("stopped", remedy="Run the same command again: it goes on where it stopped.")
