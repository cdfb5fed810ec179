"""Background calls, calls with a deadline, and groups of workers."""

from __future__ import annotations

import threading

import pytest

from uploader.errors import NetworkError
from uploader.threads import BackgroundCall, DeadlineExceeded, WorkerGroup, call_with_deadline


def test_background_call_begins_at_once_and_returns() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def call() -> int:
        begun.set()
        go_on.wait(10)
        return 5

    background = BackgroundCall(call, name="test")
    assert begun.wait(10)
    go_on.set()
    assert background.result() == 5
    assert background.result() == 5


def test_background_call_raises_its_error_in_result_alone() -> None:
    def call() -> None:
        raise NetworkError("cut")

    with BackgroundCall(call, name="test") as background:
        pass
    for _ in range(2):
        with pytest.raises(NetworkError, match="cut"):
            background.result()


def test_background_call_leaving_block_joins_the_thread() -> None:
    go_on = threading.Event()

    def fail_inside() -> None:
        with BackgroundCall(lambda: go_on.wait(10), name="test-joined"):
            threading.Timer(0.05, go_on.set).start()
            raise KeyError

    with pytest.raises(KeyError):
        fail_inside()
    assert go_on.is_set()
    assert "test-joined" not in {thread.name for thread in threading.enumerate()}


def test_deadline_of_a_hanging_call_is_raised() -> None:
    go_on = threading.Event()
    with pytest.raises(DeadlineExceeded):
        call_with_deadline(lambda: go_on.wait(10), 0.01, name="test")
    go_on.set()


def test_deadline_lets_results_and_errors_pass() -> None:
    def times_out() -> None:
        raise TimeoutError("its own")

    assert call_with_deadline(lambda: 5, 10, name="test") == 5
    with pytest.raises(TimeoutError, match="its own") as caught:
        call_with_deadline(times_out, 10, name="test")
    assert not isinstance(caught.value, DeadlineExceeded)


class Work:
    """Workers that wait until they are stopped or fail with the error that was set for their number."""

    def __init__(self, *, surplus: bool = False) -> None:
        self.errors: dict[int, Exception] = {}
        self.seen: list[tuple[int, int]] = []
        self.stopped = threading.Event()
        self._surplus = surplus
        self.group = WorkerGroup(self._run, name="test-group", stop=self.stopped.set, is_surplus=self._is_surplus)

    def _run(self, number: int) -> None:
        if number in self.errors:
            raise self.errors[number]
        self.stopped.wait(10)

    def _is_surplus(self, number: int, error: BaseException, alive: int) -> bool:
        self.seen.append((number, alive))
        return self._surplus

    @property
    def names(self) -> set[str]:
        return {thread.name for thread in threading.enumerate() if thread.name.startswith("test-group")}


def test_group_grows_while_workers_run() -> None:
    work = Work()
    with work.group as group:
        group.grow(2)
        assert (group.alive, group.started) == (2, 2)
        group.grow()
        assert work.names == {"test-group-0", "test-group-1", "test-group-2"}
        assert not group.wait(0.01)
        work.stopped.set()
        assert group.wait(10)
    group.check()
    assert (group.alive, group.started) == (0, 3)


def test_group_first_error_stops_all_workers() -> None:
    work = Work()
    work.errors = {1: NetworkError("cut")}
    with work.group as group:
        group.grow(3)
        assert group.wait(10)
    assert work.stopped.is_set()
    with pytest.raises(NetworkError, match="cut"):
        group.check()


def test_group_surplus_error_stops_no_worker() -> None:
    work = Work(surplus=True)
    work.errors = {1: NetworkError("cut")}
    with work.group as group:
        group.grow(2)
        assert not group.wait(0.05)
        assert (group.alive, work.seen) == (1, [(1, 1)])
        assert not work.stopped.is_set()
    group.check()


def test_group_leaving_block_stops_and_joins() -> None:
    work = Work()

    def fail_inside() -> None:
        with work.group as group:
            group.grow(2)
            raise KeyError

    with pytest.raises(KeyError):
        fail_inside()
    assert work.stopped.is_set()
    assert not work.names


def test_group_close_waits_no_longer_than_told() -> None:
    go_on = threading.Event()

    def work(_number: int) -> None:
        go_on.wait(10)

    group = WorkerGroup(work, name="test-deaf", stop=lambda: None)
    group.grow()
    group.close(0.01)
    assert group.alive == 1
    go_on.set()
    assert group.wait(10)
