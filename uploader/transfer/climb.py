"""How many connections one file is worth: a first number from the round trip time, then more while they pay."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

_WINDOW = 2 * 1024 * 1024
"""Bytes that OpenSSH lets one channel have under way (its channels.h), and so at most in a round trip."""

_LINE = 80e6
"""Bytes per second that the first number is made for: 640 Mbit/s. More connections than the line needs fill the
queues on the way, and what is lost there is sent again."""

_NEAR = 0.6
"""The part of a window's worth that says that the window is what holds a connection back."""

_PAYS = 1.04
_LOOK_SECONDS = 1.0
_LOOK_ROUND_TRIPS = 8


def first(round_trip: float, most: int) -> int:
    """Connections to begin with. `round_trip` in seconds."""
    return max(1, min(most, math.ceil(_LINE * round_trip / _WINDOW)))


class Climb:
    """Says when another connection is worth it. `round_trip` in seconds, as `clock` counts them.

    It asks for one more while those that there are seem to be held back by their windows, and as long as the last one
    made the whole faster.
    """

    def __init__(self, round_trip: float, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.first = first(round_trip, most)
        self.most = most
        self._clock = clock
        self._worth = _NEAR * _WINDOW / max(round_trip, 1e-4)
        self._interval = max(_LOOK_SECONDS, _LOOK_ROUND_TRIPS * round_trip)
        self._best = 0.0
        self._lanes = 0
        self._rest = 0.0
        self._from: tuple[float, int] | None = None

    def more(self, moved: int, lanes: int) -> bool:
        """Whether to open another, with `moved` bytes acknowledged so far over `lanes` connections. Ask now and
        then: those to begin with that could not be had are asked for again, as others may have given theirs back."""
        now = self._clock()
        if lanes != self._lanes:  # the first moments of one, while TCP feels its way, say nothing
            self._lanes, self._from, self._rest = lanes, None, now + self._interval
        if now < self._rest or lanes >= self.most:
            return False
        if lanes < self.first:
            self._rest = now + self._interval
            return True
        if self._from is None:
            self._from = (now, moved)
        at, before = self._from
        if now - at < self._interval:
            return False
        rate = (moved - before) / (now - at)
        self._from = (now, moved)
        if rate < self._best * _PAYS or rate / lanes < self._worth:
            return False
        self._best = rate
        return True
