"""A call that runs beside others: its end is waited for, its fault is its asker's."""

from __future__ import annotations

import threading

import pytest

from uploader.errors import NetworkError
from uploader.threads import BackgroundCall


def test_it_begins_at_once_and_returns_what_the_call_returned() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def call() -> int:
        begun.set()
        go_on.wait(10)
        return 5

    aside = BackgroundCall(call, name="test-aside")
    assert begun.wait(10)
    go_on.set()
    assert aside.result() == 5
    assert aside.result() == 5


def test_its_fault_is_raised_where_the_result_is_asked_for_and_nowhere_else() -> None:
    def call() -> None:
        raise NetworkError("cut")

    with BackgroundCall(call, name="test-aside") as aside:
        pass
    for _ in range(2):
        with pytest.raises(NetworkError, match="cut"):
            aside.result()


def test_leaving_the_block_leaves_no_thread_behind_whatever_happened_inside() -> None:
    go_on = threading.Event()

    def fail_meanwhile() -> None:
        with BackgroundCall(lambda: go_on.wait(10), name="test-aside-left"):
            threading.Timer(0.05, go_on.set).start()
            raise KeyError

    with pytest.raises(KeyError):
        fail_meanwhile()
    assert go_on.is_set()
    assert "test-aside-left" not in {thread.name for thread in threading.enumerate()}
