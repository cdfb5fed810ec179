from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from uploader.errors import CredentialsRefused, Interrupted, NetworkError, RateLimited
from uploader.events import Event, Message, silence
from uploader.retry import ATTEMPTS, Retry


class Call:
    """A call that fails a number of times. Counts calls and notes every wait in seconds."""

    def __init__(self, failures: int, error: Callable[[], Exception] = lambda: NetworkError("cut")) -> None:
        self.failures = failures
        self.error = error
        self.calls = 0
        self.waits: list[float] = []

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error()
        return "done"

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return False

    def retry(self, attempts: int = ATTEMPTS) -> Retry:
        return Retry(threading.Event(), silence, self.wait, attempts)


def texts(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Message)]


def test_retry_success_calls_once() -> None:
    call = Call(0)
    assert call.retry()(call) == "done"
    assert (call.calls, call.waits) == (1, [])


def test_retry_passing_fault_is_tried_again() -> None:
    call = Call(ATTEMPTS - 1)
    assert call.retry()(call) == "done"
    assert call.calls == ATTEMPTS


def test_retry_lasting_fault_is_raised_after_all_attempts() -> None:
    call = Call(99)
    with pytest.raises(NetworkError, match="cut"):
        call.retry()(call)
    assert call.calls == ATTEMPTS


def test_retry_rate_limit_gets_six_tries_with_fewer_attempts() -> None:
    for error, calls in ((NetworkError("cut"), 2), (RateLimited("slow down", wait=1), ATTEMPTS)):
        call = Call(99, lambda error=error: error)  # type: ignore[misc]
        with pytest.raises(type(error)):
            call.retry(attempts=2)(call)
        assert call.calls == calls


@pytest.mark.parametrize("error", [CredentialsRefused("no"), ValueError("a defect")])
def test_retry_other_error_is_raised_at_once(error: Exception) -> None:
    call = Call(99, lambda: error)
    with pytest.raises(type(error)):
        call.retry()(call)
    assert call.calls == 1


def test_retry_waits_grow_from_half_a_second_to_30() -> None:
    call = Call(11)
    call.retry(attempts=12)(call)
    longest = [1, 2, 4, 8, 16, 30, 30, 30, 30, 30, 30]
    assert len(call.waits) == len(longest)
    assert all(high / 2 <= wait <= high for wait, high in zip(call.waits, longest, strict=True))


def test_retry_waits_of_two_clients_differ() -> None:
    waits = []
    for _ in range(8):
        call = Call(1)
        call.retry()(call)
        waits += call.waits
    assert len(set(waits)) > 1


@pytest.mark.parametrize(("asked", "kept"), [(7.0, 7.0), (100000.0, 120.0), (0.0, 0.0), (-5.0, 0.0)])
def test_retry_rate_limit_wait_is_kept_within_bounds(asked: float, kept: float) -> None:
    call = Call(1, lambda: RateLimited("slow down", wait=asked))
    call.retry()(call)
    assert call.waits == [kept]


def test_retry_rate_limit_without_wait_backs_off() -> None:
    call = Call(1, lambda: RateLimited("slow down"))
    call.retry()(call)
    assert 0.5 <= call.waits[0] <= 1.0


def test_retry_progress_resets_the_count() -> None:
    call = Call(50)
    assert call.retry()(call, lambda: call.calls) == "done"
    assert call.calls == 51
    assert max(call.waits) <= 1.0


def test_retry_progress_before_the_first_try_does_not_count() -> None:
    call = Call(99)
    with pytest.raises(NetworkError):
        call.retry()(call, lambda: 1000)
    assert call.calls == ATTEMPTS


def test_retry_each_wait_is_reported_with_its_reason() -> None:
    events: list[Event] = []
    errors = [NetworkError("cut"), NetworkError("busy")]
    waits: list[float] = []

    def call() -> str:
        if errors:
            raise errors.pop(0)
        return "done"

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return False

    assert Retry(threading.Event(), events.append, wait)(call) == "done"
    assert texts(events) == [
        f"{reason}; trying again in {seconds:.0f} s" for reason, seconds in zip(("cut", "busy"), waits, strict=True)
    ]


def test_retry_one_fault_of_several_threads_is_reported_once() -> None:
    events: list[Event] = []
    together = threading.Barrier(4)

    def wait(_: float) -> bool:
        together.wait(20)
        return False

    retry = Retry(threading.Event(), events.append, wait, attempts=2)

    def lost() -> None:
        raise NetworkError("the connection was lost")

    def work() -> None:
        with pytest.raises(NetworkError):
            retry(lost)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    reports = texts(events)
    assert len(reports) == len(set(reports))
    assert reports[0].startswith("the connection was lost; trying again in ")


def test_retry_cancelled_in_a_wait_ends_at_once() -> None:
    cancelled = threading.Event()
    call = Call(99, lambda: RateLimited("slow down", wait=100))
    timer = threading.Timer(0, cancelled.set)
    with pytest.raises(Interrupted):
        Retry(cancelled, lambda _: timer.start())(call)
    timer.join()
    assert call.calls == 1


def test_retry_over_in_a_wait_ends_the_wait_at_once() -> None:
    over = threading.Event()
    call = Call(1, lambda: RateLimited("slow down", wait=100))
    assert Retry(threading.Event(), lambda _: over.set())(call, over=over) == "done"
    assert call.calls == 2


def test_retry_cancelled_before_calls_nothing() -> None:
    cancelled = threading.Event()
    cancelled.set()
    call = Call(0)
    with pytest.raises(Interrupted):
        Retry(cancelled, silence)(call)
    assert call.calls == 0


def test_retry_fault_after_cancellation_is_not_reported() -> None:
    cancelled = threading.Event()
    events: list[Event] = []

    def cut() -> None:
        cancelled.set()
        raise NetworkError("the connection was closed")

    with pytest.raises(Interrupted):
        Retry(cancelled, events.append)(cut)
    assert events == []
