import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from tests.unit.cli.builders import job, webui_facts
from uploader.api import LoginResult, WebUISeen
from uploader.cli.show.listings import print_jobs
from uploader.cli.show.login import address, print_login
from uploader.cli.show.profiles import print_provider, print_providers, print_targets
from uploader.cli.show.tables import print_table
from uploader.cli.show.webui import print_webui
from uploader.errors import WebUIRefused
from uploader.profile import Target
from uploader.profiles import TABLE_HEADER, load, table_rows
from uploader.remote.interface import ConnectionInfo

TARGET = Target("my-canvas", "conoha-ai-canvas", "a1111", "h.example", "home/data", 2222, "me")


def test_a_table_in_a_pipe_holds_every_row_whole(capsys: pytest.CaptureFixture[str]) -> None:
    profiles = load()
    print_providers(profiles)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(profiles.providers)
    assert all(line == line.rstrip() for line in lines)
    assert lines[1].split()[0] == "autodl"


def test_a_table_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(TABLE_HEADER, table_rows(load()), Console(file=io.StringIO(), width=80))
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert any(line.startswith("conoha-ai-canvas ") for line in lines)


def test_every_provider_has_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    profiles = load()
    for provider in profiles.providers.values():
        print_provider(provider, profiles)
        out = capsys.readouterr().out
        assert out.startswith(provider.name)
        assert provider.facts.checked in out
        assert (provider.instead or "") in out
        assert (f"uploader login {provider.id}" in out) is provider.sftp
        assert all(source in out for source in provider.facts.sources)


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (TARGET, "me@h.example:2222"),
        (Target("t", "p", "w", "h", "r"), "h"),
        (Target("t", "p", "w", "::1", "r", 22), "[::1]:22"),
        (Target("t", "p", "w", "::1", "r"), "::1"),
    ],
)
def test_an_address_is_written_as_people_write_it(target: Target, text: str) -> None:
    assert address(target) == text


def test_targets_are_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    print_targets([TARGET])
    assert capsys.readouterr().out.splitlines()[1].split() == [
        "my-canvas",
        "conoha-ai-canvas",
        "a1111",
        "me@h.example:2222",
        "home/data",
    ]


def test_a_login_shows_what_was_found(capsys: pytest.CaptureFixture[str]) -> None:
    facts = ConnectionInfo("OpenSSH", "SHA256:x", "ssh-ed25519", "password", "/home/me", False, (), (), 32768)
    print_login(LoginResult(TARGET, False, facts, "/home/me/home/data", 31_200_000_000, ("password",)))
    out = capsys.readouterr().out
    for part in (
        "my-canvas is saved.",
        "ssh-ed25519 SHA256:x",
        "home/data (/home/me/home/data)",
        "31.2 GB",
        "password",
    ):
        assert part in out
    print_login(LoginResult(TARGET, True))
    out = capsys.readouterr().out
    assert "my-canvas is updated." in out
    assert "--no-check" in out


def test_webui_facts_tell_why_files_are_not_listed(capsys: pytest.CaptureFixture[str]) -> None:
    print_webui(webui_facts(), load())
    out = capsys.readouterr().out
    for text in ("Forge or Forge Neo", "another one than my-canvas", "version     not told", "dream.safetensors"):
        assert text in out
    assert "checkpoint: 3" in out
    assert "it reads lora from /sd/loras, and not from /sd/models/Lora" in out
    assert "models/Lora/x.zip (1.2 kB, not listed)\n  wrong extension" in out


def test_a_webui_without_trouble_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    print_webui(replace(webui_facts(), problems=(), fits=True), load())
    out = capsys.readouterr().out
    assert "nothing is wrong" in out
    assert "another one" not in out


@pytest.mark.parametrize(
    ("place", "seen", "texts"),
    [
        ({}, None, ["not known: with --webui-url or --webui-tunnel"]),
        ({"webui_url": "https://h"}, None, ["WebUI at        https://h"]),
        (
            {"webui_tunnel": 7860},
            WebUISeen(webui_facts()),
            ["port 7860 of the server: forge", "--webui", "it reads lora"],
        ),
        (
            {"webui_url": "https://h"},
            WebUISeen(None, WebUIRefused("it is off", remedy="Start it.")),
            ["off", "Start it."],
        ),
    ],
)
def test_login_tells_where_the_webui_is_and_how_it_went(
    capsys: pytest.CaptureFixture[str], place: dict[str, Any], seen: WebUISeen | None, texts: list[str]
) -> None:
    print_login(LoginResult(replace(TARGET, **place), updated=False, webui=seen))
    out = capsys.readouterr().out
    assert all(text in out for text in texts)


def test_jobs_tell_how_far_they_are_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    print_jobs([job(), job("finished", 144_000_000), job("unknown", None, "nobody answers")])
    out = capsys.readouterr().out
    assert "50.0/144.0 MB" in out
    assert "my-canvas: nobody answers" in out
    assert "uploader jobs wait JOB" in out
    print_jobs([job()])
    assert "wait" not in capsys.readouterr().out
