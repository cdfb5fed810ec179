"""Items and their listings on the server → steps with reasons. Pure: no I/O, no clock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from uploader.result import Evidence
from uploader.state.manifest import PlacedFile
from uploader.steps import Action, Route, Step
from uploader.transfer import Verify
from uploader.transfer.config import TransferConfig

_NAMED = 4
"""Largest number of clashing sources that a message names."""

_STRONG = (Evidence.REMOTE_HASH, Evidence.READ_BACK)
"""Evidence of every byte."""


@dataclass(frozen=True)
class Item:
    """One artifact with its place.

    `path` is the final path, which begins with the target's root. `folder` is the model's folder below the root.
    `structure`: the artifact's own header covers exactly its bytes. `warnings` are sentences about how the WebUI will
    use it. `beside` is the path of the model, if this file is its sidecar. `here` is the reason why it must pass
    through this disk, or "". `way` is the reason for its route, where there was a choice.
    """

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
    """Whether the server can download by itself: with `downloader`, or not, for `reason`."""

    downloader: str | None
    reason: str = ""


@dataclass(frozen=True)
class RemoteListing:
    """What the server has of one item. Sizes are in bytes; None means that there is no file.

    `known` is the manifest's entry for the final name, if its size and mtime are still the recorded ones. `claimed`
    is the number of bytes in the part file according to the upload record. `missing` are the missing folders,
    outermost first, the root as ``""``. `job` is the server's own download of the part file: `running`, or `left`
    when it ended. `error` is the error that the server answered with.
    """

    final: int | None = None
    final_is_folder: bool = False
    known: PlacedFile | None = None
    part: int | None = None
    claimed: int = 0
    missing: tuple[str, ...] = ()
    job: Literal["running", "left"] | None = None
    error: UploaderError | None = None

    @property
    def is_empty(self) -> bool:
        """Return True if there is neither a final file nor a part file."""
        return self.final is None and self.part is None and self.error is None


@dataclass(frozen=True)
class PlanOptions:
    """What the user allows, and how strictly bytes are verified."""

    replace: bool = False
    mkdir: bool = False
    verify: Verify = "auto"


@dataclass(frozen=True, kw_only=True)
class PushStep(Step):
    """The action for one item.

    `make` are the folders to create first. `bytes` is the payload that may have to be sent. `space` is the disk space
    in bytes that it may need. `listing` is what the plan saw on the server.
    """

    item: Item
    listing: RemoteListing = field(default_factory=RemoteListing)
    make: tuple[str, ...] = ()
    bytes: int = 0
    space: int = 0

    @property
    def size(self) -> int | None:
        return self.item.artifact.size

    @property
    def source(self) -> str:
        return self.item.artifact.source

    @property
    def name(self) -> str:
        return self.item.name

    @property
    def route(self) -> Route:
        return self.item.route

    @property
    def payload(self) -> int:
        return self.bytes

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.item.warnings


def step_of(item: Item, action: Action, reason: str, error: UploaderError | None = None) -> PushStep:
    """Return the step of an item."""
    return PushStep(item.path, action, reason, item.path, error, item.kind, item=item)


def refused(item: Item, error: UploaderError) -> PushStep:
    """Return the step of an item that is not pushed."""
    return step_of(item, Action.REFUSE, error.message, error)


def choose_route(artifact: Artifact, wanted: str) -> Route:
    """Choose the route of an artifact without asking the server.

    `wanted` is `auto`, `local`, `relay` or `server`. Raises RouteUnavailable when the wanted route is impossible.
    """
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
                what = "relayed safely" if wanted == "relay" else "downloaded by the server by itself"
                raise RouteUnavailable(
                    f"{artifact.source} does not tell its size, so it cannot be {what}",
                    remedy="Use --via local: it is then downloaded to this disk first.",
                )
            if wanted == "auto":
                # A cut relay without ranges starts again on both sides; a download to disk spares the server's side.
                return Route.RELAY if ranges and artifact.size is not None else Route.LOCAL
            return Route(wanted)


def settle_route(item: Item, wanted: str, reach: Reach, *, whole: bool = False, alone: bool = False) -> Item:
    """Choose between the server's own download and this machine, by what the server can do.

    `whole`: all bytes must be verified, not only samples. `alone`: the download must continue after this program
    ends. Raises RouteUnavailable when the wanted route is impossible.
    """
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
    """Return the items that share a final name with another item, each with the error about that name."""
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
    items: Sequence[Item],
    listings: Sequence[RemoteListing],
    options: PlanOptions,
    *,
    root: str,
    free: Mapping[str, int],
) -> list[PushStep]:
    """Return a step for each item.

    `root` is for the messages. `free` maps each folder to the free bytes on its disk. A folder whose free space is
    unknown is not in it.
    """
    pairs = list(zip(items, listings, strict=True))
    steps = [_decide(item, listing, options, root) for item, listing in pairs if not _stays(item, listing, options)]
    failed = {step.path for step in steps if step.error is not None}
    return _within([step for step in steps if step.item.beside not in failed], free)


def _stays(item: Item, listing: RemoteListing, options: PlanOptions) -> bool:
    """Return True if another file already has the name of a sidecar. It is the user's, so it stays."""
    return item.beside is not None and listing.final is not None and not options.replace


def _decide(item: Item, listing: RemoteListing, options: PlanOptions, root: str) -> PushStep:
    if listing.error is not None:
        return refused(item, listing.error)
    if (refusal := _missing_folders(item, listing, options, root)) is not None:
        return refused(item, refusal)
    if listing.final_is_folder:
        return refused(item, RemoteRefused(f"{item.path} is a folder on the server", remedy="Use another --name."))
    step = replace(
        step_of(item, Action.SEND, ""),
        listing=listing,
        bytes=0 if item.route is Route.SERVER else item.artifact.size or 0,
        space=_space(item, listing),
    )
    if listing.final is not None:
        return _taken(step, listing.final, options)
    if item.route is Route.SERVER:
        return _downloaded(step)
    if listing.part is not None and listing.claimed:
        reason = f"goes on after {listing.claimed:,} bytes of an earlier run, once they are proven"
        return replace(step, action=Action.RESUME, reason=reason, bytes=max(0, step.bytes - listing.claimed))
    return replace(step, reason=_not_there(item, listing), make=listing.missing)


def _downloaded(step: PushStep) -> PushStep:
    """Return the step of a download by the server: it needs no payload from this machine."""
    item, listing = step.item, step.listing
    resumed = replace(step, action=Action.RESUME)
    if listing.job == "running":
        return replace(resumed, reason="the server is downloading it already: this run joins in", space=0)
    if listing.job == "left" and listing.part == item.artifact.size:
        return replace(resumed, reason="the server has downloaded it: it is proven and gets its name", space=0)
    if listing.job == "left" and listing.part:
        reason = f"the server goes on after {listing.part:,} bytes of a download that ended; {item.way}"
        return replace(resumed, reason=reason)
    return replace(step, reason=_not_there(item, listing), make=listing.missing)


def _not_there(item: Item, listing: RemoteListing) -> str:
    made = f"; makes the folder {', '.join(listing.missing)}" if listing.missing else ""
    return f"is not there yet{made}" + (f"; {item.way}" if item.way else "")


def _taken(step: PushStep, final: int, options: PlanOptions) -> PushStep:
    """Return the step of an item whose final name is taken by a file of `final` bytes."""
    item, size = step.item, step.size
    if size is None:
        reason = "a file of that name is there: their bytes are compared once this one is downloaded"
        return replace(step, action=Action.COMPARE, reason=reason, space=0)
    if final == size:
        if _is_unchanged(item, step.listing.known, options):
            reason = "size and time are the same here and there since it was placed"
            return replace(step, action=Action.KEEP, reason=reason, bytes=0, space=0)
        reason = "a file of that name and size is there: their bytes are compared"
        if not options.replace:
            return replace(step, action=Action.COMPARE, reason=reason, bytes=0, space=0)
        return replace(step, action=Action.COMPARE, reason=reason)
    if options.replace:
        reason = f"takes the place of a file of {final:,} bytes" + (f"; {item.way}" if item.way else "")
        return replace(step, action=Action.REPLACE, reason=reason)
    return refused(
        item,
        Exists(
            f"{item.path} exists already, with {final:,} bytes where this file has {size:,}",
            remedy="Give the new one another --name, or put it in the old one's place with --replace.",
        ),
    )


def _is_unchanged(item: Item, known: PlacedFile | None, options: PlanOptions) -> bool:
    """Return True if the manifest proves that the server's file has these bytes.

    Neither file may have changed since the proof. An unknown mtime proves nothing. Samples are proof enough where a
    push of today would take no more.
    """
    sampled = options.verify == "samples" or (item.artifact.size or 0) > TransferConfig.read_back_bytes
    strong = (*_STRONG, Evidence.SAMPLES) if sampled else _STRONG
    origin, promised = item.artifact.origin, item.artifact.digest
    return (
        known is not None
        and isinstance(origin, LocalFile)
        and options.verify != "full"
        and known.seen is not None
        and known.sha256 is not None
        and known.evidence in strong
        and (known.origin, known.size, known.mtime_ns) == (str(origin.path), item.artifact.size, origin.mtime_ns)
        and (promised is None or promised.hex == known.sha256)
    )


def _space(item: Item, listing: RemoteListing) -> int:
    """Return the disk space in bytes that the item may need.

    The part file of an earlier run is resumed or emptied, so its bytes count as free. The old file at the final name
    stays until the end.
    """
    return max(0, (item.artifact.size or 0) - (listing.part or 0))


def _missing_folders(item: Item, listing: RemoteListing, options: PlanOptions, root: str) -> UploaderError | None:
    """Return the error for missing folders that push must not create.

    Push creates no root unasked: when the rented disk is not mounted, such a root would be lost with the machine.
    """
    if not listing.missing or options.mkdir:
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


def _within(steps: Sequence[PushStep], free: Mapping[str, int]) -> list[PushStep]:
    """Refuse the steps that do not fit on their disk, in the order of the steps.

    Folders with exactly the same number of free bytes count as one disk. A busy disk may change its number between
    two requests. Then push may start more than fits, and the server refuses the write.
    """
    left = {number: number for number in free.values()}
    decided: list[PushStep] = []
    for step in steps:
        disk = free.get(step.item.folder)
        if step.error is not None or disk is None:
            decided.append(step)
        elif step.space > left[disk]:
            decided.append(refused(step.item, _no_space(step, left[disk])))
        else:
            left[disk] -= step.space
            decided.append(step)
    return decided


def _no_space(step: PushStep, left: int) -> NoSpace:
    return NoSpace(
        f"{step.name} needs {step.space:,} bytes and the server's disk has {left:,} left",
        remedy="Remove a model you do not need there, or rent a larger disk.",
    )
