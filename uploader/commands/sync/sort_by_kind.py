"""`--by-kind`: the place of each local file by its kind of model."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from pathlib import Path

from uploader import placement
from uploader.artifact import Kind
from uploader.commands.sync.state import Place
from uploader.errors import KindUnplaceable, UploaderError
from uploader.identify import refuse
from uploader.identify.read import read_identity
from uploader.placement import model_extension
from uploader.scan.tree import LocalTree, Refused, spelling


@dataclass
class Sorted:
    """A local tree whose keys are the destinations, and the kind of each. `starts` are the folders to list."""

    tree: LocalTree
    kinds: dict[str, Kind] = field(default_factory=dict)
    starts: tuple[str, ...] = ("",)


def sort_by_kind(tree: LocalTree, folder: Path, where: Place) -> Sorted:
    """Give each model the place of its kind. Leave out files that are no models; refuse models without a place."""
    starts = tuple(dict.fromkeys([*where.webui.folders.values(), *where.folders.values()]))
    sorted_ = Sorted(LocalTree(refused=list(tree.refused), complete=tree.complete), starts=_outermost(starts))
    wanting: dict[str, str] = {}
    for here in tree.files.values():
        name = posixpath.basename(here.path)
        if model_extension(name) is None:
            sorted_.tree.others.add(spelling(here.path))
            continue
        try:
            identity = read_identity(folder / here.path, name)
            refuse(identity, name, allow_pickle=False)
            kind = identity.kind
            if kind is None:
                raise KindUnplaceable("it does not show what kind of model it is")
            at = placement.place(name, kind, where.webui, where.folders, where.root)
        except (UploaderError, OSError) as error:
            sorted_.tree.refused.append(Refused(here.path, getattr(error, "message", str(error))))
            continue
        key = f"{at.folder}/{at.name}"
        if key in wanting:
            reason = f"another one, {wanting[key]}, has the same kind and name"
            sorted_.tree.refused.append(Refused(here.path, reason))
            continue
        wanting[key] = here.path
        sorted_.tree.files[key] = here
        sorted_.kinds[key] = kind
    return sorted_


def _outermost(folders: tuple[str, ...]) -> tuple[str, ...]:
    """Return the folders that are in no other one, because a listing includes subfolders."""
    return tuple(
        folder for folder in folders if not any(folder.startswith(f"{other}/") for other in folders if other != folder)
    )
