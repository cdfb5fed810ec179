"""The surroundings of a transfer: connections, records, observer, limits, tuning numbers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from uploader.events import Observer
from uploader.rate_limit import LimitedStream, RateLimiter
from uploader.remote.interface import Connection
from uploader.remote.pool import ConnectionPool
from uploader.retry import Retry
from uploader.sources.interface import Stream
from uploader.state.uploads import UploadRecords
from uploader.transfer.config import TransferConfig

T = TypeVar("T")


class WithConnection(Protocol):
    """Runs a call with a connection, and again while its error may pass."""

    def __call__(self, call: Callable[[Connection], T], /) -> T: ...


@dataclass(frozen=True)
class TransferContext:
    """What a transfer works with.

    `limit` holds the bytes of links to the user's limit; the pool's connections have the limit in themselves.
    `connections` is their number for one file; None: as many as pay, up to the pool's.
    """

    pool: ConnectionPool
    uploads: UploadRecords
    observer: Observer
    retry: Retry
    cancelled: threading.Event
    limit: RateLimiter
    connections: int | None = 1
    config: TransferConfig = field(default_factory=TransferConfig)

    def limited(self, stream: Stream) -> Stream:
        """Return the stream of a link within the user's limit."""
        return stream if self.limit.rate is None else LimitedStream(stream, self.limit)

    def with_connection(self, call: Callable[[Connection], T], progress: Callable[[], int] = int, /) -> T:
        """Lease a connection and run `call`; run it again while its error may pass.

        A retry that follows growing `progress()` counts as the first one.
        """

        def attempt() -> T:
            with self.pool.lease() as connection:
                return call(connection)

        return self.retry(attempt, progress)
