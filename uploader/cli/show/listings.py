"""Print the lists of ls, df, rm, jobs, cache, search and identify."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from uploader.cli.format import part, percent, plural, size
from uploader.cli.show.tables import Fact, print_facts, print_table, size_text
from uploader.cli.terminal import print_answer

if TYPE_CHECKING:
    from uploader.api import CacheListing, DiskUse, Hit, Identified, JobView, Listed, Removal


def print_models(models: Sequence[Listed]) -> None:
    """Print a table of the models, sorted by kind, and the sum of their sizes."""
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
    print_table(("Path", "Kind", "Architecture", "Size", "Changed", "Placed by uploader"), rows)
    print_answer(f"\n{plural(len(models), 'model')}, {size(sum(model.size for model in models))}")


def print_disk(use: DiskUse) -> None:
    """Print what is free, and what each kind takes, the largest first."""
    if use.free is not None and use.total is not None:
        used = percent(use.total - use.free, use.total) if use.total else 100
        print_answer(f"{use.target}: {size(use.free)} free of {size(use.total)} ({used} % used)")
    for kind, bytes_ in sorted(use.kinds.items(), key=lambda pair: -pair[1]):
        print_answer(f"  {kind:<16} {size(bytes_)}")


def print_removals(removals: Sequence[Removal]) -> None:
    """Print a line for each file."""
    for removal in removals:
        print_answer(f"removed  {removal.path} ({size(removal.size)})")
        for sentence in removal.shares:
            print_answer(f"         {sentence}")


def _day(mtime: int | None) -> str:
    return "" if mtime is None else f"{datetime.datetime.fromtimestamp(mtime):%Y-%m-%d %H:%M}"


def print_jobs(views: Sequence[JobView]) -> None:
    """Print the jobs, and what to do about those that are finished."""
    rows = [(view.record.id, view.record.target, view.record.name, _far(view), view.state) for view in views]
    print_table(("Job", "Target", "Name", "Arrived", "State"), rows)
    for view in views:
        if view.reason:
            print_answer(f"{view.record.target}: {view.reason}")
    if any(view.state == "finished" for view in views):
        print_answer("A finished one is proven and placed by: uploader jobs wait JOB")


def _far(view: JobView) -> str:
    return "-" if view.done is None else part(min(view.done, view.record.size), view.record.size)


def print_cache(kept: CacheListing) -> None:
    """Print the downloads that are kept, and how much of the limit they take."""
    rows = [
        (entry.name, size(entry.size), (entry.sha256 or "-")[:10], _moment(entry.used), entry.state.value)
        for entry in kept.entries
    ]
    print_table(("Name", "Size", "SHA256", "Used", "State"), rows)
    print_answer(f"\n{size(kept.total)} of {size(kept.limit)}")


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def print_hits(hits: Sequence[Hit]) -> None:
    """Print the models that a search found, a row each."""
    rows = [
        (
            hit.reference,
            f"{hit.name} {hit.version}".strip(),
            str(hit.kind or hit.type),
            hit.base or "-",
            "several files" if hit.file is None else "-" if hit.size is None else size(hit.size),
            "-" if hit.downloads is None else f"{hit.downloads:,}",
        )
        for hit in hits
    ]
    print_table(("Push", "Name", "Kind", "Base", "Size", "Downloads"), rows)


def print_identified(found: Iterable[Identified]) -> None:
    """Print what each file is. Files that could not be read are printed on stderr elsewhere."""
    for one in found:
        if one.identity is not None:
            print_answer(one.source)
            print_facts(identity_facts(one), indent="  ")


def identity_facts(one: Identified) -> Iterator[Fact]:
    """Yield what is known of a file, by name."""
    identity = one.identity
    if identity is None:
        return
    yield "container", identity.container
    yield "kind", str(identity.kind or "not known")
    yield "architecture", identity.described or "not known"
    yield "size", "not known" if one.size is None else size_text(one.size)
    yield "complete", {True: "yes", False: "no", None: "cannot be said"}[identity.complete]
    for problem in one.problems:
        yield "problem", problem
