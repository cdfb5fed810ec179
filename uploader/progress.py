"""A model of progress: items in transfer with counts, rates and the time left. Shows nothing itself."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from uploader.events import Began, Ended, Event, Message, Phase, Planned, Progress

Clock = Callable[[], float]

MOVING = frozenset({"sending", "fetching"})
"""The phases that bring a file to the server, on every route."""

_WINDOW_SECONDS = 8.0
_STEP_SECONDS = 0.2


class Meter:
    """The rate of the last seconds, in bytes per second. `clock` returns seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque()
        self.restart()

    def restart(self, count: int = 0) -> None:
        """Forget the past; measure the next counts from this one."""
        self._samples.clear()
        self._samples.append((self._clock(), count))

    def at(self, count: int) -> None:
        """Take the number of bytes so far. A count that falls begins a new measurement."""
        if count < self._samples[-1][1]:
            self.restart(count)
            return
        now = self._clock()
        # Within a step the last sample is replaced, so that a window holds a few dozen at any rate of events.
        if len(self._samples) > 1 and now - self._samples[-2][0] < _STEP_SECONDS:
            self._samples.pop()
        self._samples.append((now, count))

    def rate(self) -> float:
        """Return bytes per second; it sinks to 0 while no byte moves."""
        now = self._clock()
        while len(self._samples) > 1 and self._samples[1][0] <= now - _WINDOW_SECONDS:
            self._samples.popleft()
        since, before = self._samples[0]
        elapsed = now - since
        return (self._samples[-1][1] - before) / elapsed if elapsed > 0 else 0.0


@dataclass(frozen=True)
class Row:
    """One line of progress. Sizes in bytes, `rate` in bytes per second, `left` and `elapsed` in seconds."""

    name: str
    phase: str
    done: int
    size: int | None
    rate: float
    left: float | None
    elapsed: float


@dataclass
class _Item:
    name: str
    size: int | None
    began: float
    meter: Meter
    phase: str = ""
    done: int = 0
    sent: int = 0
    sent_before: int = 0

    def row(self, now: float) -> Row:
        rate = self.meter.rate()
        return Row(
            self.name, self.phase, self.done, self.size, rate, _left(self.size, self.done, rate), now - self.began
        )


@dataclass
class _Total:
    meter: Meter
    began: float
    items: int = 0
    size: int = 0
    ended: int = 0
    passed: int = 0
    fresh: int = 0


class ProgressModel:
    """Events of any thread in, rows of progress out."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._items: dict[str, _Item] = {}
        self._total = _Total(Meter(clock), clock())

    def take(self, event: Event) -> Row | None:
        """Return the row of the item that the event is about; after `Ended` it is the last one."""
        with self._lock:
            match event:
                case Message():
                    return None
                case Planned(items, size):
                    self._total = _Total(Meter(self._clock), self._clock(), items, size)
                    return None
                case Began(item, name, size):
                    self._begin(item, name, size)
                case Phase(item, name) if item in self._items:
                    self._enter(self._items[item], name)
                case Progress(item, done, resumed) if item in self._items:
                    self._move(self._items[item], done, resumed)
                case Ended(item, status) if item in self._items:
                    return self._end(item, status)
            known = self._items.get(event.item)
            return known.row(self._clock()) if known else None

    def rows(self) -> list[Row]:
        """Return the items in transfer, in the order in which they began."""
        with self._lock:
            now = self._clock()
            return [item.row(now) for item in self._items.values()]

    def total(self) -> Row | None:
        """Return all items together, None unless several are planned. `done` counts the bytes that the server has."""
        with self._lock:
            total = self._total
            if total.items < 2:
                return None
            size = total.size
            done = total.passed + sum(item.sent for item in self._items.values())
            rate = total.meter.rate()
            name = f"total {total.ended}/{total.items} files"
            return Row(name, "", min(done, size), size, rate, _left(size, done, rate), self._clock() - total.began)

    def _begin(self, item: str, name: str, size: int | None) -> None:
        self._items[item] = _Item(name, size, self._clock(), Meter(self._clock))

    def _enter(self, item: _Item, phase: str) -> None:
        item.phase, item.done = phase, 0
        item.meter.restart()
        if phase in MOVING:
            item.sent_before = 0

    def _move(self, item: _Item, done: int, resumed: int) -> None:
        item.done = done
        item.meter.at(done - resumed)
        if item.phase in MOVING:
            self._total.fresh += max(0, done - resumed - item.sent_before)
            self._total.meter.at(self._total.fresh)
            item.sent, item.sent_before = done, done - resumed

    def _end(self, name: str, status: str) -> Row:
        item = self._items.pop(name)
        item.phase = status
        total = self._total
        total.ended += 1
        through = item.sent if status == "failed" else item.size or item.sent
        total.passed += through
        # Bytes that will not be sent are no work to do.
        total.size = max(0, total.size - (item.size or through) + through)
        return item.row(self._clock())


def _left(size: int | None, done: int, rate: float) -> float | None:
    return (size - done) / rate if size is not None and rate > 0 and size >= done else None
