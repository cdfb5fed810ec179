"""The one back-off policy: which faults are worth another try, when, and how often."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

import tenacity

from uploader.errors import Interrupted, RateLimited, UploaderError
from uploader.events import Message, Observer

ATTEMPTS = 6
"""Tries in a row without progress, the first one included."""

LONGEST_WAIT = 30.0
"""Seconds between two tries that nobody asked us to keep."""

LONGEST_PATIENCE = 120.0
"""Seconds between two tries, whatever a rate limit asks for."""

T = TypeVar("T")
_Result = TypeVar("_Result")
_growing = tenacity.wait_exponential(multiplier=1, max=LONGEST_WAIT)


def retrying(
    call: Callable[[], _Result],
    *,
    cancelled: threading.Event,
    attempts: int = ATTEMPTS,
    on_retry: Callable[[UploaderError, float], None] | None = None,
    progress: Callable[[], int] | None = None,
    wait: Callable[[float], bool] | None = None,
) -> _Result:
    """Returns what `call` returns, tried again while it raises an error whose `retryable` is true.

    Gives up after `attempts` failures in a row, and raises the last; a wish for patience (RateLimited) is no such
    failure, but six tries are the end of those too. The count starts anew when `progress` (any number that grows, such
    as bytes acknowledged) is higher than after the failure before. Between tries it waits
    half a second to 30 s, longer each time and never exactly as long as another client, or what a RateLimited asks
    for, at most 120 s. `on_retry` hears the error and the seconds before each wait. Raises Interrupted as soon as
    `cancelled` is set, also in the middle of a wait. `wait` waits that many seconds and says whether it was woken
    by cancellation; it is `cancelled.wait` unless given.
    """
    course = _Course(cancelled, progress, on_retry, wait or cancelled.wait)
    policy = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_worth_it),
        stop=partial(course.given_up, attempts),
        wait=_pause,
        before=course.before,
        after=course.after,
        before_sleep=course.before_sleep,
        sleep=course.sleep,
        reraise=True,
    )
    return policy(call)


class _Course:
    """What happens around the tries of one call."""

    def __init__(
        self,
        cancelled: threading.Event,
        progress: Callable[[], int] | None,
        on_retry: Callable[[UploaderError, float], None] | None,
        wait: Callable[[float], bool],
    ) -> None:
        self._cancelled = cancelled
        self._progress = progress
        self._on_retry = on_retry
        self._wait = wait
        self._reached = progress() if progress else 0
        self._faults = 0
        """Failures in a row that were not a wish for patience."""

    def before(self, _: tenacity.RetryCallState) -> None:
        if self._cancelled.is_set():
            raise _stopped()

    def after(self, state: tenacity.RetryCallState) -> None:
        self.before(state)
        if self._progress and (now := self._progress()) > self._reached:
            self._reached = now
            state.attempt_number = 1
            self._faults = 0
        self._faults += not isinstance(_fault(state), RateLimited)

    def given_up(self, attempts: int, state: tenacity.RetryCallState) -> bool:
        return self._faults >= attempts or state.attempt_number >= max(attempts, ATTEMPTS)

    def before_sleep(self, state: tenacity.RetryCallState) -> None:
        error = _fault(state)
        if self._on_retry and isinstance(error, UploaderError):
            self._on_retry(error, state.upcoming_sleep)

    def sleep(self, seconds: float) -> None:
        if self._wait(seconds):
            raise _stopped()


def _worth_it(error: BaseException) -> bool:
    return isinstance(error, UploaderError) and error.retryable


def _pause(state: tenacity.RetryCallState) -> float:
    """Half to whole of 1, 2, 4 ... 30 s: many clients that were cut at once do not come back at once."""
    error = _fault(state)
    if isinstance(error, RateLimited) and error.wait is not None:
        return min(max(error.wait, 0.0), LONGEST_PATIENCE)
    return _growing(state) * random.uniform(0.5, 1.0)  # noqa: S311 - nothing secret hangs on it


def _fault(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _stopped() -> Interrupted:
    return Interrupted("stopped", remedy="Run the same command again: it goes on where it stopped.")


class Retrying(Protocol):
    """Runs a call again while its fault may pass; `progress()` that grows earns it more patience.

    `over`, once set, ends a wait between two tries at once: the call then finds by itself that it has nothing to do.
    """

    def __call__(
        self, call: Callable[[], T], progress: Callable[[], int], /, over: threading.Event | None = None
    ) -> T: ...


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
            self.observer(Message(text, "note"))


def _wait_until(over: threading.Event, wait: Callable[[float], bool], seconds: float) -> bool:
    left = seconds
    while left > 0 and not over.is_set():
        if wait(min(left, _LOOK_SECONDS)):
            return True
        left -= _LOOK_SECONDS
    return False
