"""Which files of a server are fetched, and why: decided without I/O and without a clock."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from uploader.errors import Exists, SourceRefused
from uploader.scan.tree import RemoteEntry, folded, path_fault, spelling
from uploader.state.manifest import PlacedFile
from uploader.steps import Action, Step


@dataclass(frozen=True, kw_only=True)
class PullStep(Step):
    """What will be done with one file. `path` is its absolute path on this disk.

    `remote` is its absolute path on the server, below `root`. `replaces`: the local file `here` may be replaced.
    """

    remote: str
    root: str
    there: RemoteEntry
    replaces: bool = False
    here: LocalState | None = None

    @property
    def local(self) -> Path:
        return Path(self.path)

    @property
    def name(self) -> str:
        return self.local.name

    @property
    def size(self) -> int:
        return self.there.size

    @property
    def source(self) -> str:
        return posixpath.relpath(self.remote, self.root)

    @property
    def payload(self) -> int:
        return self.size if self.action is Action.FETCH else 0


@dataclass(frozen=True)
class LocalState:
    """A local file that exists already. `size` in bytes. `is_folder`: it is no file."""

    size: int
    mtime_ns: int
    is_folder: bool = False


@dataclass(frozen=True)
class PullState:
    """Both sides before a pull.

    `base` is the absolute folder on the server, below the target's `root`; `folder` is the local one. `there` are the
    server's files, `here` the local files of the same names. `known` is what was fetched before, by path on the
    server. `insensitive`: this disk takes `A` and `a` for one name.
    """

    root: str
    base: str
    folder: Path
    there: Mapping[str, RemoteEntry]
    here: Mapping[str, LocalState]
    known: Mapping[str, PlacedFile]
    insensitive: bool = False


def decide(state: PullState, *, new_only: bool = False, replace_others: bool = False) -> list[PullStep]:
    """Return a step for each file of the server, in the order of their keys."""
    groups: dict[str, list[str]] = {}
    for key in state.there:
        groups.setdefault(folded(key) if state.insensitive else spelling(key), []).append(key)
    rivals = {key: group for group in groups.values() if len(group) > 1 for key in group}
    steps = []
    for key, there in state.there.items():
        step = PullStep(
            key,
            Action.FETCH,
            "it is not here yet",
            str(state.folder / key),
            remote=posixpath.join(state.base, there.path),
            root=state.root,
            there=there,
        )
        fault = path_fault(key)
        if key in rivals:
            fault = f"this disk takes {' and '.join(sorted(rivals[key]))} for one name"
        steps.append(_refused(step, fault) if fault else _decided(state, step, new_only, replace_others))
    return sorted(steps, key=lambda step: step.key)


def _decided(state: PullState, step: PullStep, new_only: bool, replace_others: bool) -> PullStep:
    there, here, known = step.there, state.here.get(step.key), state.known.get(step.remote)
    step = replace(step, here=here)
    before = known if known is not None and known.is_still(there.size, there.mtime) else None
    if new_only and before is not None:
        return replace(step, action=Action.KEEP, reason="it was fetched before")
    if here is None:
        return step
    if here.is_folder:
        return _refused(step, "a folder of that name is here")
    if here.size == there.size and (_mine(before, here) or there.mtime == here.mtime_ns // 1_000_000_000):
        return replace(step, action=Action.KEEP, reason="size and time are the same")
    if _mine(known, here):
        return replace(step, reason="it was changed on the server since it was fetched", replaces=True)
    if replace_others:
        return replace(step, reason="another file is here, and --replace was said", replaces=True)
    if here.size == there.size:
        return replace(step, action=Action.COMPARE, reason="a file of that name and size is here")
    return taken(step)


def taken(step: PullStep) -> PullStep:
    """Return the refused step of a file whose name stands for other bytes on this disk."""
    error = Exists(
        f"{step.local} exists already, with other bytes",
        remedy="Fetch into another folder, or put the server's in its place with --replace.",
    )
    return replace(step, action=Action.REFUSE, reason=error.message, error=error)


def _mine(known: PlacedFile | None, here: LocalState) -> bool:
    """Return True if the local file is what was fetched, unchanged."""
    return known is not None and (known.size, known.mtime_ns) == (here.size, here.mtime_ns)


def _refused(step: PullStep, fault: str) -> PullStep:
    error = SourceRefused(f"{step.key} is not fetched: {fault}", remedy="Leave it out with --exclude.")
    return replace(step, action=Action.REFUSE, reason=error.message, error=error)
