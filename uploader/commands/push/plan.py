"""Listing + wishes -> steps with reasons. No I/O, no clock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

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
from uploader.steps import Action, Route

_NAMED = 4
"""Sources that a message names, of those that want one name."""


@dataclass(frozen=True)
class Item:
    """One artifact with its place. `path` is below the target's root; `folder` the model's folder,
    below the root too; `structure`: the artifact's own header covers exactly its bytes; `warnings` are sentences on
    what the WebUI will make of it. `beside`: the path of the model that this is a sidecar of. `here`: why it has to
    pass through this disk whatever the server can, "" where it need not; `way` says why it travels by its route, where
    there was a choice."""

    artifact: Artifact
    kind: Kind
    name: str
    route: Route
    path: str
    folder: str
    structure: bool = False
    warnings: tuple[str, ...] = ()
    beside: str | None = None
    here: str = ""
    way: str = ""


@dataclass(frozen=True)
class Reach:
    """The server's own download: with `downloader`, or not, for that `reason`."""

    downloader: str | None
    reason: str = ""


@dataclass(frozen=True)
class RemoteListing:
    """What the server holds of the things that matter to one item. Sizes in bytes, None where nothing is.

    `claimed` is what the upload record says of the part file. `missing` are the folders that are not there, outermost
    first, the root as ``""``. `job` is what a download of the server's own is doing to the part: it is `running`, or
    was `left`. `error` is what the server said instead of all that."""

    final: int | None = None
    final_is_folder: bool = False
    part: int | None = None
    claimed: int = 0
    missing: tuple[str, ...] = ()
    job: Literal["running", "left"] | None = None
    error: UploaderError | None = None


@dataclass(frozen=True)
class PlanOptions:
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
    """Decides how an artifact travels, as far as the server need not be asked. `wanted` is `auto`, `local`, `relay` or
    `server`. Raises RouteUnavailable."""
    match artifact.origin:
        case LocalFile():
            if wanted in ("relay", "server"):
                what = "nothing to relay" if wanted == "relay" else "nothing that a server could download"
                raise RouteUnavailable(
                    f"{artifact.source} is a file of this machine: there is {what}", remedy="Leave --via out."
                )
            return Route.LOCAL
        case WebFile(ranges=ranges):
            if wanted in ("relay", "server") and artifact.size is None:
                what = "relayed safely" if wanted == "relay" else "downloaded by a server that nobody watches"
                raise RouteUnavailable(
                    f"{artifact.source} does not tell its size, so it cannot be {what}",
                    remedy="Use --via local: it is then downloaded to this disk first.",
                )
            if wanted == "auto":
                # Without ranges a cut relay begins anew on both sides; a download to disk is at least whole once.
                return Route.RELAY if ranges and artifact.size is not None else Route.LOCAL
            return Route(wanted)


def settle_route(item: Item, wanted: str, reach: Reach, *, whole: bool = False, alone: bool = False) -> Item:
    """Decides between the server's own download and this machine, once it is known what the server can do.

    `whole`: all bytes must be proven, not only some. `alone`: it shall go on when nobody waits. Raises
    RouteUnavailable for what was asked for and cannot be."""
    size = item.artifact.size
    if isinstance(item.artifact.origin, LocalFile) or wanted in ("local", "relay") or size is None or item.here:
        if alone:
            raise RouteUnavailable(
                f"{item.artifact.source} travels by way of this machine, which has to stay for that",
                remedy="Leave --detach out.",
            )
        return replace(item, way=f"by way of this disk: {item.here}") if item.here else item
    reason = reach.reason if reach.downloader is None else ""
    if not reason and whole and item.artifact.digest is None:
        reason = "no sha256 of it is known, and --verify full wants all of it proven"
    if not reason:
        return replace(item, route=Route.SERVER, way=f"the server downloads it by itself with {reach.downloader}")
    if wanted == "server" or alone:
        remedy = "Leave --detach out." if alone else "Leave --via out: it then travels by way of this machine."
        raise RouteUnavailable(f"the server cannot download {item.name} by itself: {reason}", remedy=remedy)
    return replace(item, way=f"by way of this machine, as the server cannot download it by itself: {reason}")


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


def make_plan(
    items: Sequence[Item], listings: Sequence[RemoteListing], wishes: PlanOptions, *, root: str, free: Mapping[str, int]
) -> list[PlannedStep]:
    """Decides about every item. `root` is for the messages; `free` are the bytes left on the disk of each folder,
    which is not in it when the server does not tell."""
    pairs = list(zip(items, listings, strict=True))
    steps = [_decide(item, listing, wishes, root) for item, listing in pairs if not _stays(item, listing, wishes)]
    refused = {step.item.path for step in steps if step.error is not None}
    return _within([step for step in steps if step.item.beside not in refused], free)


def _stays(item: Item, listing: RemoteListing, wishes: PlanOptions) -> bool:
    """What somebody has put beside a model is theirs, and no fault of the model."""
    return item.beside is not None and listing.final is not None and not wishes.replace


def _decide(item: Item, listing: RemoteListing, wishes: PlanOptions, root: str) -> PlannedStep:
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
    if item.route is Route.SERVER:
        return _fetched(item, listing, space)
    if listing.part is not None and listing.claimed:
        reason = f"goes on after {listing.claimed:,} bytes of an earlier run, once they are proven"
        return PlannedStep(item, Action.RESUME, reason, bytes=max(0, size - listing.claimed), space=space)
    return PlannedStep(item, Action.SEND, _not_there(item, listing), make=listing.missing, bytes=size, space=space)


def _fetched(item: Item, listing: RemoteListing, space: int) -> PlannedStep:
    """Decides about what the server downloads: no payload leaves this machine for it."""
    if listing.job == "running":
        return PlannedStep(item, Action.RESUME, "the server is downloading it already: this run joins in", space=0)
    if listing.job == "left" and listing.part == item.artifact.size:
        return PlannedStep(item, Action.RESUME, "the server has downloaded it: it is proven and gets its name", space=0)
    if listing.job == "left" and listing.part:
        reason = f"the server goes on after {listing.part:,} bytes of a download that ended"
        return PlannedStep(item, Action.RESUME, f"{reason}; {item.way}", space=space)
    return PlannedStep(item, Action.SEND, _not_there(item, listing), make=listing.missing, space=space)


def _not_there(item: Item, listing: RemoteListing) -> str:
    made = f"; makes the folder {', '.join(listing.missing)}" if listing.missing else ""
    return f"is not there yet{made}" + (f"; {item.way}" if item.way else "")


def _beside(item: Item, listing: RemoteListing, final: int, wishes: PlanOptions) -> PlannedStep:
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
        sent = 0 if item.route is Route.SERVER else size
        return PlannedStep(item, Action.COMPARE, reason, bytes=sent, space=space)
    if wishes.replace:
        reason = f"takes the place of a file of {final:,} bytes" + (f"; {item.way}" if item.way else "")
        sent = 0 if item.route is Route.SERVER else size
        return PlannedStep(item, Action.REPLACE, reason, bytes=sent, space=space)
    return _refused(
        item,
        Exists(
            f"{item.path} exists already, with {final:,} bytes where this file has {size:,}",
            remedy="Give the new one another --name, or put it in the old one's place with --replace.",
        ),
    )


def _space(item: Item, listing: RemoteListing) -> int:
    """What an earlier run left is built on or emptied, so its bytes are there to be used; the old file of the final
    name is there until the end."""
    return max(0, (item.artifact.size or 0) - (listing.part or 0))


def _missing_folders(item: Item, listing: RemoteListing, wishes: PlanOptions, root: str) -> UploaderError | None:
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
