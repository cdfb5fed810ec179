"""A rate limit for the payload of connections, as a wrapper of a connector.

The payload is limited where it is asked for, and not at the socket. If the socket were read slowly, TCP's buffers would
first fill at full speed: megabytes on a long line. If it were written slowly, the acknowledgements and commands of the
same connection would wait.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, cast

from uploader.errors import RemoteRefused
from uploader.rate_limit import RateLimiter
from uploader.remote.interface import Connection, Connector, Files, Range, RollingDigest, SmallFile, Writer


def limited(connector: Connector, up: RateLimiter, down: RateLimiter) -> Connector:
    """Return a connector whose connections send and read their payload within the limits, all together."""
    if up.rate is None and down.rate is None:
        return connector
    return cast(Connector, _Connector(connector, up, down))


class _Wrapper:
    """Passes everything on to what it wraps, but for what a subclass defines."""

    def __init__(self, inner: Any, up: RateLimiter, down: RateLimiter) -> None:
        self._inner = inner
        self._up = up
        self._down = down

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _Connector(_Wrapper):
    def connect(self) -> Connection:
        return cast(Connection, _Connection(self._inner.connect(), self._up, self._down))


class _Connection(_Wrapper):
    @property
    def files(self) -> Files:
        return cast(Files, _Files(self._inner.files, self._up, self._down))

    def read_along(self, path: str) -> RollingDigest | None:
        digest: RollingDigest | None = self._inner.read_along(path, self._down.ranges)
        return digest


class _Files(_Wrapper):
    def read(self, path: str, ranges: Iterable[Range]) -> Iterator[bytes]:
        """Read each range in portions that come when their bytes may."""
        whole = list(ranges)
        portions = self._inner.read(path, self._down.ranges(whole))
        try:
            for _, length in whole:
                yield b"".join(islice(portions, -(-length // self._down.portion(max(1, length)))))
        finally:
            if isinstance(portions, Generator):
                portions.close()

    def read_all(self, files: Sequence[tuple[str, int]]) -> list[bytes | RemoteRefused]:
        found: list[bytes | RemoteRefused] = self._inner.read_all(files)
        self._down.pass_through(sum(len(data) for data in found if isinstance(data, bytes)))
        return found

    def write_all(self, files: Sequence[SmallFile]) -> list[RemoteRefused | None]:
        self._up.pass_through(sum(len(file.data) for file in files))
        results: list[RemoteRefused | None] = self._inner.write_all(files)
        return results

    def open_writer(self, path: str, *, fresh: bool) -> Writer:
        return cast(Writer, _Writer(self._inner.open_writer(path, fresh=fresh), self._up, self._down))


class _Writer(_Wrapper):
    @property
    def request_bytes(self) -> int:
        return self._up.portion(self._inner.request_bytes)

    def send(self, offset: int, data: bytes | memoryview) -> None:
        self._up.pass_through(len(data))
        self._inner.send(offset, data)
