import pytest

from tests.unit.cli.builders import Clock
from uploader.events import Began, Ended, Message, Phase, Planned, Progress
from uploader.progress import Meter, ProgressModel

MB = 1_000_000


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_rate_is_that_of_the_last_seconds(clock: Clock) -> None:
    meter = Meter(clock)
    for second in range(1, 31):
        clock.now = 100.0 + second
        meter.at(10 * MB * second if second <= 15 else 150 * MB + MB * (second - 15))
    assert meter.rate() == pytest.approx(MB, rel=0.01)


def test_the_rate_sinks_while_nothing_moves(clock: Clock) -> None:
    meter = Meter(clock)
    clock.now += 1
    meter.at(10 * MB)
    before = meter.rate()
    clock.now += 4
    assert 0 < meter.rate() < before
    clock.now += 60
    assert meter.rate() == 0


def test_a_count_that_falls_begins_a_new_measurement(clock: Clock) -> None:
    meter = Meter(clock)
    clock.now += 2
    meter.at(10 * MB)
    meter.at(4 * MB)
    assert meter.rate() == 0
    clock.now += 1
    meter.at(5 * MB)
    assert meter.rate() == pytest.approx(MB)


def test_resumed_bytes_count_as_done_and_not_as_speed(clock: Clock) -> None:
    board = ProgressModel(clock)
    board.take(Began("i", "a", 100 * MB))
    board.take(Phase("i", "sending"))
    clock.now += 2
    row = board.take(Progress("i", 60 * MB, 50 * MB))
    assert row is not None
    assert (row.done, row.rate, row.left) == (60 * MB, 5 * MB, 8.0)


def test_progress_may_fall(clock: Clock) -> None:
    board = ProgressModel(clock)
    board.take(Began("i", "a", 100 * MB))
    board.take(Phase("i", "sending"))
    clock.now += 1
    board.take(Progress("i", 60 * MB, 50 * MB))
    row = board.take(Progress("i", 5 * MB, 0))
    assert row is not None
    assert (row.done, row.rate, row.left) == (5 * MB, 0.0, None)


def test_the_total_counts_what_the_server_has_and_what_is_ahead(clock: Clock) -> None:
    board = ProgressModel(clock)
    board.take(Planned(3, 60 * MB))
    for item in ("a", "b"):
        board.take(Began(item, item, 20 * MB))
        board.take(Phase(item, "downloading"))
        board.take(Progress(item, 20 * MB))
        board.take(Phase(item, "sending"))
        clock.now += 1
        board.take(Progress(item, 10 * MB))
    total = board.total()
    assert total is not None
    assert (total.name, total.done, total.size) == ("total 0/3 files", 20 * MB, 60 * MB)
    board.take(Phase("a", "verifying"))
    board.take(Progress("a", 1))
    board.take(Ended("a", "placed", ""))
    board.take(Ended("b", "failed", ""))
    total = board.total()
    assert total is not None
    assert (total.name, total.done, total.size) == ("total 2/3 files", 30 * MB, 50 * MB)


def test_one_file_has_no_total(clock: Clock) -> None:
    board = ProgressModel(clock)
    board.take(Planned(1, 5))
    board.take(Began("i", "a", 5))
    assert board.total() is None


def test_what_has_ended_or_never_began_is_passed_over(clock: Clock) -> None:
    board = ProgressModel(clock)
    assert board.take(Progress("i", 5)) is None
    board.take(Began("i", "a", 5))
    assert board.take(Ended("i", "kept", "")) is not None
    assert board.take(Phase("i", "sending")) is None
    assert board.take(Ended("i", "kept", "")) is None
    assert board.take(Message("hello")) is None
    assert board.rows() == []
