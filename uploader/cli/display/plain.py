"""Progress in lines, for logs and for simple terminals."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType

from uploader.cli.format import duration, part, percent, rate, size
from uploader.events import Began, Ended, Event, Message, Phase, Planned, Progress
from uploader.progress import Clock, ProgressModel, Row

_SECONDS = 5.0
_PERCENT = 10
_LONGEST_SILENCE = 60.0


class Plain:
    """One line when an item begins, enters a phase and ends; sometimes one with its progress.

    `write` takes a line. A progress line follows after at least 5 seconds, and then after 10 % or a minute.
    """

    def __init__(self, write: Callable[[str], None], *, verbose: bool = False, clock: Clock = time.monotonic) -> None:
        self._write = write
        self._verbose = verbose
        self._clock = clock
        self._board = ProgressModel(clock)
        self._lock = threading.Lock()
        self._open = True
        self._told: dict[str, tuple[float, int]] = {}

    def __enter__(self) -> Plain:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._open = False

    def paused(self) -> AbstractContextManager[None]:
        return nullcontext()

    def __call__(self, event: Event) -> None:
        with self._lock:
            if self._open and (line := self._line(event)) is not None:
                self._write(line)

    def _line(self, event: Event) -> str | None:
        row = self._board.take(event)
        match event:
            case Message(text, level):
                return text if self._verbose or level != "debug" else None
            case Planned(items, bytes_):
                return f"{items} files, {size(bytes_)}" if items > 1 else None
            case Began(_, name, bytes_):
                return f"{name}: {size(bytes_)}" if bytes_ is not None else f"{name}: of a size not known yet"
            case Phase(item, phase):
                self._told[item] = (self._clock(), 0)
                return f"{row.name}: {phase}" if row else None
            case Progress(item):
                return self._progress(item, row) if row else None
            case Ended(item, status, detail):
                self._told.pop(item, None)
                return _end(row, status, detail) if row else None

    def _progress(self, item: str, row: Row) -> str | None:
        now = self._clock()
        done = percent(row.done, row.size) if row.size else 0
        at, before = self._told.setdefault(item, (now, 0))
        due = now - at >= _SECONDS and (done >= before + _PERCENT or now - at >= _LONGEST_SILENCE)
        if not due and done >= before:
            return None
        self._told[item] = (at if not due else now, done)
        return _progress(row, done) if due else None


def _progress(row: Row, done: int) -> str:
    amount = f"{done} %, {part(row.done, row.size)}" if row.size else size(row.done)
    pace = f", {rate(row.rate)}" if row.rate else ""
    left = f", {duration(row.left)} left" if row.left is not None else ""
    return f"{row.name}: {row.phase} {amount}{pace}{left}"


def _end(row: Row, status: str, detail: str) -> str:
    if status == "failed":
        return f"{row.name}: failed"  # the reason is printed once, at the end
    proof = f", verified by {detail}" if detail else ""
    return f"{row.name}: {status} in {duration(row.elapsed)}{proof}"
