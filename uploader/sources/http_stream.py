"""The bytes that a link leads to, for every source on the web."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from inspect import GEN_CLOSED, getgeneratorstate

from uploader.artifact import Artifact, WebFile
from uploader.errors import SourceChanged
from uploader.http import Http, TokenScope


class WebStream:
    """A link's bytes. Every read follows the link again, so a signed address may expire between two reads."""

    def __init__(self, artifact: Artifact, http: Http, scope: TokenScope | None = None) -> None:
        if not isinstance(artifact.origin, WebFile):
            raise TypeError("a web stream takes an artifact that lies behind a link")
        self._file = artifact.origin
        self._size = artifact.size
        self._http = http
        self._scope = scope
        self._open: list[Generator[bytes]] = []
        self._lock = threading.Lock()
        self._changed: SourceChanged | None = None

    def read(self, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `offset`, to the end or `length` of them.

        Raises NetworkError (cut), SourceChanged, NoRanges, and what `resolve` raises.
        """
        return self._kept(offset, length, strict=length is not None and self._file.ranges)

    def slice(self, offset: int, length: int) -> bytes:
        """Return at most `length` bytes from `offset`. From a server without ranges it reads all bytes before them."""
        return b"".join(self._kept(offset, length, strict=False)) if length else b""

    def check(self) -> None:
        """Raise SourceChanged when a read met another file than the first one."""
        if self._changed is not None:
            raise self._changed

    def close(self) -> None:
        """End the reads that wait for their caller. `Http.close` ends those that wait for the server."""
        with self._lock:
            lines, self._open = self._open, []
        for line in lines:
            with suppress(ValueError):  # running in another thread
                line.close()

    def _kept(self, offset: int, length: int | None, *, strict: bool) -> Iterator[bytes]:
        line = self._chunks(offset, length, strict=strict)
        with self._lock:
            self._open = [*(other for other in self._open if getgeneratorstate(other) != GEN_CLOSED), line]
        return line

    def _chunks(self, offset: int, length: int | None, *, strict: bool) -> Generator[bytes]:
        file = self._file
        try:
            yield from self._http.stream(
                file.url,
                offset=offset,
                length=length,
                validator=file.validator,
                size=self._size,
                ranges=file.ranges,
                strict=strict,
                scope=self._scope,
            )
        except SourceChanged as changed:
            self._changed = changed
            raise
