"""A plan with its worker; cancellation; an outcome for every item."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from uploader.errors import Defect, Interrupted, UploaderError
from uploader.events import Began, Ended, Observer, Said
from uploader.result import Failure, Outcome

_GRACE_SECONDS = 1.0


@dataclass(frozen=True)
class Task:
    """One item to carry out. `outcome` is what is known of it beforehand; `run` completes it. `sent` tells how many
    payload bytes went out so far, for the outcome of one that fails."""

    item: str
    outcome: Outcome
    run: Callable[[], Outcome]
    sent: Callable[[], int] = int


class Runner:
    """Carries out tasks one after another in a thread of its own, so that Ctrl-C is heard at any moment.

    `interrupt` ends whatever a task waits for.
    """

    def __init__(self, observer: Observer, cancelled: threading.Event, interrupt: Callable[[], None]) -> None:
        self._observer = observer
        self._cancelled = cancelled
        self._interrupt = interrupt
        self._outcomes: list[Outcome] = []
        self._fault: BaseException | None = None

    def run(self, tasks: Sequence[Task]) -> list[Outcome]:
        """Returns an outcome for each task. After Ctrl-C the ones not done are failed as `interrupted`; one that met
        a defect of this program is failed as `internal`, with the traceback for those who listen to `debug`."""
        # Not by Thread.join: CPython 3.11 takes a thread for ended when Ctrl-C arrives in the midst of one.
        through = threading.Event()
        worker = threading.Thread(target=self._work, args=(tasks, through), name="runner", daemon=True)
        try:
            worker.start()
            while not through.wait(timeout=0.1):
                pass
        except KeyboardInterrupt:
            self._cancelled.set()
            self._interrupt()
            through.wait(timeout=_GRACE_SECONDS)
        if self._fault is not None:
            raise self._fault
        done = list(self._outcomes)
        return done + [_failed(task, _stopped(), 0.0) for task in tasks[len(done) :]]

    def _work(self, tasks: Sequence[Task], through: threading.Event) -> None:
        try:
            for task in tasks:
                if self._cancelled.is_set():
                    return
                self._outcomes.append(self._one(task))
        except BaseException as error:  # noqa: BLE001 - carried to the caller's thread, which raises it
            self._fault = error
        finally:
            through.set()

    def _one(self, task: Task) -> Outcome:
        known = task.outcome
        began = time.monotonic()
        self._observer(Began(task.item, known.name or known.source, known.size))
        try:
            outcome = task.run()
            outcome = replace(outcome, seconds=round(time.monotonic() - began, 3))
            self._observer(Ended(task.item, outcome.status, str(outcome.evidence or "")))
        except UploaderError as error:
            outcome = self._ended_by(task, error, began)
        except Exception as error:  # noqa: BLE001 - a defect that one item met does not undo what became of the others
            self._observer(Said("".join(traceback.format_exception(error)).rstrip(), "debug"))
            outcome = self._ended_by(task, Defect.of(error), began)
        return outcome

    def _ended_by(self, task: Task, error: UploaderError, began: float) -> Outcome:
        fault = _stopped() if self._cancelled.is_set() else error
        self._observer(Ended(task.item, "failed", fault.message))
        return _failed(task, fault, round(time.monotonic() - began, 3))


def _failed(task: Task, error: UploaderError, seconds: float) -> Outcome:
    return replace(task.outcome, status="failed", error=Failure.of(error), seconds=seconds, bytes_sent=task.sent())


def _stopped() -> Interrupted:
    return Interrupted("stopped by you", remedy="Run the same command again: it goes on from what arrived.")
