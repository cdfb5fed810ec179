"""Locks are held by one process, and end with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from uploader.errors import Busy, ConfigurationError
from uploader.state.locks import Claims, exclusive

_RUSH = """
import sys
from pathlib import Path
from uploader.state.locks import Claims
folder = Path(sys.argv[1])
claims = Claims(folder)
done = 0
while done < 30:
    with claims.hold(["name"]) as held:
        if held:
            with open(folder / "inside", "x"):
                pass
            (folder / "inside").unlink()
            done += 1
"""


def test_claims_of_runs_that_come_and_go_never_overlap(tmp_path: Path) -> None:
    rush = [sys.executable, "-c", _RUSH, str(tmp_path)]
    runs = [subprocess.Popen(rush, cwd=Path(__file__).parents[3]) for _ in range(3)]
    assert [run.wait(60) for run in runs] == [0, 0, 0]


def test_hold_yields_the_names_that_are_free(tmp_path: Path) -> None:
    with Claims(tmp_path).hold(["a"]), Claims(tmp_path).hold(["a", "b", "b"]) as held:
        assert held == {"b"}
    with Claims(tmp_path).hold(["a"]) as held:
        assert held == {"a"}


def test_hold_in_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be written"), Claims(tmp_path / "file").hold(["a"]):
        pass


def test_exclusive_that_waits_too_long_names_the_file(tmp_path: Path) -> None:
    lock = tmp_path / "new" / "a.lock"
    with exclusive(lock, "the file"), pytest.raises(Busy, match="writing the file"), exclusive(lock, "the file", 0.01):
        pass
