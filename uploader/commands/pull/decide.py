"""Which files of a server are fetched, and why: decided without I/O and without a clock."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from uploader.errors import Exists, SourceRefused, UploaderError
from uploader.scan.tree import RemoteEntry, folded, path_fault, spelling
from uploader.state.manifest import PlacedFile


class PullAction(StrEnum):
    """What a step will do. `compare`: the sizes are equal and the times are not, so the bytes decide."""

    FETCH = "fetch"
    COMPARE = "compare"
    KEEP = "keep"
    REFUSE = "refuse"


@dataclass(frozen=True)
class FetchStep:
    """What will be done with one file, and why.

    `remote` is its absolute path on the server, `local` the one on this disk. `replaces`: the local file `here` may
    be replaced. `error` is what a refused step fails with.
    """

    key: str
    action: PullAction
    reason: str
    remote: str
    local: Path
    there: RemoteEntry
    replaces: bool = False
    here: LocalState | None = None
    error: UploaderError | None = None

    @property
    def size(self) -> int:
        return self.there.size


@dataclass(frozen=True)
class LocalState:
    """A local file that exists already. `size` in bytes. `is_folder`: it is no file."""

    size: int
    mtime_ns: int
    is_folder: bool = False


@dataclass(frozen=True)
class PullState:
    """Both sides before a pull.

    `base` is the absolute folder on the server, `folder` the local one. `there` are the server's files, `here` the
    local files of the same names. `known` is what was fetched before, by path on the server. `insensitive`: this disk
    takes `A` and `a` for one name.
    """

    base: str
    folder: Path
    there: Mapping[str, RemoteEntry]
    here: Mapping[str, LocalState]
    known: Mapping[str, PlacedFile]
    insensitive: bool = False


def decide(state: PullState, *, new_only: bool = False, replace_others: bool = False) -> list[FetchStep]:
    """Return a step for each file of the server, in the order of their keys."""
    groups: dict[str, list[str]] = {}
    for key in state.there:
        groups.setdefault(folded(key) if state.insensitive else spelling(key), []).append(key)
    rivals = {key: group for group in groups.values() if len(group) > 1 for key in group}
    steps = []
    for key, there in state.there.items():
        step = FetchStep(
            key,
            PullAction.FETCH,
            "it is not here yet",
            posixpath.join(state.base, there.path),
            state.folder / key,
            there,
        )
        fault = path_fault(key)
        if key in rivals:
            fault = f"this disk takes {' and '.join(sorted(rivals[key]))} for one name"
        steps.append(_refused(step, fault) if fault else _decided(state, step, new_only, replace_others))
    return sorted(steps, key=lambda step: step.key)


def _decided(state: PullState, step: FetchStep, new_only: bool, replace_others: bool) -> FetchStep:
    there, here, known = step.there, state.here.get(step.key), state.known.get(step.remote)
    step = replace(step, here=here)
    before = known if known is not None and known.is_still(there.size, there.mtime) else None
    if new_only and before is not None:
        return replace(step, action=PullAction.KEEP, reason="it was fetched before")
    if here is None:
        return step
    if here.is_folder:
        return _refused(step, "a folder of that name is here")
    if here.size == there.size and (_mine(before, here) or there.mtime == here.mtime_ns // 1_000_000_000):
        return replace(step, action=PullAction.KEEP, reason="size and time are the same")
    if _mine(known, here):
        return replace(step, reason="it was changed on the server since it was fetched", replaces=True)
    if replace_others:
        return replace(step, reason="another file is here, and --replace was said", replaces=True)
    if here.size == there.size:
        return replace(step, action=PullAction.COMPARE, reason="a file of that name and size is here")
    return taken(step)


def taken(step: FetchStep) -> FetchStep:
    """Return the refused step of a file whose name stands for other bytes on this disk."""
    error = Exists(
        f"{step.local} exists already, with other bytes",
        remedy="Fetch into another folder, or put the server's in its place with --replace.",
    )
    return replace(step, action=PullAction.REFUSE, reason=error.message, error=error)


def _mine(known: PlacedFile | None, here: LocalState) -> bool:
    """Return True if the local file is what was fetched, unchanged."""
    return known is not None and (known.size, known.mtime_ns) == (here.size, here.mtime_ns)


def _refused(step: FetchStep, fault: str) -> FetchStep:
    error = SourceRefused(f"{step.key} is not fetched: {fault}", remedy="Leave it out with --exclude.")
    return replace(step, action=PullAction.REFUSE, reason=error.message, error=error)
