"""What a scan finds in a local folder, and what it refuses."""

from __future__ import annotations

import os
import socket
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from benchmarks.planning import planned
from uploader.errors import SourceMissing, UsageError
from uploader.scan.filters import Filters
from uploader.scan.local import scan
from uploader.scan.tree import LocalTree, path_fault


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    return folder


def write(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(path.encode())


def files(tree: LocalTree) -> list[str]:
    return sorted(tree.files)


def refused(tree: LocalTree) -> dict[str, str]:
    return {one.path: one.reason for one in tree.refused}


def test_scan_finds_files_with_size_and_time(folder: Path) -> None:
    write(folder, "a.txt", "one/b.txt", "one/two/c")
    (folder / "empty").touch()
    os.utime(folder / "a.txt", ns=(5, 1_700_000_000_123_456_789))
    tree = scan(folder, Filters())
    assert files(tree) == ["a.txt", "empty", "one/b.txt", "one/two/c"]
    assert (tree.files["a.txt"].size, tree.files["a.txt"].mtime_ns) == (5, 1_700_000_000_123_456_789)
    assert tree.files["a.txt"].mtime == 1_700_000_000
    assert tree.complete
    assert tree.refused == []


def test_scan_refuses_two_files_of_one_spelling(folder: Path) -> None:
    composed, decomposed = unicodedata.normalize("NFC", "café"), unicodedata.normalize("NFD", "café")
    write(folder, f"{decomposed}/x")
    tree = scan(folder, Filters())
    assert files(tree) == [f"{composed}/x"]
    assert tree.files[f"{composed}/x"].path == f"{decomposed}/x"
    write(folder, f"{composed}/x")
    tree = scan(folder, Filters())
    assert files(tree) == []
    assert "two spellings" in refused(tree)[f"{decomposed}/x"] + refused(tree).get(f"{composed}/x", "")


def test_scan_follows_links_within_and_a_folder_once(folder: Path) -> None:
    write(folder, "real/x")
    (folder / "file").symlink_to("real/x")
    (folder / "again").symlink_to("real")
    (folder / "more").symlink_to("real")
    tree = scan(folder, Filters())
    assert files(tree) == ["again/x", "file", "real/x"]
    assert refused(tree) == {"more": "it is one more link to a folder that was followed already"}
    assert tree.complete


def test_scan_refuses_links_out_nowhere_or_in_a_circle(folder: Path, tmp_path: Path) -> None:
    write(folder, "deep/x")
    write(tmp_path, "outside/secret", "tree-beside/y")
    (folder / "out").symlink_to(tmp_path / "outside" / "secret")
    (folder / "out2").symlink_to(tmp_path / "outside")
    (folder / "beside").symlink_to(tmp_path / "tree-beside")
    (folder / "nowhere").symlink_to("nothing")
    (folder / "deep" / "up").symlink_to("..")
    (folder / "deep" / "self").symlink_to("self")
    tree = scan(folder, Filters())
    assert files(tree) == ["deep/x"]
    told = refused(tree)
    assert {told[name] for name in ("out", "out2", "beside")} == {"it is a link that leads out of the folder"}
    assert told["nowhere"] == told["deep/self"] == "it is a link that leads nowhere"
    assert told["deep/up"] == "it is a link to a folder that holds it"


def test_scan_refuses_pipes_and_names_no_server_takes(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "sock"))
    write(folder, "back\\slash", "bell\a", "x" * 250)
    os.close(os.open(os.fsencode(folder) + b"/bad\xff", os.O_CREAT | os.O_WRONLY))
    tree = scan(folder, Filters())
    assert files(tree) == []
    assert len(tree.refused) == 5
    assert refused(tree)["sock"] == "it is a device or a pipe, not a file"


def test_scan_of_an_unreadable_folder_is_incomplete(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, "closed/x", "open")
    scandir = os.scandir

    def refuse(path: str) -> Any:  # as the system refuses all users but root
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    tree = scan(folder, Filters())
    assert (files(tree), tree.complete) == (["open"], False)
    assert "cannot be read: Permission denied" in refused(tree)["closed"]


def test_scan_of_no_folder_raises(folder: Path) -> None:
    write(folder, "file")
    with pytest.raises(UsageError, match="is not a folder"):
        scan(folder / "file", Filters())
    with pytest.raises(SourceMissing):
        scan(folder / "nothing", Filters())


def test_scan_leaves_out_a_growing_file(folder: Path) -> None:
    write(folder, "grows", "still")
    tree = scan(folder, Filters(), growing=lambda here: here.path == "grows")
    assert (files(tree), tree.complete) == (["still"], False)


# rules ------------------------------------------------------------------------------------------------


def test_filters_follow_gitignore_and_the_deepest_wins(folder: Path) -> None:
    write(folder, "a.png", "keep.png", "tmp/x", "one/tmp/y", "one/a.png", "one/top.txt", "top.txt", "two/b.png")
    (folder / ".uploadignore").write_text("*.png\n!keep.png\ntmp/\n/top.txt\n# a comment\n")
    (folder / "two" / ".uploadignore").write_text("!b.png\n")
    assert files(scan(folder, Filters())) == ["keep.png", "one/top.txt", "two/b.png"]


def test_filters_include_and_exclude(folder: Path) -> None:
    write(folder, "a.png", "a.txt", "one/b.png", "one/c.txt", "old/d.png")
    assert files(scan(folder, Filters(include=["*.png"]))) == ["a.png", "old/d.png", "one/b.png"]
    assert files(scan(folder, Filters(include=["*.png"], exclude=["old/"]))) == ["a.png", "one/b.png"]
    assert files(scan(folder, Filters(exclude=["*", "!*.txt"]))) == ["a.txt"]


def test_filters_leave_out_part_files_and_the_trash(folder: Path) -> None:
    write(folder, "a.bin.0123abcd.part", "b.part", ".uploader-trash/x")
    assert files(scan(folder, Filters())) == ["b.part"]


@pytest.mark.parametrize("path", ["a/../b", "/a", "a//b", "a\\b", "C:x", "a\nb", "", "x" * 242, "y" * 256 + "/x"])
def test_path_fault_names_what_no_server_takes(path: str) -> None:
    assert path_fault(path)


@pytest.mark.timing
def test_plan_takes_a_second_for_ten_thousand_files(tmp_path: Path) -> None:
    """`benchmarks.planning` measures the whole promise: 100,000 files in ten seconds and 300 MB."""
    count, seconds, mebibytes = planned(tmp_path, 10_000)
    assert count == 10_000
    assert seconds < 1
    assert mebibytes < 200
