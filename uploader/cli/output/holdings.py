"""The answers of ls, df and rm: what a target holds."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from uploader.cli.output.document import SCHEMA, Document
from uploader.cli.output.pages import tell_table
from uploader.cli.output.stream import answer
from uploader.cli.output.words import percent, plural, size

if TYPE_CHECKING:
    from uploader.app import DiskUse, Listed, Removal


def of_models(models: Sequence[Listed]) -> Document:
    return {"schema": SCHEMA, "files": [asdict(model) for model in models]}


def tell_models(models: Sequence[Listed]) -> None:
    """Prints a table, kind by kind, and the sum."""
    rows = [
        (
            model.path,
            str(model.kind or "?"),
            model.architecture or "",
            size(model.size),
            _day(model.mtime),
            "yes" if model.placed else "",
        )
        for model in sorted(models, key=lambda model: (str(model.kind or "~"), model.path))
    ]
    tell_table(("Path", "Kind", "Architecture", "Size", "Changed", "Placed by uploader"), rows)
    answer(f"\n{plural(len(models), 'model')}, {size(sum(model.size for model in models))}")


def of_disk(use: DiskUse) -> Document:
    used = None if use.total is None or use.free is None else use.total - use.free
    kinds = {str(kind): bytes_ for kind, bytes_ in use.kinds.items()}
    return {"schema": SCHEMA, "free": use.free, "total": use.total, "used": used, "kinds": kinds}


def tell_disk(use: DiskUse) -> None:
    """Prints what is free, and what each kind takes, the largest first."""
    if use.free is not None and use.total is not None:
        used = percent(use.total - use.free, use.total) if use.total else 100
        answer(f"{use.target}: {size(use.free)} free of {size(use.total)} ({used} % used)")
    for kind, bytes_ in sorted(use.kinds.items(), key=lambda pair: -pair[1]):
        answer(f"  {kind:<16} {size(bytes_)}")


def of_removals(removals: Sequence[Removal]) -> Document:
    return {
        "schema": SCHEMA,
        "ok": True,
        "removed": [{"path": removal.path, "size": removal.size, "shares": removal.shares} for removal in removals],
    }


def tell_removals(removals: Sequence[Removal]) -> None:
    """Prints a line for each file."""
    for removal in removals:
        answer(f"removed  {removal.path} ({size(removal.size)})")
        for sentence in removal.shares:
            answer(f"         {sentence}")


def _day(mtime: int | None) -> str:
    return "" if mtime is None else f"{datetime.datetime.fromtimestamp(mtime):%Y-%m-%d %H:%M}"
