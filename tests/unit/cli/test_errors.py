import json
import subprocess
import sys
from collections.abc import Callable

import click
import pytest

from uploader.cli.errors import guarded
from uploader.cli.invocation import Invocation
from uploader.errors import (
    ConfigurationError,
    CredentialsRefused,
    Interrupted,
    NetworkError,
    Several,
    UploaderError,
    UsageError,
)

GO_ON = "Run the same command again: a push goes on from what arrived."


def raising(error: BaseException) -> Callable[[], object]:
    def run() -> object:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UploaderError("it failed"), 1),
        (UsageError("not so"), 2),
        (CredentialsRefused("no"), 3),
        (NetworkError("cut"), 5),
        (Interrupted("stopped by you"), 130),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (click.UsageError("no such option"), 2),
        (ZeroDivisionError("division by zero"), 1),
        (BrokenPipeError(), 1),
        (Several([ConfigurationError("a"), ConfigurationError("b")]), 2),
        (Several([ConfigurationError("a"), NetworkError("b")]), 1),
        (Several([Several([NetworkError("a")]), NetworkError("b")]), 5),
    ],
)
def test_every_end_has_its_exit_code(error: BaseException, code: int) -> None:
    assert guarded(raising(error), Invocation()) == code


def test_what_the_command_returns_is_the_exit_code() -> None:
    assert guarded(lambda: 7, Invocation()) == 7
    assert guarded(lambda: None, Invocation()) == 0
    assert guarded(raising(click.exceptions.Exit(3)), Invocation()) == 3


def test_an_error_is_told_with_its_remedy_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    guarded(raising(NetworkError("the line is cut", remedy="Try again.")), Invocation())
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error: the line is cut\n  → Try again.\n"


def test_several_faults_are_all_told(capsys: pytest.CaptureFixture[str]) -> None:
    guarded(
        raising(Several([ConfigurationError("a is wrong", remedy="Mend a."), UsageError("b is wrong")])), Invocation()
    )
    assert capsys.readouterr().err == "error: a is wrong\n  → Mend a.\nerror: b is wrong\n"


def test_with_quiet_errors_are_told_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    guarded(raising(NetworkError("the line is cut")), Invocation(quiet=True))
    assert "the line is cut" in capsys.readouterr().err


def test_ctrl_c_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    guarded(raising(KeyboardInterrupt()), Invocation())
    assert "Run the same command again" in capsys.readouterr().err


def test_defect_shows_its_traceback_only_with_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    guarded(raising(ZeroDivisionError("by zero")), Invocation())
    err = capsys.readouterr().err
    assert "internal error: ZeroDivisionError: by zero — this is a defect of uploader" in err
    assert "Traceback" not in err
    guarded(raising(ZeroDivisionError("by zero")), Invocation(verbose=True))
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        (["login", "push", "--json"], {"schema", "ok", "error"}),
        (["targets", "--json"], {"schema", "ok", "error"}),
        ([], {"schema", "ok", "error"}),
        (["push", "login", "--json"], {"schema", "ok", "outcomes", "error"}),
        (["--nix", "push"], {"schema", "ok", "outcomes", "error"}),
    ],
)
def test_error_document_of_a_push_has_empty_outcomes(
    arguments: list[str], shape: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    guarded(raising(NetworkError("cut")), Invocation(json=True), arguments)
    document = json.loads(capsys.readouterr().out)
    assert set(document) == shape
    assert document.get("outcomes", []) == []


def test_a_defect_has_the_same_word_in_json_wherever_it_was_met(capsys: pytest.CaptureFixture[str]) -> None:
    guarded(raising(ZeroDivisionError("by zero")), Invocation(json=True))
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["code"], error["message"]) == ("internal", "internal error: ZeroDivisionError: by zero")


@pytest.mark.parametrize(
    ("error", "code", "message", "remedy"),
    [
        (NetworkError("cut", remedy="Again."), "network", "cut", "Again."),
        (Several([UsageError("a"), UsageError("b", remedy="B.")]), "usage", "a\nb", "B."),
        (Several([UsageError("a"), NetworkError("b")]), "several", "a\nb", None),
        (click.UsageError("no such option"), "usage", "no such option", None),
        (KeyboardInterrupt(), "interrupted", "stopped by you", GO_ON),
    ],
)
def test_with_json_the_error_is_one_document_too(
    error: BaseException, code: str, message: str, remedy: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    guarded(raising(error), Invocation(json=True))
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "schema": 1,
        "ok": False,
        "error": {"code": code, "message": message, "remedy": remedy},
    }
    assert err


def test_json_is_heeded_even_when_the_arguments_cannot_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    guarded(raising(click.UsageError("no such option")), Invocation(), ["push", "--nix", "--json"])
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "usage"
    guarded(raising(click.UsageError("no such option")), Invocation(), ["push", "--nix", "--", "--json"])
    assert capsys.readouterr().out == ""


def test_an_error_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    guarded(raising(NetworkError("the server said \x1b[2Jboo\x07\r")), Invocation())
    assert capsys.readouterr().err == "error: the server said \\x1b[2Jboo\\x07\\r\n"


def test_a_reader_that_has_gone_is_no_error() -> None:
    script = """
import os, sys
from uploader.cli.errors import guarded
from uploader.cli.invocation import Invocation
sys.stdin.read()
def run():
    print("too late")
sys.exit(guarded(run, Invocation()))
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 1
