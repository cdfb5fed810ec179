import io
from contextlib import suppress
from itertools import pairwise

import pytest
from rich.cells import cell_len
from rich.console import Console

from tests.unit.cli.builders import Clock
from uploader.cli.display.live import Live, Rows, layout, shorten, table
from uploader.events import Began, Ended, Message, Phase, Planned, Progress
from uploader.progress import ProgressModel, Row

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"
MB = 1_000_000


def terminal(width: int = 80) -> Console:
    return Console(file=io.StringIO(), width=width, height=24, force_terminal=True, color_system=None, highlight=False)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def row(name: str = "a.safetensors", size: int | None = 2_132_625_894) -> Row:
    return Row(name, "sending", 1_200_000_000, size, 54_300_000.0, 17.2, 22.0)


def drawn(rows: list[Row], width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(table(rows, width))
    return written(console).splitlines()


def test_a_row_tells_name_phase_bytes_rate_and_time_left() -> None:
    (line,) = drawn([row()], 80)
    assert line.startswith("a.safetensors        sending     ━━━")
    assert line.split()[-5:] == ["1.2/2.1", "GB", "54.3", "MB/s", "0:17"]


@pytest.mark.parametrize("name", ["a.pt", "a_very_long_name_of_a_model_v2.safetensors" * 2, "日本語のモデル" * 9])
def test_rows_fit_into_any_width(name: str) -> None:
    for width in (*range(1, 90), 120, 300):
        lines = drawn([row(name), row(name, None)], width)
        assert len(lines) == 2
        assert all(cell_len(line) <= width for line in lines)


def test_the_narrower_the_less_is_shown_and_the_name_stays() -> None:
    shown = [set(layout(width)) for width in range(1, 200)]
    assert all("name" in columns for columns in shown)
    assert all(before <= after for before, after in pairwise(shown))
    assert "bar" in layout(80)


@pytest.mark.parametrize(
    "name", ["dreamshaper_8_very_long_name_v2.safetensors", "日本語のとても長い名前のモデル.safetensors"]
)
def test_a_long_name_loses_its_middle(name: str) -> None:
    for cells in range(1, 60):
        short = shorten(name, cells)
        assert cell_len(short) <= cells
        head, cut, tail = short.partition("…")
        assert name.startswith(head)
        assert name.endswith(tail)
        assert cut or short == name or cells < 4


def test_what_has_ended_stays_and_the_rows_go() -> None:
    console, clock = terminal(), Clock()
    with Live(console, clock=clock) as live:
        live(Planned(2, 300 * MB))
        live(Began("i", "a.safetensors", 200 * MB))
        live(Phase("i", "sending"))
        live(Progress("i", 100 * MB))
        clock.now += 20
        live(Ended("i", "placed", "remote-hash"))
        live(Began("j", "b.safetensors", 100 * MB))
        live(Ended("j", "failed", "why"))
    text = written(console)
    assert "placed  a.safetensors  200.0 MB in 0:20" in text
    assert "failed  b.safetensors\n" in text
    assert "total 0/2 files" in text
    assert text.rindex(SHOW) > text.rindex(HIDE)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_live_restores_the_cursor_after_an_exception(error: type[BaseException]) -> None:
    console = terminal()
    live = Live(console)
    with suppress(error), live:
        live(Began("i", "a", 5))
        assert written(console).count(HIDE) == 1
        raise error
    text = written(console)
    assert text.rindex(SHOW) > text.rindex(HIDE)
    live(Progress("i", 3))
    live(Message("late"))
    assert written(console) == text


def test_a_question_has_the_terminal_for_itself() -> None:
    console = terminal()
    with Live(console) as live:
        live(Began("i", "a", 5))
        with live.paused():
            before = written(console)
            assert before.rindex(SHOW) > before.rindex(HIDE)
            live(Progress("i", 3))
            live(Message("a note", "note"))
            assert written(console) == f"{before}a note\n"
        assert written(console).rindex(HIDE) > written(console).rindex(SHOW)


def test_live_hides_debug_and_escapes_control_characters() -> None:
    console = terminal()
    with Live(console) as live:
        live(Message("inner", "debug"))
        live(Message("the server says \x1b[2J[bold]hi", "info"))
    assert written(console) == "the server says \\x1b[2J[bold]hi\n"
    with Live(console, verbose=True) as live:
        live(Message("inner", "debug"))
    assert written(console).endswith("inner\n")


def test_live_draws_the_rows_that_fit_and_the_total() -> None:
    board = ProgressModel(Clock())
    board.take(Planned(500, 500 * MB))
    for number in range(64):
        board.take(Began(str(number), f"lora{number:03}.safetensors", MB))
    console = terminal()
    console.print(Rows(board))
    lines = written(console).splitlines()
    assert len(lines) == 14
    assert lines[-2].startswith("… and 52 more files under way")
    assert lines[-1].startswith("total 0/500 files")
