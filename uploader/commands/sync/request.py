"""What the verbs for folders are asked for and what they answer."""

from __future__ import annotations

from dataclasses import dataclass, field

from uploader.artifact import Kind
from uploader.commands.sync.decide import SyncStep


@dataclass(frozen=True)
class SyncRequest:
    """`folder` is the local one; `into` a folder below the target's root, "" for the root itself. Neither `into` nor
    `by_kind`: somebody is asked where the folder alone does not tell."""

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


@dataclass(frozen=True)
class SyncPlan:
    """What a sync would do. `root` and `folder` are absolute, on the server and here; `kinds` tells the kind of a key
    where the files are sorted by it."""

    target: str
    root: str
    folder: str
    steps: tuple[SyncStep, ...] = ()
    kinds: dict[str, Kind] = field(default_factory=dict)
