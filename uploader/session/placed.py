"""Records of placed files in the manifest, so that sync, ls and rm know them again."""

from __future__ import annotations

from collections.abc import Callable

from uploader.artifact import Artifact, LocalFile
from uploader.errors import Busy, ConfigurationError, UploaderError
from uploader.events import Message, Observer
from uploader.state.manifest import Manifest, PlacedFile
from uploader.transfer import UploadResult
from uploader.transfer.context import WithConnection


def note(manifest: Manifest, path: str, artifact: Artifact, result: UploadResult, seen: int | None) -> None:
    """Record that `path`, absolute on the server, has an artifact's bytes. `seen` is its mtime there in seconds.

    A file that was there already counts as placed by this program only if the manifest said so.
    """
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
    """Return the mtime of a file on the server in seconds; None when it is unknown or the server cannot be asked."""
    try:
        there = using(lambda connection: connection.files.stat(path))
    except UploaderError:  # a lost connection does not undo what was placed
        return None
    return there.mtime if there is not None else None


def tolerant(call: Callable[[], None], observer: Observer) -> None:
    """Run a call that writes the manifest. If it fails, only say so: the file on the server is placed."""
    try:
        call()
    except (Busy, ConfigurationError) as error:
        observer(Message(f"what was placed could not be recorded: {error.message}", "note"))


def mtime_of(artifact: Artifact) -> int | None:
    """Return the mtime of an artifact's local file in seconds; None for an artifact from elsewhere."""
    origin = artifact.origin
    return origin.mtime_ns // 1_000_000_000 if isinstance(origin, LocalFile) else None
