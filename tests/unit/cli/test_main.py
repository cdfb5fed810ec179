import io
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.servers.models import write_safetensors
from tests.unit.cli.builders import plan_with_a_refusal
from uploader.cli import main
from uploader.cli.display import choose
from uploader.cli.display.live import Live
from uploader.cli.display.plain import Plain
from uploader.cli.display.silent import Silent
from uploader.cli.push import references
from uploader.cli.show.plan import plan_exit_code
from uploader.errors import UsageError
from uploader.events import Message

LOGIN = ["login", "conoha-ai-canvas", "--host", "127.0.0.1", "--port", "9", "--user", "me", "--no-check"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def document(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def type_on_stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_names_every_verb(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([flag]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()] == [
        "push",
        "jobs",
        "search",
        "identify",
        "sync",
        "pull",
        "ls",
        "df",
        "rm",
        "webui",
        "login",
        "logout",
        "targets",
        "providers",
        "cache",
        "doctor",
        "demo",
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nix"],
        ["push"],
        ["push", "--from-file", os.devnull],
        ["push", "--nix", "a"],
        ["push", "a", "--limit", "fast"],
        ["push", "a", "--connections", "9"],
        ["push", "a", "--via", "pigeon"],
        ["push", "a", "--kind", "poem"],
        ["push", "a", "--sha256", "12"],
        ["push", "a", "--to", "x", "--to", "y"],
        ["push", "--from-file", "/nowhere/list"],
        ["login"],
        ["login", "nix"],
        ["login", "colab"],
        ["login", "conoha-ai-canvas", "--port", "0"],
        ["login", "conoha-ai-canvas"],
        ["logout", "nix"],
        ["providers", "nix"],
    ],
)
def test_what_cannot_be_asked_that_way_ends_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    type_on_stdin(monkeypatch, b"")
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err
    assert "Traceback" not in err


def test_an_account_is_saved_listed_and_forgotten(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    type_on_stdin(monkeypatch, b"")
    assert main([*LOGIN, "--json"]) == 0
    assert document(capsys)["target"]["name"] == "conoha-ai-canvas"
    assert main(["targets", "--json"]) == 0
    assert [target["user"] for target in document(capsys)["targets"]] == ["me"]
    assert main(["targets"]) == 0
    assert "me@127.0.0.1:9" in capsys.readouterr().out
    assert main(LOGIN) == 0
    assert "conoha-ai-canvas is updated." in capsys.readouterr().out
    assert main(["logout", "conoha-ai-canvas", "--json"]) == 0
    assert document(capsys)["removed"][-1].startswith("conoha-ai-canvas was removed")
    assert main(["targets"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "No target is saved yet" in err


def test_providers_answer_in_both_forms(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["providers", "--json"]) == 0
    assert "colab" in [provider["id"] for provider in document(capsys)["providers"]]
    assert main(["providers", "colab", "--json"]) == 0
    assert [provider["id"] for provider in document(capsys)["providers"]] == ["colab"]
    assert main(["providers", "colab"]) == 0
    assert "instead" in capsys.readouterr().out
    assert main(["providers"]) == 0
    assert "Google Colab" in capsys.readouterr().out


def test_a_file_is_identified_in_both_forms(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    model = tmp_path / "a.safetensors"
    write_safetensors(model, "diffusion-model")
    assert main(["identify", str(model), "--json"]) == 0
    (file,) = document(capsys)["files"]
    assert (file["kind"], file["architecture"], file["complete"]) == ("diffusion-model", "flux1-dev", True)
    assert main(["identify", str(model)]) == 0
    lines = [line.split(None, 1) for line in capsys.readouterr().out.splitlines()]
    assert ["kind", "diffusion-model"] in lines
    assert ["complete", "yes"] in lines


def test_what_cannot_be_identified_is_told_beside_what_can(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = tmp_path / "a.safetensors"
    page.write_bytes(b"<html>")
    assert main(["identify", str(page), str(tmp_path / "none.ckpt")]) == 4
    out, err = capsys.readouterr()
    assert "is a web page" in out
    assert "none.ckpt" in err


def test_json_errors_come_as_documents(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", "a.safetensors", "--json"]) == 2
    assert document(capsys)["error"]["code"] == "usage"
    assert main(["push", "--nix", "--json"]) == 2
    assert document(capsys)["ok"] is False


def test_a_missing_file_is_a_failed_outcome(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["push", "--to", "sftp://u@127.0.0.1:9/x", "--json", "--", "-nix.safetensors"]
    assert main(arguments) == 4
    (outcome,) = document(capsys)["outcomes"]
    assert (outcome["source"], outcome["status"], outcome["name"]) == ("-nix.safetensors", "failed", None)


def test_a_list_passes_over_blank_lines_and_remarks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\ufeff# mine\r\n\r\na.safetensors\n  b c.safetensors  \n   # not this\n日本.safetensors"
    (tmp_path / "list").write_text(text, encoding="utf-8", newline="")
    expected = ["a.safetensors", "b c.safetensors", "日本.safetensors"]
    assert references(str(tmp_path / "list")) == expected
    type_on_stdin(monkeypatch, text.encode())
    assert references("-") == expected


def test_a_list_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"\xff\xfe\x00")
    for name in (tmp_path / "list", tmp_path / "nix", tmp_path):
        with pytest.raises(UsageError, match=str(name)):
            references(str(name))


def test_a_password_on_stdin_must_be_there(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for content, sentence in ((b"\n", "there is no password on stdin"), (b"\xff\n", "is not text in UTF-8")):
        type_on_stdin(monkeypatch, content)
        assert main([*LOGIN, "--password-stdin"]) == 3
        assert sentence in capsys.readouterr().err


def test_a_password_that_no_keyring_takes_is_told_and_not_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    type_on_stdin(monkeypatch, b"hunter2 \r\n")
    assert main([*LOGIN, "--password-stdin", "-v"]) == 0
    out, err = capsys.readouterr()
    assert "nothing more was kept in the keyring" in err
    assert "hunter2" not in out + err


def test_a_dry_run_ends_with_the_code_of_its_refusals() -> None:
    plan = plan_with_a_refusal()
    errors = [step.error for step in plan.steps]
    assert plan_exit_code(errors) == 1
    assert plan_exit_code(errors[:1]) == 0


def test_the_conversation_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(choose({}, quiet=True, verbose=False), Silent)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert isinstance(choose({}, quiet=False, verbose=False), Plain)
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert isinstance(choose({"TERM": "xterm"}, quiet=False, verbose=False), Live)
    assert isinstance(choose({"TERM": "dumb"}, quiet=False, verbose=False), Plain)


def test_no_color_means_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    with choose({"TERM": "xterm-256color", "NO_COLOR": "1"}, quiet=False, verbose=False) as conversation:
        conversation(Message("a note", "note"))
    assert screen.getvalue() == "a note\n"


def test_silence_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with choose({}, quiet=True, verbose=True) as conversation, conversation.paused():
        conversation(Message("a note", "note"))
    assert capsys.readouterr() == ("", "")


def test_paramiko_keeps_its_tracebacks_to_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["targets"]) == 0
    capsys.readouterr()
    logging.getLogger("paramiko.transport").error("Traceback (most recent call last)")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "link", ["https://[bad?token=SECRET", "x://[?SECRET", "https://h:99999/x?token=SECRET", "sftp://u:SECRET@h/x"]
)
@pytest.mark.parametrize("json", [["--json"], []])
def test_malformed_link_is_an_outcome_without_its_secret(
    link: str, json: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", link, "--to", "sftp://u@127.0.0.1:9/x", *json]) == 2
    out, err = capsys.readouterr()
    assert "reference" in out
    assert "secret" not in (out + err).lower()
    assert "internal" not in out + err


def test_verify_says_what_each_of_its_ways_does(capsys: pytest.CaptureFixture[str]) -> None:
    main(["push", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "auto (hashed on the server, else read back up to 128 MB, else samples)" in text
    assert "full (hashed, else all read back), samples." in text
