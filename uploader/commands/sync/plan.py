"""The plan of a sync: list both sides, and decide what to do."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from uploader.commands.sync.compare import answer
from uploader.commands.sync.decide import WORTH_COPYING, SyncStep, decide, questions
from uploader.commands.sync.request import SyncRequest
from uploader.commands.sync.sort_by_kind import Sorted, sort_by_kind
from uploader.commands.sync.state import Place, SyncOptions, SyncState
from uploader.errors import NoSuchRoot, UsageError
from uploader.events import Message
from uploader.placement import folder_fault, model_extension
from uploader.remote.interface import Connection, Entry
from uploader.scan.filters import Filters
from uploader.scan.local import scan
from uploader.scan.remote import is_insensitive, list_tree
from uploader.scan.tree import LocalEntry, LocalTree, RemoteEntry, RemoteTree, clashing, folded
from uploader.session.session import Session
from uploader.session.target import TargetSession
from uploader.state.manifest import Manifest
from uploader.steps import Action, Plan


def choose_place(request: SyncRequest, target: TargetSession) -> Place:
    """Decide where a sync goes.

    A folder with models may be a tree to mirror or a collection to sort. Then the user is asked. Raises UsageError when
    there is no user to ask, or when the user says no.
    """
    into = None if request.by_kind else request.into
    if into is not None:
        into = into.strip("/")
        if into and (fault := folder_fault(into)) is not None:
            raise UsageError(f"--into {request.into}: {fault}", remedy="Give a folder below the target's root.")
    elif not request.by_kind and not _sorts_by_kind(request.folder, target.session):
        into = ""
    return Place(target.target.root, into, target.webui, target.folders)


def _sorts_by_kind(folder: str, session: Session) -> bool:
    """Return True if a folder has models at its top and the user wants them sorted. Raises UsageError for a no."""
    try:
        models = [entry.name for entry in Path(folder).iterdir() if entry.is_file() and model_extension(entry.name)]
    except OSError:
        return False  # the scan reports the error
    if not models:
        return False
    remedy = "Give --by-kind to sort them into the WebUI's folders, or --into SUBFOLDER to mirror the folder there."
    if session.prompter is None:
        raise UsageError(f"{folder} holds models: are they to be sorted by kind?", remedy=remedy)
    session.prompter.show(f"{folder} holds models ({models[0]} …).")
    if not session.prompter.confirm("Sort them into the WebUI's folders by what they are?"):
        raise UsageError(f"nothing was done with {folder}", remedy=remedy)
    return True


def make_plan(
    request: SyncRequest,
    place: Place,
    target: TargetSession,
    *,
    growing: Callable[[LocalEntry], bool] | None = None,
) -> Plan[SyncStep]:
    """Scan both sides, answer the open questions, and decide. The errors of single files are in the plan.

    Raises UploaderError when one side cannot be listed at all.
    """

    def say(text: str) -> None:
        target.session.observer(Message(text, "info"))

    folder = Path(request.folder).absolute()
    filters = Filters(request.include, request.exclude)
    tree = scan(folder, filters, growing=growing)
    found = Sorted(tree) if place.into is not None else sort_by_kind(tree, folder, place)
    if found.tree.others:
        say(f"{len(found.tree.others)} file(s) of {folder} are no models, and are left out")
    options = SyncOptions(
        replace=request.replace,
        checksum=request.checksum,
        delete=request.delete,
        trash=request.trash,
        max_delete=request.max_delete,
    )
    state = target.with_connection(partial(_list_remote, place, folder, filters, found, target.manifest))
    open_questions = questions(state, options)
    if keys := [*open_questions.hash, *open_questions.compare]:
        size = sum(found.tree.files[key].size for key in keys)
        say(f"reading {len(keys)} file(s) here, {size:,} bytes, to know what they are")
    steps = decide(state, options, answer(state, open_questions, target.transfer, folder))
    if growing is not None and not tree.complete:  # files that still grow are no error, and nothing is deleted for them
        steps = [step for step in steps if not (step.action is Action.REFUSE and step.here is None and step.there)]
    steps = [replace(step, kind=found.kinds.get(step.key)) for step in steps]
    return Plan(target.name, target.resolve(place.root), steps)


def _list_remote(
    place: Place, folder: Path, filters: Filters, found: Sorted, manifest: Manifest, connection: Connection
) -> SyncState:
    """List the server's side. Raises NoSuchRoot when the root is missing."""
    root = connection.files.resolve(place.root)
    base = posixpath.join(root, place.into) if place.into else root
    # With --by-kind the server has other names than those that the user's rules are about.
    rules = filters if place.into is not None else Filters()
    concerned = _concerned(base, found.tree, manifest)
    there = list_tree(connection, base, rules, found.starts, concerns=lambda folder: folded(folder) in concerned)
    there.insensitive = _tells_no_case(connection, root, found.tree, there)
    if (place.into is None or not there.exists) and connection.files.stat(root) is None:
        raise NoSuchRoot(
            f"the root {place.root} is not there", remedy="Is the instance started, and is its root right?"
        )
    manifest.settle(base, {posixpath.join(base, file.path): (file.size, file.mtime) for file in there.files.values()})
    state = SyncState(base, str(folder), found.tree, there, manifest.files, takes=filters.takes)
    # The question for its abilities takes time: ask the server only when it may copy a missing file.
    missing = any(file.size >= WORTH_COPYING and key not in there.files for key, file in found.tree.files.items())
    copies = missing and connection.abilities.server_copy
    return replace(state, elsewhere=_elsewhere(connection, root, state), duplicates=copies)


def _concerned(base: str, local: LocalTree, manifest: Manifest) -> set[str]:
    """Return the folders below `base` to list: those of the local tree, and those with placed files.

    Their names are case-folded, for a server that does not distinguish `A` and `a`. Other folders of a WebUI are not
    listed, to save time.
    """
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
    """Return True if the server ignores case. It is tested only when two names differ by case alone."""
    by_fold = {folded(key) for key in there.files} | {folded(key) for key in there.folders}
    differs = any(key not in there.files and folded(key) in by_fold and key not in there.folders for key in local.files)
    return (differs or bool(clashing(local.files))) and is_insensitive(connection, root)


def _elsewhere(connection: Connection, root: str, state: SyncState) -> dict[str, RemoteEntry]:
    """Return the files outside of the listing that the manifest knows and that may be a missing file."""
    sizes = {here.size for key, here in state.local.files.items() if state.there(key) is None}
    listed = {posixpath.join(state.base, there.path) for there in state.remote.files.values()}
    paths = [
        path
        for path, known in state.known.items()
        if known.size in sizes and known.sha256 and path not in listed and path.startswith(f"{root.rstrip('/')}/")
    ]
    found = connection.files.stat_all(paths) if paths else []
    return {
        path: RemoteEntry(path, entry.size, entry.mtime)
        for path, entry in zip(paths, found, strict=True)
        if isinstance(entry, Entry) and not entry.is_folder
    }
