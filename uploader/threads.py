"""Calls and groups of calls in threads of their own. Their errors are raised in the caller's thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class DeadlineExceeded(TimeoutError):
    """A call did not end in its time."""


class BackgroundCall(Generic[T]):
    """A call in a thread of its own, which begins at once. Leaving the block waits for its end."""

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

    def result(self, seconds: float | None = None) -> T:
        """Wait for the end. Return what the call returned, or raise what it raised.

        Raises DeadlineExceeded when the call runs for more than `seconds` from now. The call goes on then.
        """
        try:
            error = self._future.exception(seconds)
        except TimeoutError:
            raise DeadlineExceeded from None
        if error is not None:
            raise error
        return self._future.result()

    def _run(self) -> None:
        try:
            self._future.set_result(self._call())
        except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
            self._future.set_exception(error)


def call_with_deadline(call: Callable[[], T], seconds: float, *, name: str) -> T:
    """Return what `call` returns. Raises what it raises, and DeadlineExceeded after `seconds`.

    A late call goes on in its thread and its result is lost. Use this for system calls without a timeout.
    """
    return BackgroundCall(call, name=name).result(seconds)


class WorkerGroup:
    """Threads that run `work(number)`, which are counted from 0. `grow` adds threads while others run.

    The first error that is not surplus calls `stop`, which makes all workers end. `is_surplus(number, error, alive)`
    tells whether the other `alive` workers do without the failed one. Leaving the block stops and joins all.
    """

    def __init__(
        self,
        work: Callable[[int], None],
        *,
        name: str,
        stop: Callable[[], None],
        is_surplus: Callable[[int, BaseException, int], bool] = lambda _number, _error, _alive: False,
    ) -> None:
        self._work = work
        self._name = name
        self._stop = stop
        self._is_surplus = is_surplus
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._error: BaseException | None = None
        self.alive = 0
        """Workers that run."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def started(self) -> int:
        """The number of workers that were started, ended ones included."""
        return len(self._threads)

    def grow(self, count: int = 1) -> None:
        """Start `count` more workers."""
        with self._changed:
            for number in range(self.started, self.started + count):
                thread = threading.Thread(target=self._run, args=(number,), name=f"{self._name}-{number}", daemon=True)
                self._threads.append(thread)
                self.alive += 1  # before it starts: Ctrl-C may come between the two
                thread.start()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until no worker runs, for at most `seconds`. Return True when none runs."""
        with self._changed:
            return self._changed.wait_for(lambda: not self.alive, seconds)

    def close(self, seconds: float | None = None) -> None:
        """Stop all workers and join them, for at most `seconds`."""
        self._stop()
        deadline = None if seconds is None else time.monotonic() + seconds
        with self._changed:
            threads = list(self._threads)
        for thread in threads:
            thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))

    def check(self) -> None:
        """Raise the first error that was not surplus."""
        if self._error is not None:
            raise self._error

    def _run(self, number: int) -> None:
        error: BaseException | None = None
        try:
            self._work(number)
        except BaseException as caught:  # noqa: BLE001 - raised in the caller's thread by `check`
            error = caught
        with self._changed:
            self.alive -= 1
            counts = error is not None and not self._is_surplus(number, error, self.alive)
            if counts and self._error is None:
                self._error = error
            self._changed.notify_all()
        if counts:
            self._stop()
