"""Progress on a terminal: a row for each file in transfer, and a total if there are several."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live as Region
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from uploader.cli.format import duration, part, plural, rate, shown, size
from uploader.events import Ended, Event, Message
from uploader.progress import Clock, ProgressModel, Row

_REFRESHES_PER_SECOND = 8
_PHASE, _BAR, _AMOUNT, _RATE, _LEFT = "phase", "bar", "amount", "rate", "left"
_WIDTHS = {_AMOUNT: 14, _LEFT: 7, _RATE: 10, _PHASE: 11, _BAR: 10}
_ORDER = ("name", _PHASE, _BAR, _AMOUNT, _RATE, _LEFT)
_SHORTEST_NAME, _SHORT_NAME, _LONG_NAME = 12, 20, 44
_LONGEST_BAR = 40
_MOST_ROWS = 12
_STYLES = {"placed": "green", "kept": "green", "failed": "red"}


class Live:
    """A live region on stderr. Each file that has ended stays above it, one line each."""

    def __init__(self, console: Console, *, verbose: bool = False, clock: Clock = time.monotonic) -> None:
        self._console = console
        self._verbose = verbose
        self._board = ProgressModel(clock)
        # Held to decide what to draw, not to draw: the region has its own lock.
        self._turn = threading.Lock()
        self._region: Region | None = None
        self._pauses = 0
        self._open = True

    def __enter__(self) -> Live:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._turn:
            self._open = False
            self._stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        # The lock is free during the question: an open question must not delay the end of the program.
        with self._turn:
            self._pauses += 1
            self._stop()
        try:
            yield
        finally:
            with self._turn:
                self._pauses -= 1
                self._show()

    def __call__(self, event: Event) -> None:
        with self._turn:
            if not self._open:
                return
            row = self._board.take(event)
            match event:
                case Message(text, level) if self._verbose or level != "debug":
                    self._print(Text(shown(text), style="yellow" if level == "note" else ""))
                case Ended() if row is not None:
                    self._print(_ended(row, self._console.width))
            self._show()

    def _print(self, line: Text) -> None:
        self._console.print(line, soft_wrap=True)

    def _show(self) -> None:
        """Keep the region on the screen exactly while a file is in transfer."""
        wanted = self._open and not self._pauses and bool(self._board.rows())
        if wanted and self._region is None:
            self._region = Region(
                console=self._console,
                get_renderable=lambda: Rows(self._board),
                refresh_per_second=_REFRESHES_PER_SECOND,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._region.start(refresh=True)
        elif not wanted:
            self._stop()

    def _stop(self) -> None:
        region, self._region = self._region, None
        if region is not None:
            region.stop()


class Rows:
    """The rows at the moment of drawing, in the width of that moment."""

    def __init__(self, board: ProgressModel) -> None:
        self._board = board

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = self._board.rows()
        # Dozens of small files can be in transfer; rows beyond the screen would push the total off it.
        most = max(1, min(_MOST_ROWS, (options.height or console.height) - 3))
        yield table(rows[:most], options.max_width)
        if len(rows) > most:
            yield Text(f"… and {plural(len(rows) - most, 'more file')} under way", style="dim")
        if (total := self._board.total()) is not None:
            yield table([total], options.max_width)


def table(rows: list[Row], width: int) -> Table:
    """Lay rows out in `width` cells. Columns that do not fit are left out, the name last."""
    widths = layout(width)
    grid = Table.grid(padding=(0, 1, 0, 0))
    for column in _ORDER:
        if column in widths:
            right = column in (_AMOUNT, _RATE, _LEFT)
            grid.add_column(width=widths[column], no_wrap=True, justify="right" if right else "left")
    for row in rows:
        grid.add_row(*(_cell(column, row, widths[column]) for column in _ORDER if column in widths))
    return grid


def layout(width: int) -> dict[str, int]:
    """Return the cells of each column that fits into `width`, with a blank after each."""
    left = max(1, width - 1)
    widths: dict[str, int] = {}
    for column, cells in _WIDTHS.items():
        needed = _SHORTEST_NAME if column == _AMOUNT else _SHORT_NAME
        if left - (cells + 1) < needed:
            break
        widths[column] = cells
        left -= cells + 1
    name = min(left, _LONG_NAME) if _BAR not in widths else min(left, max(_SHORT_NAME, min(_LONG_NAME, left * 2 // 3)))
    if _BAR in widths:
        widths[_BAR] = min(_LONGEST_BAR, widths[_BAR] + left - name)
    return {"name": max(1, name), **widths}


def shorten(text: str, cells: int) -> str:
    """Take out the middle of a text that is too long: the start and the ending tell files apart."""
    if cell_len(text) <= cells:
        return text
    if cells < 4:
        return chop_cells(text, cells)[0] if cells > 1 else "…"
    tail = (cells - 1) * 2 // 5
    head = chop_cells(text, cells - 1 - tail)[0]
    ending = chop_cells(text[::-1], tail)[0][::-1]
    return f"{head}…{ending}"


def _cell(column: str, row: Row, cells: int) -> RenderableType:
    if column == _PHASE:
        return Text(row.phase, style="cyan")
    if column == _BAR:
        return ProgressBar(total=row.size or None, completed=row.done, width=cells, pulse=not row.size)
    if column == _AMOUNT:
        return Text(part(row.done, row.size) if row.size else size(row.done))
    if column == _RATE:
        return Text(rate(row.rate) if row.rate >= 1 else "")
    if column == _LEFT:
        return Text(duration(row.left) if row.left is not None else "")
    return Text(shorten(shown(row.name), cells))


def _ended(row: Row, width: int) -> Text:
    amount = "" if row.phase == "failed" or row.size is None else f"  {size(row.size)} in {duration(row.elapsed)}"
    line = Text().append(f"{row.phase:<7} ", style=_STYLES.get(row.phase, ""))
    room = max(_SHORTEST_NAME, width - cell_len(line.plain) - len(amount))
    return line.append(shorten(shown(row.name), room)).append(amount)
