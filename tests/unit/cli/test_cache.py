from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from uploader.artifact import Artifact, WebFile
from uploader.cli import main
from uploader.state.cache import Cache
from uploader.state.database import Database
from uploader.state.uploads import UploadRecords

SHA256 = "5" * 64
NAME = "0123abcd-dream.safetensors"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """The user's own, with one download in it."""
    monkeypatch.setenv("UPLOADER_HOME", str(tmp_path))
    monkeypatch.setenv("UPLOADER_CACHE_LIMIT", "1M")
    cache = Cache(tmp_path / "cache", UploadRecords(Database(tmp_path)), 1 << 20)
    cache.folder.mkdir()
    with cache.hold(artifact()) as hold:
        hold.part.write_bytes(bytes(2500))
        cache.keep(artifact(), hold, SHA256)
    os.utime(cache.folder / f".{NAME}.json", (1_700_000_000, 1_700_000_000))
    return cache


def artifact() -> Artifact:
    return Artifact(
        "https://x/dream.safetensors", "dream.safetensors", 2500, WebFile("https://x", None, True), "0123abcd"
    )


def answer(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("cache")
def test_the_downloads_are_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache"]) == 0
    header, row, _, total = capsys.readouterr().out.splitlines()
    assert header.split() == ["Name", "Size", "SHA256", "Used", "State"]
    assert row.split()[:4] == [NAME, "2.5", "kB", "5" * 10]
    assert row.split()[-1] == "whole"
    assert total == "2.5 kB of 1.0 MB"


@pytest.mark.usefixtures("cache")
def test_the_downloads_are_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "--json"]) == 0
    assert answer(capsys) == {
        "schema": 1,
        "cache": [
            {"name": NAME, "size": 2500, "sha256": SHA256, "used": "2023-11-14T22:13:20+00:00", "state": "whole"},
        ],
        "limit": 1 << 20,
        "total": 2500,
    }


def test_clearing_says_what_it_removed(cache: Cache, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "clear", "dream.safetensors"]) == 0
    assert capsys.readouterr().out == f"removed {NAME}\n"
    assert list(cache.folder.iterdir()) == []
    for arguments in (["cache"], ["cache", "clear"]):
        assert main(arguments) == 0
        assert capsys.readouterr().err == "No download is kept.\n"


def test_clearing_as_a_document(cache: Cache, capsys: pytest.CaptureFixture[str]) -> None:
    with cache.hold(artifact()):
        assert main(["cache", "clear", "--json"]) == 1
        assert answer(capsys) == {"schema": 1, "ok": False, "removed": [], "in_use": [NAME]}
        assert main(["cache", "clear"]) == 1
        assert "in use" in capsys.readouterr().err
    assert main(["cache", "clear", "--json"]) == 0
    assert answer(capsys) == {"schema": 1, "ok": True, "removed": [NAME], "in_use": []}


@pytest.mark.usefixtures("cache")
def test_a_name_that_is_not_there_is_a_fault_of_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "clear", "nix"]) == 2
    assert "nix" in capsys.readouterr().err
