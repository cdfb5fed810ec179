"""The verb cache: list the downloads that are kept, and remove them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from uploader.session.session import Session
from uploader.state.cache import Entry


@dataclass(frozen=True)
class CacheListing:
    """The downloads that are kept, the one used last first. `limit` and `total` are in bytes."""

    entries: tuple[Entry, ...]
    limit: int
    total: int


@dataclass(frozen=True)
class Cleared:
    """The names of the files that were removed, and of those that another run uses."""

    removed: tuple[str, ...]
    in_use: tuple[str, ...]


def list_cache(session: Session) -> CacheListing:
    """Return the downloads that are kept. Raises ConfigurationError."""
    entries = tuple(session.cache.entries())
    return CacheListing(entries, session.cache.limit, sum(entry.size for entry in entries))


def clear_cache(session: Session, names: Sequence[str]) -> Cleared:
    """Remove the named downloads, or all. Raises UsageError (no such name) and ConfigurationError."""
    removed, in_use = session.cache.clear(names)
    return Cleared(tuple(entry.name for entry in removed), tuple(entry.name for entry in in_use))
