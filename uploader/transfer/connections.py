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

_TO_BEGIN = 2
_SLOWEST = 16 * 1024
"""Bytes per second that each connection must be good for. On a slower line each would wait so long for the answer to
one write, as a server answers whole ones alone, that it seems to be lost."""
_SEEN = 96 * 1024
"""Bytes acknowledged by which a line's speed shows: three writes of those that a lane begins with."""
_SEEN_WITHIN = 3.0


def first(round_trip: float, most: int) -> int:
    """Connections to begin with. `round_trip` in seconds."""
    return max(1, min(most, math.ceil(_LINE * round_trip / _WINDOW)))


class ConnectionScaler:
    """Says when another connection is worth it. `round_trip` in seconds, as `clock` counts them.

    It begins with two at most. The others of the first number join as soon as the line is seen to be fast enough for
    all of them. Then it asks for one more while those that there are seem to be held back by their windows, and as
    long as the last one made the whole faster.
    """

    def __init__(self, round_trip: float, most: Callable[[], int], clock: Callable[[], float] = time.monotonic) -> None:
        """`most` tells how many there may be, as it stands now."""
        self._round_trip = round_trip
        self._most = most
        self.to_begin = min(_TO_BEGIN, self.first)
        self._fast = False
        self._seen: tuple[float, int] | None = None
        self._clock = clock
        self._worth = _NEAR * _WINDOW / max(round_trip, 1e-4)
        self._interval = max(_LOOK_SECONDS, _LOOK_ROUND_TRIPS * round_trip)
        self._best = 0.0
        self._lanes = 0
        self._rest = 0.0
        self._from: tuple[float, int] | None = None

    @property
    def first(self) -> int:
        return first(self._round_trip, self._most())

    @property
    def hurried(self) -> bool:
        """Whether to look often: others are ready to join."""
        return not self._fast and self.first > self.to_begin

    def more(self, moved: int, lanes: int) -> int:
        """How many others to open, with `moved` bytes acknowledged so far over `lanes` connections. Ask now and
        then: those to begin with that could not be had are asked for again, as others may have given theirs back."""
        now = self._clock()
        if not self._fast and self._is_fast(now, moved):
            self._fast = True
            return max(0, self.first - lanes)
        if lanes != self._lanes:  # the first moments of one, while TCP feels its way, say nothing
            self._lanes, self._from, self._rest = lanes, None, now + self._interval
        if now < self._rest or lanes >= self._most():
            return 0
        if lanes < self.first and self._fast:
            self._rest = now + self._interval
            return 1
        if self._from is None:
            self._from = (now, moved)
        at, before = self._from
        if now - at < self._interval:
            return 0
        rate = (moved - before) / (now - at)
        self._from = (now, moved)
        if rate < self._best * _PAYS or rate / lanes < self._worth:
            return 0
        self._best = rate
        return 1

    def _is_fast(self, now: float, moved: int) -> bool:
        if self._seen is None or now - self._seen[0] > _SEEN_WITHIN or moved < self._seen[1]:
            self._seen = (now, moved)
        at, before = self._seen
        return moved - before >= max(_SEEN, _SLOWEST * self.first * (now - at))
