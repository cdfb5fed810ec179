"""What `pull` is asked for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PullRequest:
    """`remote` is a file or folder below the target's root; `folder` is the local folder."""

    remote: str
    folder: str
    to: str | None = None
    new_only: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    dry_run: bool = False
    watch: bool = False
    replace: bool = False
