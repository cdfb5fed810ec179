"""Waiting for another process, where no event tells what it does."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(condition: Callable[[], object], what: str, *, seconds: float = 90) -> None:
    """Wait until `condition` holds. Raise AssertionError with `what` after `seconds`: a busy machine needs some."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.01)
