"""What the pushes of the same references to several targets find out once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar, cast

from uploader.artifact import Artifact, LocalFile
from uploader.errors import UploaderError

T = TypeVar("T")


class SharedResults:
    """What was found out about references, shared by the pushes to several targets."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], object] = {}
        self._turns: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def turn(self, artifact: Artifact) -> threading.Lock:
        """Return the lock to hold while an artifact is downloaded to this disk: all targets use one file."""
        with self._lock:
            return self._turns.setdefault(key_of(artifact), threading.Lock())

    def once(self, what: str, key: str, call: Callable[[], T]) -> T:
        """Return what `call` returned the first time, or raise what it raised then."""
        if (what, key) not in self._found:
            try:
                self._found[what, key] = call()
            except UploaderError as error:
                self._found[what, key] = error
        found = self._found[what, key]
        if isinstance(found, UploaderError):
            raise found
        return cast(T, found)


def key_of(artifact: Artifact) -> str:
    """Return what names an artifact's bytes. Two names of one file are one: a pattern and a path may both name it."""
    origin = artifact.origin
    return str(origin.path.resolve()) if isinstance(origin, LocalFile) else origin.url
