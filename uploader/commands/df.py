"""`df`: the disk of a target."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from dataclasses import dataclass, field

from uploader.artifact import Kind
from uploader.errors import RemoteRefused, Unsupported
from uploader.remote.interface import Connection, Space
from uploader.session.session import Setting
from uploader.session.target import Visit


@dataclass(frozen=True)
class DiskUse:
    """A target's disk, in bytes. `kinds` are the models of each kind, by their folders. None where not told."""

    target: str
    free: int | None
    total: int | None
    kinds: dict[Kind, int] = field(default_factory=dict)


def df(setting: Setting, to: str | None) -> DiskUse:
    """Returns how full a target's disk is. Raises Unsupported where the server tells nothing of it."""
    with Visit(setting, to) as visit:
        space = visit.using(lambda connection: _space(visit, connection))
        if space is None:
            raise Unsupported(
                f"{visit.target.name} does not tell how much room it has", remedy="Its provider's page may show it."
            )
        kinds: dict[Kind, int] = defaultdict(int)
        for path, there in visit.models().items():
            kinds[visit.kind_at(visit.shown(path)) or Kind.OTHER] += there.size
        return DiskUse(visit.target.name, space.free, space.total, dict(kinds))


def _space(visit: Visit, connection: Connection) -> Space | None:
    """The disk that checkpoints go to: a folder of models may well be a link to a larger one than the root's."""
    for folder in (*visit.kinds, ""):
        path = posixpath.join(visit.root, folder).rstrip("/") or "/"
        try:
            if folder and connection.files.stat(path) is None:
                continue
            return connection.files.space(path)
        except RemoteRefused:
            continue
    return None
