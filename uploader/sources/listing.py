"""Places that hold several files: which are models, which one was meant, how the others are shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from uploader.artifact import MODEL_EXTENSIONS
from uploader.errors import SourceMissing, UsageError

MOST_ENTRIES = 10_000
"""Entries of a listing that are looked at."""

_MOST_TOLD = 40
_CHOOSE = "Push the one you want: copy its reference from the list."
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})\.[A-Za-z0-9]+$")


@dataclass(frozen=True)
class Listed:
    """A file that can be pushed. `name` is its path in the place, `reference` names it alone, `size` is in bytes."""

    name: str
    reference: str
    size: int | None


def chosen(place: str, files: Sequence[Listed], name: str | None = None, *, whole: bool = True) -> Listed:
    """Return the file of that name, which is its path within the place or the last part of it.

    Raises UsageError without a name: it lists the models of the place with their sizes and asks for one. Raises
    SourceMissing, with the same list, where no file has that name. `whole` false: the place holds more than was looked
    at.
    """
    named = [file for file in files if name is not None and file.name == name]
    named = named or [file for file in files if name is not None and _last(file.name) == name]
    if len(named) == 1:
        return named[0]
    listed = named or models(files)
    if not listed:
        raise SourceMissing(
            f"{place} holds no file that a WebUI would list as a model",
            remedy="Open its page to see what it holds, and push the link of a single file.",
        )
    count = "one model file" if len(listed) == 1 else f"{len(listed)} model files"
    if name is not None and not named:
        text = "\n".join([f"{place} holds no file {name}; it holds {count}:", *_lines(listed, whole=whole)])
        raise SourceMissing(text, remedy=_CHOOSE)
    what = f"{place} is not one file; it holds {count}:" if name is None else f"{place} holds {name} more than once:"
    raise UsageError("\n".join([what, *_lines(listed, whole=whole)]), remedy=_CHOOSE)


def models(files: Iterable[Listed]) -> list[Listed]:
    """Return the files whose ending some WebUI lists, in the order of their names."""
    found = [file for file in files if file.name.lower().endswith(tuple(MODEL_EXTENSIONS))]
    return sorted(found, key=lambda file: file.name)


def split_note(name: str) -> tuple[str, ...]:
    """Return a note for a file that is one part of a model split into several (`-00001-of-00003`)."""
    shard = _shard(name)
    if shard is None:
        return ()
    return (
        f"{name} is part {shard[0]} of {shard[1]} of one model; WebUIs load a model from a single file, "
        "so look for one that is not split",
    )


def _shard(name: str) -> tuple[int, int] | None:
    match = _SHARD.search(name)
    return None if match is None or int(match[2]) < 2 else (int(match[1]), int(match[2]))


def _lines(files: Sequence[Listed], *, whole: bool) -> list[str]:
    told = files[:_MOST_TOLD]
    width = max(len(_size(file.size)) for file in told)
    lines = [f"  {_size(file.size):>{width}}  {file.reference}{_part(file.name)}" for file in told]
    if len(files) > len(told):
        lines.append(f"  … and {len(files) - len(told)} more")
    if not whole:
        lines.append(f"  … and what lies beyond the first {MOST_ENTRIES:,} entries")
    return lines


def _part(name: str) -> str:
    shard = _shard(name)
    return "" if shard is None else f"  (part {shard[0]} of {shard[1]} of one model)"


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _size(size: int | None) -> str:
    """Return the size in units of 1000, as the services' own pages do."""
    if size is None:
        return "? bytes"
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.2f} {name}"
    return f"{size} bytes"
