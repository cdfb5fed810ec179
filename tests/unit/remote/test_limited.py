"""A limit of connections holds for all of their payload."""

from __future__ import annotations

import pytest

from tests.remote_memory import MemoryConnector, MemoryServer
from uploader.rate_limit import RateLimiter
from uploader.remote.interface import SmallFile
from uploader.remote.limited import limited

PATH = "/home/user/m"
DATA = bytes(range(250)) * 100


class Limits:
    """A rate of 100 kB/s in both directions, a clock that stands still, and the waits of each direction."""

    def __init__(self) -> None:
        self.sent: list[float] = []
        self.read: list[float] = []
        self.server = MemoryServer()
        self.server.make_folders("/home/user")
        up, down = self._limiter(self.sent), self._limiter(self.read)
        self.connection = limited(MemoryConnector(self.server), up, down).connect()

    def _limiter(self, waits: list[float]) -> RateLimiter:
        def wait(seconds: float) -> bool:
            waits.append(seconds)
            return False

        return RateLimiter(1e5, clock=lambda: 0.0, wait=wait)


@pytest.fixture
def limits() -> Limits:
    return Limits()


def test_limited_without_rate_is_the_connector_itself() -> None:
    connector = MemoryConnector(MemoryServer())
    assert limited(connector, RateLimiter(None), RateLimiter(None)) is connector


def test_limited_writer_sends_even_portions(limits: Limits) -> None:
    writer = limits.connection.files.open_writer(PATH, fresh=True)
    assert writer.request_bytes == 10_000
    for at in range(0, len(DATA), 10_000):
        writer.send(at, DATA[at : at + 10_000])
    while writer.pending:
        writer.reap()
    writer.close()
    assert bytes(limits.server.files[PATH]) == DATA
    assert limits.sent == pytest.approx([0.1, 0.2])


def test_limited_read_keeps_ranges_whole(limits: Limits) -> None:
    limits.server.files[PATH] = bytearray(DATA)
    ranges = [(0, 24_000), (5, 0), (24_000, 10_000)]
    found = list(limits.connection.files.read(PATH, ranges))
    assert found == [DATA[:24_000], b"", DATA[24_000:]]
    assert limits.read == pytest.approx([0.1, 0.2, 0.24])


def test_limited_batches_count_their_bytes(limits: Limits) -> None:
    files = limits.connection.files
    for _ in range(2):
        assert files.write_all([SmallFile(PATH, b"x" * 1000, None)]) == [None]
        assert files.read_all([(PATH, 1000)]) == [b"x" * 1000]
    assert limits.sent == pytest.approx([0.01])
    assert limits.read == pytest.approx([0.01])


def test_limited_connection_passes_all_else_on(limits: Limits) -> None:
    connection = limits.connection
    assert connection.files.stat(PATH) is None
    assert connection.facts.home == "/home/user"
    assert connection.hashes(PATH, [(0, 1)]) is None
