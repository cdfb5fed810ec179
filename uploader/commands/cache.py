"""The verb cache: which downloads are kept, and their removal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from uploader.session.session import Setting
from uploader.state.cache import Entry


@dataclass(frozen=True)
class Kept:
    """The downloads that are kept, the one used last first; `limit` and `total` in bytes."""

    entries: tuple[Entry, ...]
    limit: int
    total: int


@dataclass(frozen=True)
class Cleared:
    """The names of the files that were removed, and of those that another run is using."""

    removed: tuple[str, ...]
    in_use: tuple[str, ...]


def listed(setting: Setting) -> Kept:
    """Returns what is kept. Raises ConfigurationError."""
    entries = tuple(setting.cache.entries())
    return Kept(entries, setting.cache.limit, sum(entry.size for entry in entries))


def cleared(setting: Setting, names: Sequence[str]) -> Cleared:
    """Removes the named downloads, or all. Raises UsageError (no such name) and ConfigurationError."""
    removed, in_use = setting.cache.clear(names)
    return Cleared(tuple(entry.name for entry in removed), tuple(entry.name for entry in in_use))
