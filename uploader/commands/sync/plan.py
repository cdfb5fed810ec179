"""Looks at both sides of a sync and decides: what the local folder holds, what the server has, what is to be done."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from uploader.commands.sync.compare import answer
from uploader.commands.sync.decide import WORTH_COPYING, Action, SyncStep, decide, questions
from uploader.commands.sync.request import SyncPlan, SyncRequest
from uploader.commands.sync.sort_by_kind import Sorted, sort_by_kind
from uploader.commands.sync.state import Place, SyncOptions, SyncState
from uploader.errors import NoSuchRoot
from uploader.remote.interface import Connection, Entry
from uploader.scan.filters import Filters
from uploader.scan.local import scan
from uploader.scan.remote import is_insensitive, list_tree
from uploader.scan.tree import LocalEntry, LocalTree, RemoteEntry, RemoteTree, clashing, folded
from uploader.state.manifest import Manifest
from uploader.transfer import TransferContext


def make_plan(
    request: SyncRequest,
    place: Place,
    context: TransferContext,
    manifest: Manifest,
    *,
    growing: Callable[[LocalEntry], bool] | None = None,
    say: Callable[[str], None] = lambda _text: None,
) -> SyncPlan:
    """Returns the plan. Raises what makes a side impossible to look at; what is wrong with single files is in it."""
    folder = Path(request.folder).absolute()
    filters = Filters(request.include, request.exclude)
    tree = scan(folder, filters, growing=growing)
    found = Sorted(tree) if place.into is not None else sort_by_kind(tree, folder, place)
    if found.tree.others:
        say(f"{len(found.tree.others)} file(s) of {folder} are no models, and are left out")
    wishes = SyncOptions(
        replace=request.replace,
        checksum=request.checksum,
        delete=request.delete,
        trash=request.trash,
        max_delete=request.max_delete,
    )

    scene = context.with_connection(partial(_scene, place, folder, filters, found, manifest))
    asked = questions(scene, wishes)
    if keys := [*asked.hash, *asked.compare]:
        size = sum(found.tree.files[key].size for key in keys)
        say(f"reading {len(keys)} file(s) here, {size:,} bytes, to know what they are")
    answers = answer(scene, asked, context, folder)
    steps = decide(scene, wishes, answers)
    if growing is not None and not tree.complete:  # what still grows is no reason to complain, nor to delete
        steps = [step for step in steps if not (step.action is Action.REFUSE and step.here is None and step.there)]
    root = context.with_connection(lambda connection: connection.files.resolve(place.root))
    return SyncPlan(place.target, root, str(folder), tuple(steps), found.kinds)


def _scene(
    place: Place, folder: Path, filters: Filters, found: Sorted, manifest: Manifest, connection: Connection
) -> SyncState:
    """Looks at the server's side. Raises NoSuchRoot."""
    root = connection.files.resolve(place.root)
    base = posixpath.join(root, place.into) if place.into else root
    # Sorted by kind, the names on the server are not the names that the rules are about.
    rules = filters if place.into is not None else Filters()
    concerned = _concerned(base, found.tree, manifest)
    there = list_tree(connection, base, rules, found.starts, concerns=lambda folder: folded(folder) in concerned)
    there.insensitive = _tells_no_case(connection, root, found.tree, there)
    if (place.into is None or not there.exists) and connection.files.stat(root) is None:
        raise NoSuchRoot(
            f"the root {place.root} is not there", remedy="Is the instance started, and is its root right?"
        )
    manifest.settle(base, {posixpath.join(base, file.path): (file.size, file.mtime) for file in there.files.values()})
    scene = SyncState(base, str(folder), found.tree, there, manifest.files, takes=filters.takes)
    # The server may take long to tell its abilities: it is asked only where a file is missing that it may copy.
    missing = any(file.size >= WORTH_COPYING and key not in there.files for key, file in found.tree.files.items())
    copies = missing and connection.abilities.server_copy
    return replace(scene, elsewhere=_elsewhere(connection, root, scene), duplicates=copies)


def _concerned(base: str, local: LocalTree, manifest: Manifest) -> set[str]:
    """The folders below `base` that matter, as a server sees them that does not tell `A` from `a`: those that the local
    tree has, and those that something was placed in. What else a WebUI keeps there need not be looked through."""
    lead = f"{base.rstrip('/')}/"
    placed = (path.removeprefix(lead) for path in (*manifest.files, *manifest.intended) if path.startswith(lead))
    found: set[str] = set()
    for key in (*local.files, *placed):
        folder = key.rpartition("/")[0]
        while folder and folded(folder) not in found:
            found.add(folded(folder))
            folder = folder.rpartition("/")[0]
    return found


def _tells_no_case(connection: Connection, root: str, local: LocalTree, there: RemoteTree) -> bool:
    """Asks only where it matters: names here that differ by case alone, or a name there that does from one here."""
    by_fold = {folded(key) for key in there.files} | {folded(key) for key in there.folders}
    differs = any(key not in there.files and folded(key) in by_fold and key not in there.folders for key in local.files)
    return (differs or bool(clashing(local.files))) and is_insensitive(connection, root)


def _elsewhere(connection: Connection, root: str, scene: SyncState) -> dict[str, RemoteEntry]:
    """Files that the manifest knows outside of the listing and that may be what is missing."""
    sizes = {here.size for key, here in scene.local.files.items() if scene.there(key) is None}
    listed = {posixpath.join(scene.base, there.path) for there in scene.remote.files.values()}
    paths = [
        path
        for path, known in scene.known.items()
        if known.size in sizes and known.sha256 and path not in listed and path.startswith(f"{root.rstrip('/')}/")
    ]
    found = connection.files.stat_all(paths) if paths else []
    return {
        path: RemoteEntry(path, entry.size, entry.mtime)
        for path, entry in zip(paths, found, strict=True)
        if isinstance(entry, Entry) and not entry.is_folder
    }


def source_of(step: SyncStep, folder: str) -> str:
    """What a step's outcome calls its source: the local file, else the name on the server."""
    return str(Path(folder) / step.here.path) if step.here else step.key
