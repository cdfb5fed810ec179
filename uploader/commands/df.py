"""`df`: the disk of a target."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from dataclasses import dataclass, field

from uploader.artifact import Kind
from uploader.errors import RemoteRefused, Unsupported
from uploader.remote.interface import Connection, Space
from uploader.session.session import Session
from uploader.session.target import TargetSession


@dataclass(frozen=True)
class DiskUse:
    """A target's disk, in bytes, None where not told. `kinds` are the models of each kind, by their folders."""

    target: str
    free: int | None
    total: int | None
    kinds: dict[Kind, int] = field(default_factory=dict)


def df(session: Session, to: str | None) -> DiskUse:
    """Return how full a target's disk is. Raises Unsupported where the server does not tell."""
    with TargetSession(session, to) as target:
        space = target.with_connection(lambda connection: _space(target, connection))
        if space is None:
            raise Unsupported(
                f"{target.name} does not tell how much room it has",
                remedy="Its provider's page may show it.",
            )
        kinds: dict[Kind, int] = defaultdict(int)
        for path, there in target.models().items():
            kinds[target.kind_at(target.shown(path)) or Kind.OTHER] += there.size
        return DiskUse(target.name, space.free, space.total, dict(kinds))


def _space(target: TargetSession, connection: Connection) -> Space | None:
    """Return the disk that checkpoints go to: a folder of models may be a link to a larger disk than the root's."""
    for folder in (*target.kinds, ""):
        path = posixpath.join(target.root, folder).rstrip("/") or "/"
        try:
            if folder and connection.files.stat(path) is None:
                continue
            return connection.files.space(path)
        except RemoteRefused:
            continue
    return None
