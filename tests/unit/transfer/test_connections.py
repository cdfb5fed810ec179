"""How many connections a network is worth, against simulated networks and a simulated clock."""

from __future__ import annotations

import pytest

from uploader.transfer.config import TransferConfig
from uploader.transfer.connections import ConnectionScaler, first

WINDOW = 2 * 1024 * 1024


class Network:
    """A network of `capacity` bytes per second. Each connection moves at most one window per round trip.

    `round_trip` is in seconds.
    """

    def __init__(self, round_trip: float, capacity: float, most: int = 8) -> None:
        self.now = 0.0
        self.round_trip = round_trip
        self.capacity = capacity
        self.most = most
        self.scaler = ConnectionScaler(round_trip, lambda: self.most, TransferConfig(), lambda: self.now)

    def settle(self, workers: int, seconds: float = 60.0) -> int:
        """Return the number of connections after `seconds`, from `workers` at the start."""
        moved = 0.0
        while self.now < seconds:
            moved += 0.25 * min(self.capacity, workers * WINDOW / max(self.round_trip, 1e-4))
            self.now += 0.25
            workers += self.scaler.more(int(moved), workers)
        return workers


@pytest.mark.parametrize(
    ("round_trip", "most", "count"),
    [(0.0, 8, 1), (0.0002, 8, 1), (0.02, 8, 1), (0.1, 8, 4), (0.15, 8, 6), (0.25, 8, 8), (0.25, 2, 2), (9.0, 8, 8)],
)
def test_scaler_long_round_trip_starts_with_more(round_trip: float, most: int, count: int) -> None:
    assert first(round_trip, most, TransferConfig()) == count


def test_scaler_full_network_adds_no_connection() -> None:
    assert Network(0.1, 20e6).settle(4) == 4


def test_scaler_window_limited_connections_add_more() -> None:
    assert Network(0.1, 115e6).settle(4) in (6, 7)
    assert Network(0.02, 125e6).settle(1) == 2


def test_scaler_never_exceeds_the_maximum() -> None:
    assert Network(0.1, 1e9, most=5).settle(4) == 5
    assert Network(0.1, 1e9).settle(4) == 8


def test_scaler_short_round_trip_stays_with_one() -> None:
    assert Network(0.0002, 300e6).settle(1) == 1


def test_scaler_missing_first_connections_are_retried() -> None:
    assert Network(0.1, 20e6).settle(1) == 4


def test_scaler_far_fast_server_starts_with_two_then_all() -> None:
    network = Network(0.1, 60e6)
    assert network.scaler.to_begin == 2
    assert network.scaler.hurried
    assert network.scaler.more(0, 2) == 0
    network.now = 0.2
    assert network.scaler.more(64 * 1024, 2) == 0
    network.now = 0.3
    assert network.scaler.more(192 * 1024, 2) == 2
    assert not network.scaler.hurried


def test_scaler_far_slow_server_stays_with_two() -> None:
    assert Network(0.25, 62_000).settle(2) == 2


def test_scaler_refused_connections_are_retried_later() -> None:
    network = Network(0.1, 60e6, most=1)
    assert network.settle(1) == 1
    network.most = 8
    assert network.settle(1, seconds=120.0) >= 4
