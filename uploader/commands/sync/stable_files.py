"""Which local files still change: their size changed lately, or a program has them open for writing."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from uploader.scan.tree import LocalEntry

STILL_SECONDS = 2.0
"""How long a file must be unchanged before it is sent, in seconds."""


class StableFiles:
    """What is known of growing files, from one check to the next.

    `clock` returns monotonic seconds, `now` the time of day. `writers` returns the real paths that are open for
    writing, None when the system cannot tell.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        writers: Callable[[Path], frozenset[str] | None] | None = None,
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._now = now
        self._writers = writers or open_for_writing
        self._seen: dict[str, tuple[int, int, float]] = {}
        self._open: frozenset[str] | None = None
        self.waiting: set[str] = set()
        """The files that were growing at the last check."""

    def begin_check(self) -> None:
        """Start a new check of all files."""
        self._open = self._writers(self._folder)
        self.waiting = set()

    def is_growing(self, here: LocalEntry) -> bool:
        """Return True if a file must not be sent yet."""
        growing = not self._is_still(here)
        if not growing and self._open:
            growing = os.path.realpath(self._folder / here.path) in self._open
        if growing:
            self.waiting.add(here.path)
        return growing

    def _is_still(self, here: LocalEntry) -> bool:
        state, now = (here.size, here.mtime_ns), self._clock()
        before = self._seen.get(here.path)
        if before is None and self._now() - here.mtime_ns / 1e9 >= STILL_SECONDS:
            before = (*state, now - STILL_SECONDS)  # it was unchanged long before the first check
        if before is None or before[:2] != state:
            before = (*state, now)
        self._seen[here.path] = before
        return now - before[2] >= STILL_SECONDS


def open_for_writing(folder: Path) -> frozenset[str] | None:
    """Return the real paths below a folder that a program has open for writing, if this user may know.

    None where the system has no such list. Linux has: /proc/PID/fd and /proc/PID/fdinfo (proc(5)).
    """
    if not sys.platform.startswith("linux"):
        return None
    below = os.path.join(os.path.realpath(folder), "")  # noqa: PTH118 - ends in a separator
    found: set[str] = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            handles = list((process / "fd").iterdir())
        except OSError:
            continue  # the process of another user, or it has ended
        for handle in handles:
            try:
                path = os.readlink(handle)  # noqa: PTH115 - what it says, not where it leads
                if path.startswith(below) and _writes(process / "fdinfo" / handle.name):
                    found.add(path)
            except OSError:
                continue
    return frozenset(found)


def _writes(info: Path) -> bool:
    for line in info.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "flags":
            return int(value, 8) & os.O_ACCMODE != os.O_RDONLY
    return False
