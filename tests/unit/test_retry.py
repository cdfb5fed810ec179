from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from uploader.errors import CredentialsRefused, Interrupted, NetworkError, RateLimited, UploaderError
from uploader.retry import ATTEMPTS, retrying


class Line:
    """A call that fails a number of times; every success and failure is counted, every wait written down."""

    def __init__(self, failures: int, error: Callable[[], Exception] = lambda: NetworkError("cut")) -> None:
        self.failures = failures
        self.error = error
        self.calls = 0
        self.waits: list[float] = []

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error()
        return "through"

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return False


def test_what_works_is_called_once() -> None:
    line = Line(0)
    assert retrying(line, cancelled=threading.Event(), wait=line.wait) == "through"
    assert (line.calls, line.waits) == (1, [])


def test_a_line_that_comes_back_is_used_again() -> None:
    line = Line(ATTEMPTS - 1)
    assert retrying(line, cancelled=threading.Event(), wait=line.wait) == "through"
    assert line.calls == ATTEMPTS


def test_a_line_that_stays_down_is_given_up_with_its_own_error() -> None:
    line = Line(99)
    with pytest.raises(NetworkError, match="cut"):
        retrying(line, cancelled=threading.Event(), wait=line.wait)
    assert line.calls == ATTEMPTS


def test_patience_is_longer_with_one_that_asks_for_it() -> None:
    for error, calls in ((NetworkError("cut"), 2), (RateLimited("slow down", wait=1), ATTEMPTS)):
        line = Line(99, lambda error=error: error)  # type: ignore[misc]
        with pytest.raises(type(error)):
            retrying(line, cancelled=threading.Event(), wait=line.wait, attempts=2)
        assert line.calls == calls


@pytest.mark.parametrize("error", [CredentialsRefused("no"), ValueError("a defect")])
def test_what_will_not_pass_is_not_tried_again(error: Exception) -> None:
    line = Line(99, lambda: error)
    with pytest.raises(type(error)):
        retrying(line, cancelled=threading.Event(), wait=line.wait)
    assert line.calls == 1


def test_waits_grow_from_half_a_second_to_30() -> None:
    line = Line(11)
    retrying(line, cancelled=threading.Event(), wait=line.wait, attempts=12)
    longest = [1, 2, 4, 8, 16, 30, 30, 30, 30, 30, 30]
    assert len(line.waits) == len(longest)
    assert all(high / 2 <= wait <= high for wait, high in zip(line.waits, longest, strict=True))


def test_two_clients_do_not_come_back_at_the_same_moment() -> None:
    waits = []
    for _ in range(8):
        line = Line(1)
        retrying(line, cancelled=threading.Event(), wait=line.wait)
        waits += line.waits
    assert len(set(waits)) > 1


@pytest.mark.parametrize(("asked", "kept"), [(7.0, 7.0), (100000.0, 120.0), (0.0, 0.0), (-5.0, 0.0)])
def test_a_rate_limit_s_own_wait_is_kept_within_reason(asked: float, kept: float) -> None:
    line = Line(1, lambda: RateLimited("slow down", wait=asked))
    retrying(line, cancelled=threading.Event(), wait=line.wait)
    assert line.waits == [kept]


def test_a_rate_limit_that_names_no_wait_backs_off_like_any_fault() -> None:
    line = Line(1, lambda: RateLimited("slow down"))
    retrying(line, cancelled=threading.Event(), wait=line.wait)
    assert 0.5 <= line.waits[0] <= 1.0


def test_progress_makes_the_count_start_anew() -> None:
    line = Line(50)
    assert retrying(line, cancelled=threading.Event(), wait=line.wait, progress=lambda: line.calls) == "through"
    assert line.calls == 51
    assert max(line.waits) <= 1.0


def test_progress_made_before_the_first_try_does_not_count() -> None:
    line = Line(99)
    with pytest.raises(NetworkError):
        retrying(line, cancelled=threading.Event(), wait=line.wait, progress=lambda: 1000)
    assert line.calls == ATTEMPTS


def test_each_wait_is_announced_with_its_reason() -> None:
    line = Line(2)
    heard: list[tuple[UploaderError, float]] = []
    retrying(
        line, cancelled=threading.Event(), wait=line.wait, on_retry=lambda error, wait: heard.append((error, wait))
    )
    assert [seconds for _, seconds in heard] == line.waits
    assert all(isinstance(error, NetworkError) for error, _ in heard)


def test_cancellation_ends_a_wait_at_once() -> None:
    cancelled = threading.Event()
    line = Line(99, lambda: RateLimited("slow down", wait=100))
    timer = threading.Timer(0, cancelled.set)
    with pytest.raises(Interrupted):
        retrying(line, cancelled=cancelled, on_retry=lambda error, wait: timer.start())
    timer.join()
    assert line.calls == 1


def test_nothing_begins_after_cancellation() -> None:
    cancelled = threading.Event()
    cancelled.set()
    line = Line(0)
    with pytest.raises(Interrupted):
        retrying(line, cancelled=cancelled)
    assert line.calls == 0


def test_a_line_cut_by_cancellation_is_an_interruption_and_not_announced() -> None:
    cancelled = threading.Event()
    heard: list[UploaderError] = []

    def cut() -> None:
        cancelled.set()
        raise NetworkError("the connection was closed under us")

    with pytest.raises(Interrupted):
        retrying(cut, cancelled=cancelled, on_retry=lambda error, wait: heard.append(error))
    assert heard == []
