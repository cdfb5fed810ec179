"""How many connections a line is worth, against lines that are computed instead of waited for."""

from __future__ import annotations

import pytest

from uploader.transfer.config import TransferConfig
from uploader.transfer.connections import ConnectionScaler, first

WINDOW = 2 * 1024 * 1024


class Line:
    """A line of `capacity` bytes per second on which each connection moves at most a window in a round trip."""

    def __init__(self, round_trip: float, capacity: float, most: int = 8) -> None:
        self.now = 0.0
        self.round_trip = round_trip
        self.capacity = capacity
        self.most = most
        self.climb = ConnectionScaler(round_trip, lambda: self.most, TransferConfig(), lambda: self.now)

    def settle(self, lanes: int, seconds: float = 60.0) -> int:
        """How many connections there are after that time."""
        moved = 0.0
        while self.now < seconds:
            moved += 0.25 * min(self.capacity, lanes * WINDOW / max(self.round_trip, 1e-4))
            self.now += 0.25
            lanes += self.climb.more(int(moved), lanes)
        return lanes


@pytest.mark.parametrize(
    ("round_trip", "most", "count"),
    [(0.0, 8, 1), (0.0002, 8, 1), (0.02, 8, 1), (0.1, 8, 4), (0.15, 8, 6), (0.25, 8, 8), (0.25, 2, 2), (9.0, 8, 8)],
)
def test_a_longer_way_is_worth_more_connections_at_first(round_trip: float, most: int, count: int) -> None:
    assert first(round_trip, most, TransferConfig()) == count


def test_a_line_that_is_full_gets_no_more() -> None:
    assert Line(0.1, 20e6).settle(4) == 4


def test_connections_held_back_by_their_windows_get_company_as_long_as_it_pays() -> None:
    assert Line(0.1, 115e6).settle(4) in (6, 7)
    assert Line(0.02, 125e6).settle(1) == 2


def test_there_are_never_more_than_the_most() -> None:
    assert Line(0.1, 1e9, most=5).settle(4) == 5
    assert Line(0.1, 1e9).settle(4) == 8


def test_on_a_short_way_one_is_enough() -> None:
    assert Line(0.0002, 300e6).settle(1) == 1


def test_those_to_begin_with_that_could_not_be_had_are_asked_for_again() -> None:
    assert Line(0.1, 20e6).settle(1) == 4


def test_a_far_line_begins_with_two_and_the_others_join_at_once_when_it_is_seen_to_be_fast() -> None:
    line = Line(0.1, 60e6)
    assert line.climb.to_begin == 2
    assert line.climb.hurried
    assert line.climb.more(0, 2) == 0
    line.now = 0.2
    assert line.climb.more(64 * 1024, 2) == 0
    line.now = 0.3
    assert line.climb.more(192 * 1024, 2) == 2
    assert not line.climb.hurried


def test_a_far_and_slow_line_stays_with_two() -> None:
    assert Line(0.25, 62_000).settle(2) == 2


def test_a_server_that_took_fewer_for_a_while_is_asked_for_the_others_later() -> None:
    line = Line(0.1, 60e6, most=1)
    assert line.settle(1) == 1
    line.most = 8
    assert line.settle(1, seconds=120.0) >= 4
