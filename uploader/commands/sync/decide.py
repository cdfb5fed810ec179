"""The decision of a sync: from two trees and the manifest to steps with reasons. Pure: no I/O, no clock."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from uploader.commands.sync.state import SyncOptions, SyncState
from uploader.errors import DeletionRefused, Exists, RemoteRefused, UsageError
from uploader.result import Evidence
from uploader.scan.tree import LocalEntry, RemoteEntry, clashing, spelling
from uploader.state.manifest import PlacedFile
from uploader.steps import Action, Route, Step

MOST_DELETED = 10
"""Files that one sync may delete by default."""

WORTH_COPYING = 64 * 1024
"""Size in bytes from which a copy on the server is faster than sending the file."""


@dataclass(frozen=True, kw_only=True)
class SyncStep(Step):
    """What will be done with one file. `path` is absolute, on the server.

    `here` and `there` are the file on both sides. `origin` is the server's path that a copy or a move takes the bytes
    from. `sha256` (hex) is that of the content, if it is known. `evidence` says why a kept file counts as the same.
    """

    here: LocalEntry | None = None
    there: RemoteEntry | None = None
    origin: str | None = None
    sha256: str | None = None
    evidence: Evidence | None = None

    @property
    def file(self) -> LocalEntry:
        """The local file. Raises TypeError for a step that has none."""
        if self.here is None:
            raise TypeError(f"the step {self.action} of {self.key} has no local file")
        return self.here

    @property
    def size(self) -> int:
        return self.here.size if self.here else self.there.size if self.there else 0

    @property
    def source(self) -> str | None:
        return self.here.path if self.here else None

    @property
    def route(self) -> Route:
        sent = self.action in (Action.SEND, Action.REPLACE, Action.KEEP)
        return Route.LOCAL if sent else Route.SERVER

    @property
    def payload(self) -> int:
        return self.size if self.action in (Action.SEND, Action.REPLACE) else 0


@dataclass
class Questions:
    """What the decision still needs: keys to compare on both sides, and keys whose local bytes to hash."""

    compare: list[str] = field(default_factory=list)
    hash: list[str] = field(default_factory=list)


@dataclass
class Answers:
    """The answers by key: how the bytes are known to be the same, None where they differ, and the local sha256 (hex).

    A file that could not be read is not in them.
    """

    same: dict[str, Evidence | None] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)


def questions(state: SyncState, options: SyncOptions) -> Questions:
    """Return the questions that the two trees alone do not answer."""
    found = Questions()
    sizes = {known.size for _, known in _sources(state)}
    for key, here in state.local.files.items():
        there = state.there(key)
        if there is None:
            if here.size in sizes:
                found.hash.append(key)
        elif there.size == here.size and here.size and (options.checksum or not _looks_same(state, here, there)):
            known = state.of_manifest(there)
            if known is not None and known.sha256 is not None and not options.checksum:
                found.hash.append(key)
            else:
                found.compare.append(key)
    return found


def decide(state: SyncState, options: SyncOptions, answers: Answers) -> list[SyncStep]:
    """Return a step for each file on either side that concerns this sync, in the order of their keys."""
    steps = [_refused(state, refused.path, refused.reason) for refused in state.local.refused]
    clashes = clashing(state.local.files) if state.remote.insensitive else {}
    clashed = {key: group for group in clashes.values() for key in group}
    for key, here in state.local.files.items():
        if key in clashed:
            names = " and ".join(sorted(clashed[key]))
            steps.append(_refused(state, key, f"the server takes {names} for one name"))
        else:
            steps.append(_one(state, options, answers, key, here))
    gone = _gone(state)
    steps = _moved(state, steps, gone, answers)
    if options.delete:
        steps += _deletions(state, options, gone)
    return sorted(steps, key=lambda step: step.key)


def _one(state: SyncState, options: SyncOptions, answers: Answers, key: str, here: LocalEntry) -> SyncStep:
    step = SyncStep(key, Action.SEND, "it is not there yet", state.path(key), here=here, sha256=answers.sha256.get(key))
    if state.folder_there(key):
        return _refused(state, key, "a folder of that name is there", here)
    if (blocked := _blocked(state, key)) is not None:
        return _refused(state, key, f"a file is where its folder should be: {blocked}", here)
    there = state.there(key)
    if there is None:
        return step
    step = replace(step, there=there)
    if here.size == there.size:
        if not here.size:
            return replace(step, action=Action.KEEP, reason="both are empty", evidence=Evidence.SIZE)
        if not options.checksum and _looks_same(state, here, there):
            return replace(step, action=Action.KEEP, reason="size and time are the same", evidence=Evidence.SIZE)
        if (evidence := _same(state, answers, key, there)) is not None:
            return replace(step, action=Action.KEEP, reason="the bytes are the same", evidence=evidence)
    return _overwriting(state, options, step, there)


def _looks_same(state: SyncState, here: LocalEntry, there: RemoteEntry) -> bool:
    known = state.of_manifest(there)
    if known is not None and known.mtime_ns is not None:
        return known.mtime_ns == here.mtime_ns
    return there.mtime == here.mtime


def _same(state: SyncState, answers: Answers, key: str, there: RemoteEntry) -> Evidence | None:
    if key in answers.same:
        return answers.same[key]
    known = state.of_manifest(there)
    same = known is not None and known.sha256 is not None and known.sha256 == answers.sha256.get(key)
    return Evidence.SIZE if same else None  # size and time show that the server's file is still the placed one


def _overwriting(state: SyncState, options: SyncOptions, step: SyncStep, there: RemoteEntry) -> SyncStep:
    """Decide about a file whose bytes on the server differ."""
    known = state.of_manifest(there)
    if known is not None and known.placed and known.seen is not None:
        return replace(step, action=Action.REPLACE, reason="it was changed here since it was placed")
    if options.replace:
        return replace(step, action=Action.REPLACE, reason="other bytes are there, and --replace was said")
    error = Exists(
        f"{step.path} is not known to be what was placed from here, and its bytes are others",
        remedy="Fetch it with `uploader pull`, or put the file here in its place with --replace.",
    )
    return replace(step, action=Action.REFUSE, reason=error.message, error=error)


def _blocked(state: SyncState, key: str) -> str | None:
    """Return the key of a server's file that has the name of a folder above `key`."""
    folder = key.rpartition("/")[0]
    while folder:
        if state.there(folder) is not None:
            return folder
        folder = folder.rpartition("/")[0]
    return None


# moving and copying -----------------------------------------------------------------------------------


def _sources(state: SyncState) -> Iterator[tuple[str, PlacedFile]]:
    """Yield the server's files that can be copied or moved: those with a known sha256 that did not change."""
    for there in state.remote.files.values():
        known = state.of_manifest(there)
        if known is not None and known.sha256 and known.size:
            yield posixpath.join(state.base, there.path), known
    for path, there in state.elsewhere.items():
        known = state.known.get(path)
        if known is not None and known.sha256 and known.size and known.is_still(there.size, there.mtime):
            yield path, known


def _gone(state: SyncState) -> dict[str, tuple[str, RemoteEntry]]:
    """Return what this program placed from here and the folder no longer has, as absolute path → key and file.

    A file is not gone while the file that it came from is here, also under another key.
    """
    wanted = {state.path(key) for key in state.local.files}
    still = {spelling(here.path) for here in state.local.files.values()} | state.local.others
    refused = [spelling(refused.path) for refused in state.local.refused]
    found: dict[str, tuple[str, RemoteEntry]] = {}
    for key, there in state.remote.files.items():
        path = posixpath.join(state.base, there.path)
        known = state.of_manifest(there)
        if path in wanted or known is None or not state.is_ours(known):
            continue
        origin = spelling(state.origin(known) or "")
        if origin in still:
            continue
        if not any(name in ("", origin) or origin.startswith(f"{name}/") for name in refused):
            found[path] = (key, there)
    return found


def _moved(
    state: SyncState, steps: list[SyncStep], gone: dict[str, tuple[str, RemoteEntry]], answers: Answers
) -> list[SyncStep]:
    """Replace sends by moves and copies when the server has the bytes. Remove the moved files from `gone`.

    Nothing is moved when the local folder could not be read completely: the file may still be there.
    """
    by_content: dict[tuple[int, str], list[str]] = defaultdict(list)
    for path, known in _sources(state):
        by_content[known.size, known.sha256 or ""].append(path)
    decided: list[SyncStep] = []
    for step in steps:
        sha256 = answers.sha256.get(step.key)
        found = by_content.get((step.size, sha256)) if sha256 and step.action is Action.SEND else None
        if not found:
            decided.append(step)
            continue
        free = next((path for path in found if path in gone), None) if state.local.complete else None
        if free is not None:
            old, _ = gone.pop(free)
            found.remove(free)
            reason = f"it is there as {old}, which is not here any more"
            decided.append(replace(step, action=Action.MOVE, origin=free, reason=reason))
        elif state.duplicates and step.size >= WORTH_COPYING and found[0] not in gone:
            decided.append(
                replace(step, action=Action.COPY, origin=found[0], reason=f"the same bytes are there as {found[0]}")
            )
        else:
            decided.append(step)
    return decided


# deleting ---------------------------------------------------------------------------------------------


def _deletions(state: SyncState, options: SyncOptions, gone: Mapping[str, tuple[str, RemoteEntry]]) -> list[SyncStep]:
    action = Action.TRASH if options.trash else Action.DELETE
    reason = "it was placed from here and is not here any more"
    steps = [SyncStep(key, action, reason, path, there=there) for path, (key, there) in gone.items()]
    error = _too_many(state, options, len(steps)) if steps else None
    if error is None:
        return steps
    return [replace(step, action=Action.REFUSE, reason=error.message, error=error) for step in steps]


def _too_many(state: SyncState, options: SyncOptions, count: int) -> DeletionRefused | None:
    if not state.local.files:
        return DeletionRefused(
            f"{state.folder} holds no file: nothing is deleted for an empty folder",
            remedy="Is its disk there? Remove files with `uploader rm`.",
        )
    if not state.local.complete:
        return DeletionRefused(
            f"not all of {state.folder} could be read: nothing is deleted, as it is not known what is gone",
            remedy="Make it readable, or exclude what cannot be read.",
        )
    most = MOST_DELETED if options.max_delete is None else options.max_delete
    remedy = f"Look at them with --dry-run; `--max-delete {count}` allows them."
    if count > most:
        return DeletionRefused(f"{count} files would be deleted, and {most} are allowed: none is", remedy=remedy)
    ours = sum(
        1
        for there in state.remote.files.values()
        if (known := state.of_manifest(there)) is not None and state.is_ours(known)
    )
    if options.max_delete is None and count * 2 > ours:
        return DeletionRefused(
            f"{count} of the {ours} files that were placed from here would be deleted, more than half: none is",
            remedy=remedy,
        )
    return None


# refusing ---------------------------------------------------------------------------------------------


def _refused(state: SyncState, key: str, reason: str, here: LocalEntry | None = None) -> SyncStep:
    kind = RemoteRefused if here is not None else UsageError
    error = kind(f"{key} is not sent: {reason}", remedy="Rename it, or leave it out with --exclude.")
    return SyncStep(key, Action.REFUSE, error.message, posixpath.join(state.base, key), error, here=here)
