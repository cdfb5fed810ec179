from tests.unit.cli.builders import Clock
from uploader.cli.display.plain import Plain
from uploader.events import Began, Ended, Message, Phase, Planned, Progress

MB = 1_000_000


def test_a_transfer_reads_as_a_few_lines() -> None:
    lines: list[str] = []
    clock = Clock()
    with Plain(lines.append, clock=clock) as plain:
        plain(Planned(2, 300 * MB))
        plain(Began("i", "a.safetensors", 200 * MB))
        plain(Phase("i", "sending"))
        for second in range(1, 21):
            clock.now += 1
            plain(Progress("i", 10 * MB * second))
        plain(Phase("i", "verifying"))
        plain(Ended("i", "placed", "remote-hash"))
    assert lines == [
        "2 files, 300.0 MB",
        "a.safetensors: 200.0 MB",
        "a.safetensors: sending",
        "a.safetensors: sending 25 %, 50.0/200.0 MB, 10.0 MB/s, 0:15 left",
        "a.safetensors: sending 50 %, 100.0/200.0 MB, 10.0 MB/s, 0:10 left",
        "a.safetensors: sending 75 %, 150.0/200.0 MB, 10.0 MB/s, 0:05 left",
        "a.safetensors: sending 100 %, 200.0/200.0 MB, 10.0 MB/s, 0:00 left",
        "a.safetensors: verifying",
        "a.safetensors: placed in 0:20, verified by remote-hash",
    ]


def test_a_slow_transfer_says_something_once_a_minute() -> None:
    lines: list[str] = []
    clock = Clock()
    plain = Plain(lines.append, clock=clock)
    plain(Began("i", "a", 10_000 * MB))
    plain(Phase("i", "sending"))
    for second in range(1, 181):
        clock.now += 1
        plain(Progress("i", MB * second))
    assert len(lines) == 2 + 3


def test_counts_that_fall_and_sizes_not_known_are_told_too() -> None:
    lines: list[str] = []
    clock = Clock()
    plain = Plain(lines.append, clock=clock)
    plain(Began("i", "a", None))
    plain(Phase("i", "downloading"))
    clock.now += 70
    plain(Progress("i", 50 * MB))
    clock.now += 70
    plain(Progress("i", 10 * MB))
    plain(Ended("i", "failed", "the line was cut"))
    assert lines == [
        "a: of a size not known yet",
        "a: downloading",
        "a: downloading 50.0 MB, 714.3 kB/s",
        "a: downloading 10.0 MB",
        "a: failed",
    ]


def test_debug_is_said_only_when_asked_for() -> None:
    lines: list[str] = []
    for verbose in (False, True):
        plain = Plain(lines.append, verbose=verbose)
        plain(Message("inner", "debug"))
        plain(Message("of interest"))
        plain(Message("to be read", "note"))
    assert lines == ["of interest", "to be read", "inner", "of interest", "to be read"]


def test_nothing_is_said_after_the_end() -> None:
    lines: list[str] = []
    with Plain(lines.append) as plain:
        pass
    plain(Message("late"))
    assert lines == []
