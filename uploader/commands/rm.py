"""`rm`: remove files of a target by path or name, after a question, never outside of its root."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

from uploader.errors import Interrupted, RemoteMissing, RemoteRefused, Several, UploaderError, UsageError
from uploader.remote.interface import Connection, Entry
from uploader.session.session import Session
from uploader.session.target import TargetSession

_NAMED = 5


@dataclass(frozen=True)
class Removal:
    """One file. `path` is below the root; `size` in bytes. `shares` are sentences on what else uses the same bytes."""

    path: str
    size: int
    shares: tuple[str, ...] = ()


def rm(session: Session, to: str, paths: Sequence[str], *, yes: bool) -> list[Removal]:
    """Remove files, and return what was removed. Ask the user first unless `yes`.

    A text with a slash is a path below the root. One without is the name of a model in a folder of the WebUI. All files
    are looked up before the first is removed. A link is removed, and the file that it names stays.

    Raises UsageError when there is no user to ask. Raises Several when several texts are wrong.
    """
    with TargetSession(session, to) as target:
        found = [_found(target, text) for text in dict.fromkeys(paths)]
        faults = [path for path in found if isinstance(path, UploaderError)]
        if faults:
            raise faults[0] if len(faults) == 1 else Several(faults)
        wanted = list(dict.fromkeys(path for path in found if isinstance(path, str)))
        removals = target.with_connection(lambda connection: _looked_at(target, connection, wanted))
        if not yes:
            _ask(session, target, removals)
        for path in wanted:
            target.with_connection(lambda connection, path=path: connection.files.remove(path))  # type: ignore[misc]
            target.manifest.forget(path)
        return removals


def _ask(session: Session, target: TargetSession, removals: Sequence[Removal]) -> None:
    if session.prompter is None:
        raise UsageError(
            f"{len(removals)} file(s) of {target.name} would be removed, and there is no terminal to ask",
            remedy="Add --yes.",
        )
    for removal in removals:
        session.prompter.show(f"  {removal.path} ({removal.size:,} bytes)")
        for sentence in removal.shares:
            session.prompter.show(f"    {sentence}")
    word = "this file" if len(removals) == 1 else f"these {len(removals)} files"
    if not session.prompter.confirm(f"Remove {word} from {target.name}?"):
        raise Interrupted("nothing was removed")


def _found(target: TargetSession, text: str) -> str | UploaderError:
    """Return the absolute path that a text means, or what is wrong with it."""
    try:
        return target.below(text) if "/" in text else _by_name(target, text)
    except UploaderError as error:
        return error


def _by_name(target: TargetSession, name: str) -> str:
    if name in ("", ".", ".."):
        raise UsageError(f"{name!r} is no file's name", remedy="`uploader ls` lists the models.")
    rivals = [path for path in target.models() if posixpath.basename(path) == name]
    if len(rivals) == 1:
        return rivals[0]
    if rivals:
        shown = ", ".join(target.shown(path) for path in rivals[:_NAMED])
        raise UsageError(f"several files are called {name}: {shown}", remedy="Give one of these paths.")
    raise RemoteMissing(
        f"{target.name} has no model {name}",
        remedy="`uploader ls` lists the models; others go by their path.",
    )


def _looked_at(target: TargetSession, connection: Connection, paths: Sequence[str]) -> list[Removal]:
    listings: dict[str, dict[str, Entry]] = {}
    removals: list[Removal] = []
    faults: list[UploaderError] = []
    for path in paths:
        folder, name = posixpath.split(path)
        try:
            if folder not in listings:
                _refuse_outside(target, connection, folder)
                listings[folder] = {entry.name: entry for entry in connection.files.list_folder(folder)}
            removals.append(_removal(target, connection, path, listings[folder].get(name), listings[folder]))
        except RemoteRefused as error:
            faults.append(error)
    if faults:
        raise faults[0] if len(faults) == 1 else Several(faults)
    return removals


def _refuse_outside(target: TargetSession, connection: Connection, folder: str) -> None:
    """Raise RemoteRefused for a folder that a link leads to: it may lie outside of the root.

    The WebUI's own folder of a kind is allowed: it may well be a link to a larger disk.
    """
    own = {target.root, *(posixpath.join(target.root, name) for name in target.kinds)}
    while folder not in own and len(folder) > len(target.root):
        parent, name = posixpath.split(folder)
        if any(entry.is_link for entry in connection.files.list_folder(parent) if entry.name == name):
            raise RemoteRefused(
                f"{target.shown(folder)} is a link: what it leads to may lie outside of the root",
                remedy="Remove it by the path that has no link in it, or by the server's own means.",
            )
        folder = posixpath.dirname(folder)


def _removal(
    target: TargetSession, connection: Connection, path: str, entry: Entry | None, beside: dict[str, Entry]
) -> Removal:
    shown = target.shown(path)
    if entry is None:
        raise RemoteMissing(f"there is no file {shown}", remedy="`uploader ls` lists the models.")
    if entry.is_folder:
        raise RemoteRefused(f"{shown} is a folder, and rm removes files alone", remedy="Name the files in it.")
    return Removal(shown, entry.size, tuple(_shares(target, connection, path, entry, beside)))


def _shares(
    target: TargetSession, connection: Connection, path: str, entry: Entry, beside: dict[str, Entry]
) -> list[str]:
    """Return sentences on what else uses the file: hard links, links to it, copies that the manifest knows."""
    sentences: list[str] = []
    if entry.is_link:
        sentences.append(f"it is a link to {connection.files.read_link(path)}, which stays")
    if entry.links is not None and entry.links > 1 and not entry.is_link:
        sentences.append(f"its bytes have {entry.links - 1} more name(s): removing this one frees no room")
    folder = posixpath.dirname(path)
    for other in (other for other in beside.values() if other.is_link and other.name != entry.name):
        destination = posixpath.join(folder, connection.files.read_link(f"{folder}/{other.name}"))
        if posixpath.normpath(destination) == path:
            sentences.append(f"the link {other.name} leads to it, and would lead nowhere")
    if twins := _twins(target, connection, path):
        sentences.append(f"the same bytes are there as {', '.join(twins[:_NAMED])}")
    return sentences


def _twins(target: TargetSession, connection: Connection, path: str) -> list[str]:
    """Return other files below the root that have the same bytes according to the manifest, and are still there."""
    known, root = target.manifest.get(path), f"{target.root.rstrip('/')}/"
    if known is None or known.sha256 is None:
        return []
    files = target.manifest.files
    same = [twin for twin in files if twin != path and twin.startswith(root) and files[twin].sha256 == known.sha256]
    there = connection.files.stat_all(same)
    return [
        target.shown(twin)
        for twin, entry in zip(same, there, strict=True)
        if isinstance(entry, Entry) and files[twin].is_still(entry.size, entry.mtime)
    ]
