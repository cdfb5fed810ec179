"""Results about references that the pushes to several targets share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar, cast

from uploader.artifact import Artifact, LocalFile
from uploader.errors import UploaderError

T = TypeVar("T")


class SharedResults:
    """Results about references, each computed once for the pushes to all targets."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], object] = {}
        self._turns: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def turn(self, artifact: Artifact) -> threading.Lock:
        """Return the lock to hold while an artifact is downloaded to this disk. All targets use one file."""
        with self._lock:
            return self._turns.setdefault(key_of(artifact), threading.Lock())

    def once(self, what: str, key: str, call: Callable[[], T]) -> T:
        """Return the value of the first `call`, or raise its error again."""
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
    """Return a key for an artifact's bytes. A pattern and a path that name the same file have the same key."""
    origin = artifact.origin
    return str(origin.path.resolve()) if isinstance(origin, LocalFile) else origin.url
