"""A file is sent only when it is unchanged for some time and no program has it open for writing."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from uploader.commands.sync.folder_watcher import FolderWatcher, listen
from uploader.commands.sync.stable_files import StableFiles, open_for_writing
from uploader.scan.tree import LocalEntry

NOW = 1_790_000_000.0


class Clock:
    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def settling(folder: Path, clock: Clock, writers: frozenset[str] | None = None) -> StableFiles:
    return StableFiles(folder, clock=clock, now=lambda: NOW + clock.at, writers=lambda _folder: writers)


def here(size: int, age: float) -> LocalEntry:
    return LocalEntry("a", size, int((NOW - age) * 1e9))


def test_is_growing_old_file_is_false_at_once(tmp_path: Path) -> None:
    assert not settling(tmp_path, Clock()).is_growing(here(5, age=60))


def test_is_growing_new_file_is_true_until_it_is_unchanged(tmp_path: Path) -> None:
    clock = Clock()
    one = settling(tmp_path, clock)
    assert one.is_growing(here(5, age=0))
    clock.at = 1.9
    assert one.is_growing(here(5, age=0))
    assert one.waiting == {"a"}
    clock.at = 2.0
    one.begin_check()
    assert not one.is_growing(here(5, age=0))
    assert one.waiting == set()
    clock.at = 3.0
    assert one.is_growing(here(6, age=0))
    clock.at = 5.0
    assert not one.is_growing(here(6, age=0))


def test_is_growing_old_mtime_that_changes_is_true(tmp_path: Path) -> None:
    clock = Clock()
    one = settling(tmp_path, clock)
    assert not one.is_growing(here(5, age=60))
    assert one.is_growing(here(6, age=60))


def test_is_growing_file_open_for_writing_is_true(tmp_path: Path) -> None:
    one = settling(tmp_path, Clock(), frozenset({os.path.realpath(tmp_path / "a")}))
    one.begin_check()
    assert one.is_growing(here(5, age=60))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells")
def test_open_for_writing_finds_only_writers(tmp_path: Path) -> None:
    (tmp_path / "read").write_bytes(b"x")
    with (tmp_path / "written").open("wb"), (tmp_path / "read").open("rb"):
        assert open_for_writing(tmp_path) == frozenset({os.path.realpath(tmp_path / "written")})
    assert open_for_writing(tmp_path) == frozenset()


# changes ----------------------------------------------------------------------------------------------


def test_wait_change_before_it_ends_it(tmp_path: Path) -> None:
    ear = FolderWatcher(tmp_path)
    ear.open()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "new").write_bytes(b"x")
    ear.wait(20.0)
    assert ear._lines is not None
    ear.close()


def test_wait_without_change_ends_in_time(tmp_path: Path) -> None:
    ear = FolderWatcher(tmp_path)
    ear.open()
    ear.wait(0.1)
    ear.close()


def test_wait_missing_folder_is_waited_for(tmp_path: Path) -> None:
    waits: list[float] = []
    ear = FolderWatcher(tmp_path / "disk", wait=waits.append)
    ear.open()
    ear.wait(15.0)
    ear.wait(None)
    assert waits == [15.0, 1.0]
    (tmp_path / "disk").mkdir()
    ear.open()
    assert ear._lines is not None
    ear.close()


def test_wait_removed_folder_ends_it(tmp_path: Path) -> None:
    def lines(folder: Path) -> Generator[bool]:
        yield False
        raise FileNotFoundError

    ear = FolderWatcher(tmp_path, listen=lines)
    ear.open()
    ear.wait(None)
    assert ear._lines is None


def test_listen_missing_folder_raises_oserror(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        next(listen(tmp_path / "nothing"))
