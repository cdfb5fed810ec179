from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest
from click.testing import CliRunner

from uploader.cli.prompt import TerminalPrompter, is_interactive
from uploader.errors import Interrupted


def test_what_is_typed_comes_back_and_questions_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    prompter = TerminalPrompter(nullcontext)
    with CliRunner().isolation(input="canvas.example\n\nhunter2\ny\n\n") as (out, err, _):
        assert prompter.ask("Host [x]:") == "canvas.example"
        assert prompter.ask("Port") == ""
        assert prompter.ask_secret("Password:").reveal() == "hunter2"
        assert prompter.confirm("Trust it?") is True
        assert prompter.confirm("Sure?") is False
        prompter.show("The server says:\n\x1b[2Jhello")
        said = err.getvalue().decode()
        assert "Host [x]:" in said
        assert "\\x1b[2Jhello" in said
        assert out.getvalue() == b""


def test_the_end_of_input_stops_the_program() -> None:
    with CliRunner().isolation(input=""), pytest.raises(Interrupted):
        TerminalPrompter(nullcontext).ask("Host")


def test_the_display_is_paused_while_a_question_stands() -> None:
    log: list[str] = []

    @contextmanager
    def paused() -> Iterator[None]:
        log.append("paused")
        yield
        log.append("on again")

    with CliRunner().isolation(input="x\n"):
        log.append(TerminalPrompter(paused).ask("Host"))
    assert log == ["paused", "on again", "x"]


def test_without_a_terminal_no_person_is_asked() -> None:
    with CliRunner().isolation():
        assert not is_interactive()
