"""What the pushes of the same references to several targets find out once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar, cast

from uploader.artifact import Artifact, LocalFile
from uploader.errors import UploaderError
from uploader.sources import Shared, Sources, Stream, open_stream

T = TypeVar("T")


class SharedResults:
    """What was found out about references, and what is read of them, for whoever asks the same: several targets of one
    push. `several`: files of this disk are read for all of them at once."""

    def __init__(self, *, several: bool = False) -> None:
        self._several = several
        self._found: dict[tuple[str, str], object] = {}
        self._shared: dict[str, Shared] = {}
        self._turns: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def share(self, artifacts: Iterable[Artifact], sources: Sources) -> None:
        """Says what will be read; before anybody reads."""
        for artifact in artifacts if self._several else ():
            if isinstance(artifact.origin, LocalFile) and artifact.size is not None:
                opening = partial(open_stream, artifact, sources)
                self._shared.setdefault(_key(artifact), Shared(opening, artifact.size))

    def open(self, artifact: Artifact, sources: Sources) -> Stream:
        """Opens an artifact: a view of what others read too, where there are others."""
        shared = self._shared.get(_key(artifact))
        return open_stream(artifact, sources) if shared is None else shared.open()

    def turn(self, artifact: Artifact) -> threading.Lock:
        """Held by whoever downloads an artifact to this disk: there is one file for all of them."""
        with self._lock:
            return self._turns.setdefault(_key(artifact), threading.Lock())

    def once(self, what: str, key: str, call: Callable[[], T]) -> T:
        """Returns what `call` returned the first time, or raises what it raised then."""
        if (what, key) not in self._found:
            try:
                self._found[what, key] = call()
            except UploaderError as error:
                self._found[what, key] = error
        found = self._found[what, key]
        if isinstance(found, UploaderError):
            raise found
        return cast(T, found)


def _key(artifact: Artifact) -> str:
    """Two names of one file are one file: a glob and a path may both name it."""
    origin = artifact.origin
    return str(origin.path.resolve()) if isinstance(origin, LocalFile) else origin.url
