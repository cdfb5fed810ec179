"""A small file is written whole or not at all."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from uploader.state.atomic import replace_text


def test_replace_text_leaves_no_other_file(tmp_path: Path) -> None:
    replace_text(tmp_path / "file", "Größe\n")
    assert (tmp_path / "file").read_bytes() == "Größe\n".encode()
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_replace_text_that_fails_keeps_the_old_file(tmp_path: Path) -> None:
    replace_text(tmp_path / "file", "old")
    with pytest.raises(UnicodeEncodeError):
        replace_text(tmp_path / "file", "\ud800")
    assert (tmp_path / "file").read_text() == "old"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_replace_text_keeps_a_link(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    replace_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "kept").read_text() == "new"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_replace_text_makes_a_file_for_its_owner_only(tmp_path: Path) -> None:
    replace_text(tmp_path / "file", "text")
    assert os.stat(tmp_path / "file").st_mode & 0o077 == 0  # noqa: PTH116
