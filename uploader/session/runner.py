"""Workers that carry out tasks. Every task gets an outcome, also after an error or Ctrl-C."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from uploader.errors import Defect, Interrupted, UploaderError
from uploader.events import Began, Ended, Message, Observer
from uploader.result import Evidence, Failure, Outcome
from uploader.threads import WorkerGroup

_GRACE_SECONDS = 1.0


@dataclass(frozen=True)
class Task:
    """One item to carry out. `outcome` is what is known before; `run` returns the complete outcome.

    `sent` returns the payload bytes sent so far, for the outcome of an item that fails.
    """

    item: str
    outcome: Outcome
    run: Callable[[], Outcome]
    sent: Callable[[], int] = int


@dataclass(frozen=True)
class Together:
    """Items that one call carries out together. `run` returns the outcome or the error of each, in order."""

    tasks: tuple[Task, ...]
    run: Callable[[], Sequence[Outcome | UploaderError]]


class Runner:
    """Carries out tasks in threads of its own, at most `workers` at once, so that Ctrl-C works at any moment.

    `interrupt` ends everything that a task can wait for.
    """

    def __init__(
        self,
        observer: Observer,
        cancelled: threading.Event,
        interrupt: Callable[[], None],
        workers: int = 1,
    ) -> None:
        self._observer = observer
        self._cancelled = cancelled
        self._interrupt = interrupt
        self._workers = workers
        self._lock = threading.Lock()
        self._outcomes: dict[int, Outcome] = {}

    def run(self, work: Sequence[Task | Together], at_once: int | None = None) -> list[Outcome]:
        """Return an outcome for each task, in their order. At most `at_once` run at the same time.

        After Ctrl-C, a task that is not done fails with `interrupted`. A task that meets a defect of this program fails
        with `internal`. The traceback goes to a `debug` message.
        """
        numbered: list[tuple[int, Task | Together]] = []
        tasks: list[Task] = []
        for unit in work:
            numbered.append((len(tasks), unit))
            tasks += unit.tasks if isinstance(unit, Together) else (unit,)
        queue = iter(numbered)
        # No join: if Ctrl-C arrives during a join, CPython 3.11 believes that the thread has ended.
        workers = WorkerGroup(lambda _number: self._work(queue), name="runner", stop=lambda: None)
        try:
            workers.grow(max(1, min(at_once or self._workers, self._workers, len(numbered))))
            while not workers.wait(0.1):
                pass
        except KeyboardInterrupt:
            self._cancelled.set()
            self._interrupt()
            workers.wait(_GRACE_SECONDS)
        workers.check()
        with self._lock:
            done = dict(self._outcomes)
        return [done.get(number) or _failed(task, _stopped(), 0.0) for number, task in enumerate(tasks)]

    def _work(self, queue: Iterator[tuple[int, Task | Together]]) -> None:
        while not self._cancelled.is_set():
            with self._lock:
                taken = next(queue, None)
            if taken is None:
                return
            number, unit = taken
            outcomes = self._bundle(unit) if isinstance(unit, Together) else [self._one(unit)]
            with self._lock:
                self._outcomes |= enumerate(outcomes, number)

    def _one(self, task: Task) -> Outcome:
        (outcome,) = self._bundle(Together((task,), lambda: [task.run()]))
        return outcome

    def _bundle(self, bundle: Together) -> list[Outcome]:
        began = time.monotonic()
        for task in bundle.tasks:
            known = task.outcome
            self._observer(Began(task.item, known.name or known.source, known.size))
        ended: Sequence[Outcome | UploaderError]
        try:
            ended = bundle.run()
        except UploaderError as error:
            ended = [error] * len(bundle.tasks)
        except Exception as error:  # noqa: BLE001 - a defect that one item met does not undo what became of the others
            self._observer(Message("".join(traceback.format_exception(error)).rstrip(), "debug"))
            ended = [Defect.of(error)] * len(bundle.tasks)
        return [self._ended(task, end, began) for task, end in zip(bundle.tasks, ended, strict=True)]

    def _ended(self, task: Task, end: Outcome | UploaderError, began: float) -> Outcome:
        seconds = round(time.monotonic() - began, 3)
        if isinstance(end, Outcome):
            self._observer(Ended(task.item, end.status, str(end.evidence or "")))
            return replace(end, seconds=seconds)
        fault = _stopped() if self._cancelled.is_set() else end
        self._observer(Ended(task.item, "failed", fault.message))
        return _failed(task, fault, seconds)


def _failed(task: Task, error: UploaderError, seconds: float) -> Outcome:
    return replace(task.outcome, status="failed", error=Failure.of(error), seconds=seconds, bytes_sent=task.sent())


def _stopped() -> Interrupted:
    return Interrupted("stopped by you", remedy="Run the same command again: it goes on from what arrived.")


def run_small_then_large(
    runner: Runner, small: Sequence[Together], large: Sequence[Task], *, groups: int
) -> list[Outcome]:
    """Carry out the small files first, `groups` groups at once. Then carry out the large ones, IN_FLIGHT at once.

    Return the outcomes of the small files, then those of the large ones, each in their order.
    """
    return [*runner.run(small, groups), *runner.run(large, IN_FLIGHT)]


IN_FLIGHT = 3
"""Large files at once: while one is proven and renamed, the bytes of the next are sent."""


@dataclass(frozen=True)
class StepResult:
    """The result of a step that succeeded. The byte counts are those of Outcome."""

    evidence: Evidence | None = None
    sha256: str | None = None
    bytes_sent: int = 0
    resumed_from: int = 0
