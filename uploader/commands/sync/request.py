"""The request of a `sync` command."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SyncRequest:
    """What the user asks for. `folder` is the local folder. `into` is below the target's root, "" for the root itself.

    With neither `into` nor `by_kind`, the user is asked when the folder may be meant either way.
    """

    folder: str
    to: str | None = None
    into: str | None = None
    by_kind: bool = False
    delete: bool = False
    max_delete: int | None = None
    trash: bool = False
    checksum: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    dry_run: bool = False
    watch: bool = False
    replace: bool = False
