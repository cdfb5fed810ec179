from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from uploader.errors import Exists, NetworkError
from uploader.events import Began, Ended, Event, Message
from uploader.result import Evidence, Outcome, Report
from uploader.session.runner import Runner, Task

ROOT = Path(__file__).parents[3]


def task(name: str, run: Callable[[Outcome], Outcome], sent: int = 0) -> Task:
    known = Outcome("canvas", f"/disk/{name}", "failed", name=name, route="local", path=f"root/{name}", size=10)
    return Task(known.path or "", known, lambda: run(known), lambda: sent)


def placed(known: Outcome) -> Outcome:
    return replace(known, status="placed", evidence=Evidence.REMOTE_HASH, bytes_sent=10)


def taken(known: Outcome) -> Outcome:
    raise Exists("taken", remedy="another name")


def runner(events: list[Event], cancelled: threading.Event | None = None) -> Runner:
    cancelled = cancelled or threading.Event()
    return Runner(events.append, cancelled, lambda: None)


def test_run_returns_an_outcome_for_each_task_in_order() -> None:
    events: list[Event] = []
    outcomes = runner(events).run([task("a", placed), task("b", taken), task("c", placed)])
    assert [(outcome.name, outcome.status) for outcome in outcomes] == [
        ("a", "placed"),
        ("b", "failed"),
        ("c", "placed"),
    ]
    assert outcomes[1].error is not None
    assert (outcomes[1].error.code, outcomes[1].error.remedy) == ("exists", "another name")


def test_run_reports_begin_and_end_of_each_item_once() -> None:
    events: list[Event] = []
    runner(events).run([task("a", placed), task("b", taken)])
    assert [(type(event), getattr(event, "item", None)) for event in events] == [
        (Began, "root/a"),
        (Ended, "root/a"),
        (Began, "root/b"),
        (Ended, "root/b"),
    ]
    assert [(e.status, e.detail) for e in events if isinstance(e, Ended)] == [
        ("placed", "remote-hash"),
        ("failed", "taken"),
    ]


def test_run_failed_task_has_its_bytes_sent() -> None:
    (outcome,) = runner([]).run([task("a", taken, sent=7)])
    assert outcome.bytes_sent == 7


def test_run_defect_in_one_task_keeps_the_other_outcomes() -> None:
    def broken(known: Outcome) -> Outcome:
        raise ZeroDivisionError("by zero")

    events: list[Event] = []
    outcomes = runner(events).run([task("a", placed), task("b", broken, sent=3), task("c", placed)])
    assert [outcome.status for outcome in outcomes] == ["placed", "failed", "placed"]
    error = outcomes[1].error
    assert error is not None
    assert (error.code, error.message, error.exit_code) == ("internal", "internal error: ZeroDivisionError: by zero", 1)
    assert "defect of uploader" in (error.remedy or "")
    assert outcomes[1].bytes_sent == 3
    (told,) = [event for event in events if isinstance(event, Message)]
    assert told.level == "debug"
    assert "Traceback" in told.text
    assert [event.item for event in events if isinstance(event, Ended)] == ["root/a", "root/b", "root/c"]


def test_run_system_exit_ends_the_run() -> None:
    def leaves(known: Outcome) -> Outcome:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        runner([]).run([task("a", leaves), task("b", placed)])


def test_run_after_a_stop_fails_the_rest_as_interrupted() -> None:
    events: list[Event] = []
    cancelled = threading.Event()

    def stopped(known: Outcome) -> Outcome:
        cancelled.set()
        raise NetworkError("the line was closed under it")

    outcomes = runner(events, cancelled).run([task("a", placed), task("b", stopped), task("c", placed)])
    assert [outcome.error and outcome.error.code for outcome in outcomes] == [None, "interrupted", "interrupted"]
    assert Report(tuple(outcomes)).exit_code == 130
    assert [event.item for event in events if isinstance(event, Began)] == ["root/a", "root/b"]


_PROGRAM = """
import sys, threading, time
from dataclasses import replace
from uploader.errors import Interrupted
from uploader.result import Outcome, Report
from uploader.session.runner import Runner, Task

cancelled, woken = threading.Event(), threading.Event()
known = Outcome("t", "s", "failed", name="n", path="p")

def waits():
    print("under way", flush=True)
    {wait}
    time.sleep(0.2)
    print("tidied up", flush=True)
    raise Interrupted("stopped")

tasks = [Task("a", known, lambda: replace(known, status="placed")), Task("b", known, waits), Task("c", known, waits)]
report = Report(tuple(Runner(lambda event: None, cancelled, woken.set).run(tasks)))
print([o.error.code if o.error else o.status for o in report.outcomes], cancelled.is_set(), flush=True)
sys.exit(report.exit_code)
"""


@pytest.mark.timing
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to another process there")
@pytest.mark.parametrize(
    ("wait", "tidied"),
    [
        pytest.param("woken.wait(60)", "tidied up\n", id="that-hears-the-interrupt"),
        pytest.param("time.sleep(60)", "", id="that-hears-nothing"),
    ],
)
def test_run_ctrl_c_ends_a_wait_within_two_seconds(wait: str, tidied: str) -> None:
    command = [sys.executable, "-c", _PROGRAM.replace("{wait}", wait)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "under way\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=3) == 130  # 2 s for the stop, and 1 s for the end of the interpreter
        assert process.stdout.read() == tidied + "['placed', 'interrupted', 'interrupted'] True\n"
