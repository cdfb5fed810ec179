from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest
from click.testing import CliRunner

from uploader.cli.prompt import TerminalAsker, somebody_is_there
from uploader.errors import Interrupted


def test_what_is_typed_comes_back_and_questions_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    asker = TerminalAsker(nullcontext)
    with CliRunner().isolation(input="canvas.example\n\nhunter2\ny\n\n") as (out, err, _):
        assert asker.ask("Host [x]:") == "canvas.example"
        assert asker.ask("Port") == ""
        assert asker.ask_secret("Password:").reveal() == "hunter2"
        assert asker.confirm("Trust it?") is True
        assert asker.confirm("Sure?") is False
        asker.show("The server says:\n\x1b[2Jhello")
        said = err.getvalue().decode()
        assert "Host [x]:" in said
        assert "\\x1b[2Jhello" in said
        assert out.getvalue() == b""


def test_the_end_of_input_stops_the_program() -> None:
    with CliRunner().isolation(input=""), pytest.raises(Interrupted):
        TerminalAsker(nullcontext).ask("Host")


def test_the_display_is_paused_while_a_question_stands() -> None:
    log: list[str] = []

    @contextmanager
    def paused() -> Iterator[None]:
        log.append("paused")
        yield
        log.append("on again")

    with CliRunner().isolation(input="x\n"):
        log.append(TerminalAsker(paused).ask("Host"))
    assert log == ["paused", "on again", "x"]


def test_without_a_terminal_nobody_is_there() -> None:
    with CliRunner().isolation():
        assert not somebody_is_there()
