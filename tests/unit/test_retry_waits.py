from __future__ import annotations

import threading

import pytest

from uploader.errors import NetworkError
from uploader.events import Event, Message
from uploader.retry import Patience


def test_one_lost_line_that_several_wait_for_is_told_once() -> None:
    told: list[Event] = []
    together = threading.Barrier(4)

    def wait(_: float) -> bool:
        together.wait(20)
        return False

    patience = Patience(threading.Event(), told.append, wait, attempts=2)

    def lost() -> None:
        raise NetworkError("the line was lost")

    def work() -> None:
        with pytest.raises(NetworkError):
            patience(lost, lambda: 0)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    texts = [event.text for event in told if isinstance(event, Message)]
    assert len(texts) == len(set(texts))
    assert texts[0].startswith("the line was lost; trying again in ")


def test_another_fault_is_told_beside_it() -> None:
    told: list[Event] = []
    faults = [NetworkError("the line was lost"), NetworkError("the source is busy")]
    patience = Patience(threading.Event(), told.append, lambda _: False)

    def call() -> str:
        if faults:
            raise faults.pop(0)
        return "done"

    assert patience(call, lambda: 0) == "done"
    assert len(told) == 2
