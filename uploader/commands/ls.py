"""`ls`: which models a target has, and what they are."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from uploader.artifact import Kind
from uploader.errors import RemoteRefused
from uploader.identify import identify
from uploader.remote.interface import Connection
from uploader.scan.tree import RemoteEntry
from uploader.session.session import Session
from uploader.session.target import TargetSession
from uploader.state.manifest import PlacedFile

_HEAD_BYTES = 512 << 10
_LENGTH_BYTES = 8
_FIRST_BYTES = 9
_AT_ONCE = 16


@dataclass(frozen=True)
class Listed:
    """One model. `path` is below the root; `size` in bytes; `mtime` in seconds since 1970, None where not told.

    `placed`: by this program. `architecture` None: its header does not tell.
    """

    path: str
    name: str
    kind: Kind | None
    size: int
    mtime: int | None
    placed: bool
    architecture: str | None = None


def ls(session: Session, to: str | None, kind: Kind | None = None) -> list[Listed]:
    """Return the models of a target, those of one kind where that is given, by folder and name."""
    with TargetSession(session, to) as target:
        found = target.models()
        heads = _heads(target, found)
        listed = [_listed(target, path, there, heads.get(path)) for path, there in sorted(found.items())]
    return [model for model in listed if kind is None or model.kind is kind]


def _listed(target: TargetSession, path: str, there: RemoteEntry, known: PlacedFile | None) -> Listed:
    shown = target.shown(path)
    recorded = target.manifest.get(path)
    placed = recorded is not None and recorded.placed and recorded.is_still(there.size, there.mtime)
    kind = Kind(known.kind) if known is not None and known.kind in set(Kind) else target.kind_at(shown)
    architecture = known.architecture if known is not None else None
    return Listed(shown, posixpath.basename(path), kind, there.size, there.mtime, placed, architecture or None)


def _heads(target: TargetSession, found: dict[str, RemoteEntry]) -> dict[str, PlacedFile]:
    """Return what each model's header tells: from the manifest, else read now, many at a time, and recorded."""
    heads: dict[str, PlacedFile] = {}
    missing: list[str] = []
    for path, there in found.items():
        known = target.manifest.get(path)
        if known is not None and known.architecture is not None and known.is_still(there.size, there.mtime):
            heads[path] = known
        elif there.size:
            missing.append(path)
    for at in range(0, len(missing), _AT_ONCE):
        batch = missing[at : at + _AT_ONCE]
        read = target.with_connection(lambda connection, batch=batch: _read_heads(connection, batch, found))  # type: ignore[misc]
        for path, (kind, architecture) in read.items():
            there, before = found[path], target.manifest.get(path)
            if before is None or not before.is_still(there.size, there.mtime):
                before = PlacedFile(there.size, seen=there.mtime, placed=False)
            heads[path] = replace(before, kind=kind, architecture=architecture)
            target.manifest.record(path, heads[path])
    return heads


def _read_heads(
    connection: Connection, paths: Sequence[str], found: dict[str, RemoteEntry]
) -> dict[str, tuple[str, str]]:
    """Return kind and architecture by path. A file that cannot be read is left out."""
    files = connection.files
    begun = files.read_all([(path, min(found[path].size, _FIRST_BYTES)) for path in paths])
    sizes = {
        path: _head_bytes(first, found[path].size)
        for path, first in zip(paths, begun, strict=True)
        if not isinstance(first, RemoteRefused)
    }
    told: dict[str, tuple[str, str]] = {}
    for path, head in zip(sizes, files.read_all(list(sizes.items())), strict=True):
        if isinstance(head, RemoteRefused):
            continue
        try:
            identity = identify(_reader(connection, path, head), found[path].size, posixpath.basename(path))
        except RemoteRefused:
            continue
        told[path] = (str(identity.kind or ""), identity.architecture or "")
    return told


def _head_bytes(first: bytes, size: int) -> int:
    """Return how much of a file to read: a safetensors file says how long its header is."""
    length = int.from_bytes(first[:_LENGTH_BYTES], "little")
    if first[_LENGTH_BYTES:_FIRST_BYTES] == b"{" and _FIRST_BYTES + length <= size:
        return min(_HEAD_BYTES, _LENGTH_BYTES + length)
    return min(_HEAD_BYTES, size)


def _reader(connection: Connection, path: str, head: bytes) -> Callable[[int, int], bytes]:
    """Return a reader that serves from what was read already."""

    def read(offset: int, length: int) -> bytes:
        if offset == 0 or offset + length <= len(head):
            return head[offset : offset + length]
        return b"".join(connection.files.read(path, [(offset, length)]))

    return read
