"""Notices of the system about changes in a local folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from pathlib import Path

_LOOK_MS = 200
_GATHER_MS = 1000


def listen(folder: Path) -> Generator[bool]:
    """Yield several times a second: True if something below the folder has changed since the last time.

    It notices changes from the first yield on. Raises OSError when the folder is missing.
    """
    from watchfiles import watch

    lines = watch(folder, watch_filter=None, debounce=_GATHER_MS, step=50, rust_timeout=_LOOK_MS, yield_on_timeout=True)
    for changes in lines:
        yield bool(changes)


class FolderWatcher:
    """Waits for changes below a folder. `wait` waits that many seconds.

    The folder may disappear and return, such as that of a removable disk.
    """

    def __init__(
        self,
        folder: Path,
        *,
        listen: Callable[[Path], Generator[bool]] = listen,
        wait: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._listen = listen
        self._wait = wait
        self._clock = clock
        self._lines: Generator[bool] | None = None

    def open(self) -> None:
        """Start to watch: a change from now on ends the next wait. Do nothing when the folder is missing."""
        if self._lines is not None:
            return
        lines = self._listen(self._folder)
        try:
            next(lines)
        except OSError:
            return
        self._lines = lines

    def close(self) -> None:
        """End the watch."""
        if self._lines is not None:
            self._lines.close()
            self._lines = None

    def wait(self, seconds: float | None) -> None:
        """Wait for a change, at most `seconds`."""
        if self._lines is None:
            self._wait(seconds or 1.0)
            return
        end = None if seconds is None else self._clock() + seconds
        try:
            for changed in self._lines:
                if changed or (end is not None and self._clock() >= end):
                    return
        except OSError:
            pass
        self._lines = None
