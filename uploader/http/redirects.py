"""The addresses that links led to, kept for a few minutes and never written down: signed addresses are secrets."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

LIFE = 300.0
"""Seconds that an address is used directly. Shorter than any signature's life that is known to be in use."""


class RedirectMemory:
    """Addresses by the links that led to them. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def get(self, link: str) -> str | None:
        """Return where the link led to less than `LIFE` seconds ago."""
        with self._lock:
            address, since = self._known.get(link, ("", 0.0))
            return address if address and self._clock() - since < LIFE else None

    def keep(self, link: str, address: str) -> None:
        """Remember an address from now on. An address that is known keeps its age."""
        with self._lock:
            if self._known.get(link, ("", 0.0))[0] != address:
                self._known[link] = (address, self._clock())

    def forget(self, link: str) -> None:
        with self._lock:
            self._known.pop(link, None)
