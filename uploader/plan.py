"""Listing + wishes -> steps with reasons. No I/O, no clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
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


class Route(StrEnum):
    """How the bytes travel: from this disk, or through this machine's memory alone."""

    LOCAL = "local"
    RELAY = "relay"


class Action(StrEnum):
    """What a step will do. `compare`: the name is there with the same size, its bytes decide."""

    SEND = "send"
    RESUME = "resume"
    COMPARE = "compare"
    REPLACE = "replace"
    REFUSE = "refuse"


@dataclass(frozen=True)
class Item:
    """One artifact with its place. `path` is below the target's root; `folders` from the root to the model's
    folder, each below the root; `structure`: the artifact's own header covers exactly its bytes."""

    artifact: Artifact
    kind: Kind
    name: str
    route: Route
    path: str
    folder: str
    structure: bool = False


@dataclass(frozen=True)
class Listing:
    """What the server holds of the things that matter to one item. Sizes in bytes, None where nothing is.

    `claimed` is what the journal says of the part file. `missing` are the folders that are not there, outermost
    first, the root as ``""``."""

    final: int | None = None
    final_is_folder: bool = False
    part: int | None = None
    claimed: int = 0
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wishes:
    """What the user allows."""

    replace: bool = False
    mkdir: bool = False


@dataclass(frozen=True)
class PlannedStep:
    """What will be done with one item, and why. `error` is what a refused one fails with; `make` are the folders
    to be made first; `bytes` the payload that may have to be sent."""

    item: Item
    action: Action
    reason: str
    error: UploaderError | None = None
    make: tuple[str, ...] = ()
    bytes: int = 0


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


def clashes(items: Iterable[Item]) -> list[UploaderError]:
    """Two sources for one final name."""
    counts = Counter(item.path for item in items)
    return [
        UsageError(
            f"{count} sources would all become {path}", remedy="Push one of them with another --name, or leave it out."
        )
        for path, count in counts.items()
        if count > 1
    ]


def plan(
    items: Sequence[Item], listings: Sequence[Listing], wishes: Wishes, *, root: str, free: int | None
) -> list[PlannedStep]:
    """Decides about every item. `root` is for the messages; `free` are the bytes left on the server's disk."""
    steps = [_decide(item, listing, wishes, root) for item, listing in zip(items, listings, strict=True)]
    return steps if free is None else _within(steps, free)


def _decide(item: Item, listing: Listing, wishes: Wishes, root: str) -> PlannedStep:
    if (refusal := _missing_folders(item, listing, wishes, root)) is not None:
        return _refused(item, refusal)
    if listing.final_is_folder:
        return _refused(item, RemoteRefused(f"{item.path} is a folder on the server", remedy="Use another --name."))
    size = item.artifact.size or 0
    if listing.final is not None:
        if listing.final == item.artifact.size:
            reason = "a file of that name and size is there: their bytes are compared"
            return PlannedStep(item, Action.COMPARE, reason, bytes=size if wishes.replace else 0)
        if not wishes.replace:
            return _refused(
                item,
                Exists(
                    f"{item.path} exists already, with {listing.final:,} bytes"
                    + (f" where this file has {size:,}" if size else ""),
                    remedy="Give the new one another --name, or put it in the old one's place with --replace.",
                ),
            )
        return PlannedStep(item, Action.REPLACE, f"takes the place of a file of {listing.final:,} bytes", bytes=size)
    if listing.part is not None and listing.claimed:
        reason = f"goes on after {listing.claimed:,} bytes of an earlier run, once they are proven"
        return PlannedStep(item, Action.RESUME, reason, bytes=max(0, size - listing.claimed))
    made = f"; makes the folder {', '.join(listing.missing)}" if listing.missing else ""
    return PlannedStep(item, Action.SEND, f"is not there yet{made}", make=listing.missing, bytes=size)


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


def _within(steps: Sequence[PlannedStep], free: int) -> list[PlannedStep]:
    """Refuses what does not fit on the disk any more, in the order of the steps."""
    left = free
    decided: list[PlannedStep] = []
    for step in steps:
        if step.error is None and step.bytes > left:
            error = NoSpace(
                f"{step.item.name} needs {step.bytes:,} bytes and the server's disk has {left:,} left",
                remedy="Remove a model you do not need there, or rent a larger disk.",
            )
            decided.append(replace(step, action=Action.REFUSE, reason=error.message, error=error))
            continue
        left -= step.bytes
        decided.append(step)
    return decided


def _refused(item: Item, error: UploaderError) -> PlannedStep:
    return PlannedStep(item, Action.REFUSE, error.message, error)
