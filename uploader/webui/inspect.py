"""A WebUI's state and lists, compared with the files on its disk: for `webui`, `login` and `doctor`."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from uploader.artifact import Kind
from uploader.errors import RemoteRefused, WebUIRefused
from uploader.profile import Target
from uploader.remote.interface import Connection
from uploader.scan.models import ModelFolders
from uploader.session.session import Session
from uploader.webui import Listed, Member
from uploader.webui.connect import require_address
from uploader.webui.problems import Problem, find_problems

_TIMES = 3
"""Times as long as a push may wait: a user who asks for a WebUI's facts waits for them."""


@dataclass(frozen=True)
class FolderDifference:
    """A kind whose models the WebUI reads from another folder than the one this target uses. All are absolute.

    `there` are the WebUI's folders that SFTP shows under that name.
    """

    kind: Kind
    ours: str
    theirs: tuple[str, ...]
    there: tuple[str, ...] = ()


@dataclass(frozen=True)
class WebUIFacts:
    """A WebUI as it is. `webuis` are the ids that it may have; `fits`: the saved WebUI has the same API.

    `models` counts its list of each kind that it tells. `folders` are absolute, on its own machine.
    """

    target: str
    address: str
    webuis: tuple[str, ...]
    fits: bool
    version: str | None
    checkpoint: str | None
    models: Mapping[Kind, int]
    folders: Mapping[Kind, tuple[str, ...]] = field(default_factory=dict)
    differences: tuple[FolderDifference, ...] = ()
    problems: tuple[Problem, ...] = ()


def facts_of(
    member: Member, target: Target, session: Session, connection: Connection, *, files: bool = True
) -> WebUIFacts:
    """Return the facts of a WebUI that is connected. Without `files` the disk's files are not looked at."""
    profile = session.profiles.webui(target.webui)
    ours = session.folders_of(target)
    lists = _lists(member, ours)
    folders = member.folders()
    differences = tuple(_differences(folders, ours, target, connection))
    return WebUIFacts(
        target.name,
        require_address(target),
        member.ids,
        fits=profile.api in (None, member.api),
        version=member.version(),
        checkpoint=member.current(),
        models={kind: sum(model.note is None for model in models) for kind, models in lists.items()},
        folders=folders,
        differences=differences,
        problems=tuple(find_problems(ModelFolders(connection, target.root, ours), lists, ours, profile))
        if files
        else (),
    )


def _lists(member: Member, kinds: Mapping[Kind, str]) -> dict[Kind, list[Listed]]:
    """Return its list of each kind that has a folder. A list that fails counts as not told."""
    found: dict[Kind, list[Listed]] = {}
    for kind in kinds:
        try:
            models = member.models(kind)
        except WebUIRefused:
            continue
        if models is not None:
            found[kind] = models
    return found


# folders ----------------------------------------------------------------------------------------------


def _differences(
    told: Mapping[Kind, tuple[str, ...]], ours: Mapping[Kind, str], target: Target, connection: Connection
) -> Iterator[FolderDifference]:
    root = connection.files.resolve(target.root)
    for kind, folder in ours.items():
        theirs = tuple(path.rstrip("/") for path in told.get(kind, ()))
        mine = posixpath.join(root, folder)
        if not theirs or mine in theirs:
            continue
        there = tuple(path for path in theirs if _is_folder(connection, path))
        if any(_one(connection, mine, path) for path in there):
            continue
        if not there and any(path.endswith(f"/{folder}") for path in theirs):
            continue  # the account sees a part of the tree alone, and this is that part's name for it
        yield FolderDifference(kind, mine, theirs, there)


def _is_folder(connection: Connection, path: str) -> bool:
    try:
        entry = connection.files.stat(path)
    except RemoteRefused:
        return False
    return entry is not None and entry.is_folder


def _one(connection: Connection, mine: str, theirs: str) -> bool:
    """Return True if two names are one folder, because of a link here or higher up.

    The entries and the time of the last change tell. For two empty folders it returns False.
    """
    above = [mine, theirs]
    while posixpath.basename(above[0]) == posixpath.basename(above[1]) and above[0] not in ("/", above[1]):
        above = [posixpath.dirname(above[0]), posixpath.dirname(above[1])]
    return any(_alike(connection, *pair) for pair in ((mine, theirs), above))


def _alike(connection: Connection, mine: str, theirs: str) -> bool:
    try:
        first, second = connection.files.stat(mine), connection.files.stat(theirs)
        if first is None or second is None or first.mtime is None or first.mtime != second.mtime:
            return False
        inside = _inside(connection, mine)
        return bool(inside) and inside == _inside(connection, theirs)
    except RemoteRefused:
        return False


def _inside(connection: Connection, folder: str) -> set[tuple[str, int]]:
    return {(entry.name, entry.size) for entry in connection.files.list_folder(folder)}
