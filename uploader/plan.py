"""Listing + wishes -> steps with reasons. No I/O, no clock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from uploader.artifact import Artifact, Kind, LocalFile, WebFile
from uploader.errors import (
    Exists,
    NoSpace,
    NoSuchRoot,
    RemoteRefused,
    RouteUnavailable,
    UploaderError,
    UsageError,
)

_NAMED = 4
"""Sources that a message names, of those that want one name."""


class Route(StrEnum):
    """How the bytes travel: from this disk, or through this machine's memory alone."""

    LOCAL = "local"
    RELAY = "relay"


class Action(StrEnum):
    """What a step will do. `compare`: the name is there, with the same size as far as that is known; bytes decide."""

    SEND = "send"
    RESUME = "resume"
    COMPARE = "compare"
    REPLACE = "replace"
    REFUSE = "refuse"


@dataclass(frozen=True)
class Item:
    """One artifact with its place. `path` is below the target's root; `folder` the model's folder,
    below the root too; `structure`: the artifact's own header covers exactly its bytes; `warnings` are sentences on
    what the WebUI will make of it. `beside`: the path of the model that this is a sidecar of."""

    artifact: Artifact
    kind: Kind
    name: str
    route: Route
    path: str
    folder: str
    structure: bool = False
    warnings: tuple[str, ...] = ()
    beside: str | None = None


@dataclass(frozen=True)
class Listing:
    """What the server holds of the things that matter to one item. Sizes in bytes, None where nothing is.

    `claimed` is what the journal says of the part file. `missing` are the folders that are not there, outermost
    first, the root as ``""``. `error` is what the server said instead of all that."""

    final: int | None = None
    final_is_folder: bool = False
    part: int | None = None
    claimed: int = 0
    missing: tuple[str, ...] = ()
    error: UploaderError | None = None


@dataclass(frozen=True)
class Wishes:
    """What the user allows."""

    replace: bool = False
    mkdir: bool = False


@dataclass(frozen=True)
class PlannedStep:
    """What will be done with one item, and why. `error` is what a refused one fails with; `make` are the folders
    to be made first; `bytes` the payload that may have to be sent, `space` what it may take of the disk."""

    item: Item
    action: Action
    reason: str
    error: UploaderError | None = None
    make: tuple[str, ...] = ()
    bytes: int = 0
    space: int = 0


def choose_route(artifact: Artifact, wanted: str) -> Route:
    """Decides how an artifact travels. `wanted` is `auto`, `local`, `relay` or `server`. Raises RouteUnavailable."""
    if wanted == "server":
        raise RouteUnavailable(
            "the server cannot be asked to download by itself yet",
            remedy="Leave --via out, or use --via relay: the bytes then pass through this machine's memory.",
        )
    match artifact.origin:
        case LocalFile():
            if wanted == "relay":
                raise RouteUnavailable(
                    f"{artifact.source} is a file of this machine: there is nothing to relay",
                    remedy="Leave --via out.",
                )
            return Route.LOCAL
        case WebFile(ranges=ranges):
            if wanted == "relay" and artifact.size is None:
                raise RouteUnavailable(
                    f"{artifact.source} does not tell its size, so it cannot be relayed safely",
                    remedy="Use --via local: it is then downloaded to this disk first.",
                )
            if wanted == "auto":
                # Without ranges a cut relay begins anew on both sides; a download to disk is at least whole once.
                return Route.RELAY if ranges and artifact.size is not None else Route.LOCAL
            return Route(wanted)


def clashes(items: Iterable[Item]) -> list[tuple[Item, UploaderError]]:
    """Every item whose final name another one wants too, with the error that they share."""
    wanting: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        wanting[item.path].append(item)
    return [
        (item, error)
        for path, rivals in wanting.items()
        if len(rivals) > 1
        for error in [_clash(path, [rival.artifact.source for rival in rivals])]
        for item in rivals
    ]


def _clash(path: str, sources: list[str]) -> UploaderError:
    named = sources[:_NAMED] if len(sources) > _NAMED + 1 else sources
    rest = [f"{len(sources) - _NAMED} more"] if len(named) < len(sources) else []
    *first, last = named + rest
    return UsageError(
        f"{', '.join(first)} and {last} would {'both' if len(sources) == 2 else 'all'} become {path}",
        remedy="Push one of them with another --name, or leave it out.",
    )


def plan(
    items: Sequence[Item], listings: Sequence[Listing], wishes: Wishes, *, root: str, free: Mapping[str, int]
) -> list[PlannedStep]:
    """Decides about every item. `root` is for the messages; `free` are the bytes left on the disk of each folder,
    which is not in it when the server does not tell."""
    pairs = list(zip(items, listings, strict=True))
    steps = [_decide(item, listing, wishes, root) for item, listing in pairs if not _stays(item, listing, wishes)]
    refused = {step.item.path for step in steps if step.error is not None}
    return _within([step for step in steps if step.item.beside not in refused], free)


def _stays(item: Item, listing: Listing, wishes: Wishes) -> bool:
    """What somebody has put beside a model is theirs, and no fault of the model."""
    return item.beside is not None and listing.final is not None and not wishes.replace


def _decide(item: Item, listing: Listing, wishes: Wishes, root: str) -> PlannedStep:
    if listing.error is not None:
        return _refused(item, listing.error)
    if (refusal := _missing_folders(item, listing, wishes, root)) is not None:
        return _refused(item, refusal)
    if listing.final_is_folder:
        return _refused(item, RemoteRefused(f"{item.path} is a folder on the server", remedy="Use another --name."))
    if listing.final is not None:
        return _beside(item, listing, listing.final, wishes)
    size = item.artifact.size or 0
    space = _space(item, listing)
    if listing.part is not None and listing.claimed:
        reason = f"goes on after {listing.claimed:,} bytes of an earlier run, once they are proven"
        return PlannedStep(item, Action.RESUME, reason, bytes=max(0, size - listing.claimed), space=space)
    made = f"; makes the folder {', '.join(listing.missing)}" if listing.missing else ""
    return PlannedStep(item, Action.SEND, f"is not there yet{made}", make=listing.missing, bytes=size, space=space)


def _beside(item: Item, listing: Listing, final: int, wishes: Wishes) -> PlannedStep:
    """Decides where the name is taken, by a file of `final` bytes."""
    size = item.artifact.size
    space = _space(item, listing)
    if size is None:
        reason = "a file of that name is there: their bytes are compared once this one is downloaded"
        return PlannedStep(item, Action.COMPARE, reason)
    if final == size:
        reason = "a file of that name and size is there: their bytes are compared"
        if not wishes.replace:
            return PlannedStep(item, Action.COMPARE, reason)
        return PlannedStep(item, Action.COMPARE, reason, bytes=size, space=space)
    if wishes.replace:
        reason = f"takes the place of a file of {final:,} bytes"
        return PlannedStep(item, Action.REPLACE, reason, bytes=size, space=space)
    return _refused(
        item,
        Exists(
            f"{item.path} exists already, with {final:,} bytes where this file has {size:,}",
            remedy="Give the new one another --name, or put it in the old one's place with --replace.",
        ),
    )


def _space(item: Item, listing: Listing) -> int:
    """What an earlier run left is built on or emptied, so its bytes are there to be used; the old file of the final
    name is there until the end."""
    return max(0, (item.artifact.size or 0) - (listing.part or 0))


def _missing_folders(item: Item, listing: Listing, wishes: Wishes, root: str) -> UploaderError | None:
    """A missing root "works" on a rented disk and vanishes with it, so it is not made unasked."""
    if not listing.missing or wishes.mkdir:
        return None
    if listing.missing[0] == "":
        return NoSuchRoot(
            f"the root {root} is not there",
            remedy="Is the instance started, and is --root right? `--mkdir` makes it, if you are sure.",
        )
    if listing.missing != (item.folder,):
        return NoSuchRoot(
            f"neither {item.folder} nor the folder above it is there below {root}",
            remedy="Is this the WebUI's own root, and is it that WebUI? `--mkdir` makes the folders, if you are sure.",
        )
    return None


def _within(steps: Sequence[PlannedStep], free: Mapping[str, int]) -> list[PlannedStep]:
    """Refuses what does not fit on its disk any more, in the order of the steps.

    Folders that tell the very same number of free bytes are taken for one disk, others for disks of their own: two
    disks hardly ever agree to the byte, and two folders of one disk do. Where a busy disk changes its number between
    two questions, more may be begun than fits, and the server then says so itself."""
    left = {number: number for number in free.values()}
    decided: list[PlannedStep] = []
    for step in steps:
        disk = free.get(step.item.folder)
        if step.error is not None or disk is None:
            decided.append(step)
        elif step.space > left[disk]:
            decided.append(_refused(step.item, _no_space(step, left[disk])))
        else:
            left[disk] -= step.space
            decided.append(step)
    return decided


def _no_space(step: PlannedStep, left: int) -> NoSpace:
    return NoSpace(
        f"{step.item.name} needs {step.space:,} bytes and the server's disk has {left:,} left",
        remedy="Remove a model you do not need there, or rent a larger disk.",
    )


def _refused(item: Item, error: UploaderError) -> PlannedStep:
    return PlannedStep(item, Action.REFUSE, error.message, error)
