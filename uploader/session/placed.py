"""Writes down what push placed, so that sync, ls and rm know it again."""

from __future__ import annotations

from collections.abc import Callable

from uploader.artifact import Artifact, LocalFile
from uploader.errors import Busy, ConfigurationError, UploaderError
from uploader.events import Message, Observer
from uploader.state.manifest import Manifest, PlacedFile
from uploader.transfer import UploadResult
from uploader.transfer.context import WithConnection


def note(manifest: Manifest, path: str, artifact: Artifact, result: UploadResult, seen: int | None) -> None:
    """Takes down that `path`, absolute on the server, stands for an artifact's bytes; `seen` is the file's time there,
    in seconds. One that was there already counts as placed by this program only if it was known to be."""
    before = manifest.get(path)
    size = artifact.size if artifact.size is not None else 0
    origin = artifact.origin if isinstance(artifact.origin, LocalFile) else None
    placed = not result.kept or (before is not None and before.placed and before.is_still(size, seen))
    manifest.record(
        path,
        PlacedFile(
            size,
            result.sha256,
            mtime_ns=origin.mtime_ns if origin else None,
            seen=seen,
            origin=str(origin.path) if origin else None,
            placed=placed,
            evidence=result.evidence if result.sha256 is not None else None,
        ),
    )


def seen_now(using: WithConnection, path: str) -> int | None:
    """The time (seconds) that the server tells of a file; None where it tells none, or cannot be asked any more."""
    try:
        there = using(lambda connection: connection.files.stat(path))
    except UploaderError:  # what is placed is placed, whatever became of the line
        return None
    return there.mtime if there is not None else None


def tolerant(call: Callable[[], None], observer: Observer) -> None:
    """Runs a call that writes the manifest. What cannot be written here undoes nothing of what was placed there."""
    try:
        call()
    except (Busy, ConfigurationError) as error:
        observer(Message(f"what was placed could not be taken down: {error.message}", "note"))


def mtime_of(artifact: Artifact) -> int | None:
    """When an artifact's file was changed last, in seconds; None for one that is no file of this disk."""
    origin = artifact.origin
    return origin.mtime_ns // 1_000_000_000 if isinstance(origin, LocalFile) else None
