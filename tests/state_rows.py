"""What `state.db` in a folder holds, for tests."""

from __future__ import annotations

from pathlib import Path

from uploader.state.database import Database, Row


def rows(folder: Path, table: str) -> list[Row]:
    return Database(folder).read(f"SELECT * FROM {table}")


def chunk_numbers(folder: Path) -> set[int]:
    """The numbers of all chunks that are recorded as arrived."""
    return {number for (number,) in Database(folder).read("SELECT number FROM chunk")}
