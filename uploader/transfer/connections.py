"""How many connections one file needs: a first number from the round trip time, then more while the rate grows."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from uploader.transfer.config import TransferConfig

CHANNEL_WINDOW = 2 * 1024 * 1024
"""Largest number of bytes in flight on one channel of OpenSSH (its channels.h), so also the most per round trip."""


def first(round_trip: float, most: int, config: TransferConfig) -> int:
    """Return the number of connections to begin with, at most `most`. `round_trip` is in seconds."""
    return max(1, min(most, math.ceil(config.line_bytes_per_second * round_trip / CHANNEL_WINDOW)))


class ConnectionScaler:
    """Decides when to open another connection. `round_trip` and `clock` are in seconds.

    An upload begins with a few connections. It opens the rest of the first number once the measured rate is high
    enough for all of them. Then it opens one more at a time, under two conditions: the windows of the connections
    limit the rate, and the last connection raised it.
    """

    def __init__(
        self,
        round_trip: float,
        most: Callable[[], int],
        config: TransferConfig,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare for an upload. `most` returns the largest number of connections allowed now."""
        self._round_trip = round_trip
        self._most = most
        self._config = config
        self._clock = clock
        self.to_begin = min(config.first_connections, self.first)
        self._fast = False
        self._rate_from: tuple[float, int] | None = None
        self._enough = config.scale_window_share * CHANNEL_WINDOW / max(round_trip, 1e-4)
        self._interval = max(config.scale_seconds, config.scale_round_trips * round_trip)
        self._best = 0.0
        self._count = 0
        self._rest = 0.0
        self._from: tuple[float, int] | None = None

    @property
    def first(self) -> int:
        """The number of connections to open once the measured rate is high enough."""
        return first(self._round_trip, self._most(), self._config)

    @property
    def hurried(self) -> bool:
        """True while the measured rate decides whether the rest of the first number is opened."""
        return not self._fast and self.first > self.to_begin

    def more(self, moved: int, count: int) -> int:
        """Return how many connections to add to `count`, after `moved` acknowledged bytes in total.

        Call it repeatedly: it asks again for connections of the first number that could not be opened.
        """
        now = self._clock()
        if not self._fast and self._is_fast(now, moved):
            self._fast = True
            return max(0, self.first - count)
        if count != self._count:  # a new connection is not measured while TCP is still in slow start
            self._count, self._from, self._rest = count, None, now + self._interval
        if now < self._rest or count >= self._most():
            return 0
        if count < self.first and self._fast:
            self._rest = now + self._interval
            return 1
        if self._from is None:
            self._from = (now, moved)
        at, before = self._from
        if now - at < self._interval:
            return 0
        rate = (moved - before) / (now - at)
        self._from = (now, moved)
        if rate < self._best * self._config.scale_growth or rate / count < self._enough:
            return 0
        self._best = rate
        return 1

    def _is_fast(self, now: float, moved: int) -> bool:
        config, since = self._config, self._rate_from
        if since is None or now - since[0] > config.rate_seconds or moved < since[1]:
            since = self._rate_from = (now, moved)
        at, before = since
        return moved - before >= max(config.rate_bytes, config.least_bytes_per_second * self.first * (now - at))
