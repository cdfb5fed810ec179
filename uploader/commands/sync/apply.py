"""The changes that a sync makes on the server: send, copy, move, delete, trash."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from uploader.artifact import Artifact, LocalFile
from uploader.commands.sync.decide import SyncStep
from uploader.errors import Busy, RemoteExists, RemoteMissing, RemoteRefused, UploaderError, WrongBytes
from uploader.placement import part_name
from uploader.remote.interface import Connection, Entry
from uploader.result import Evidence
from uploader.scan.local import read_blocks
from uploader.session.runner import StepResult
from uploader.session.target import TargetSession
from uploader.sources import local
from uploader.state.manifest import PlacedFile
from uploader.steps import Action
from uploader.transfer import Upload, UploadJob
from uploader.transfer.chunks import ChunkLayout, FileChunks
from uploader.transfer.small_files import SmallPlaced, SmallUpload, place_small
from uploader.transfer.verify import Expected, Verifier

T = TypeVar("T")


class RemoteChanges:
    """The changes of one sync from `folder` to `target`. Thread-safe.

    The manifest gets every file twice: before it is placed as intended, and afterwards as placed. `replaces_any`
    allows to replace also a file that has changed since the plan.
    """

    def __init__(self, folder: Path, target: TargetSession, *, replaces_any: bool = False) -> None:
        self._replaces_any = replaces_any
        self._folder = folder
        self._target = target.name
        self._manifest = target.manifest
        self._context = target.transfer
        self._running: dict[str, Upload] = {}

    def goes_together(self, step: SyncStep) -> bool:
        """Return True if a file is sent together with others: one smaller than a chunk cannot be resumed."""
        return step.size < self._context.config.chunk_bytes

    def clear_parts(self, base: str, steps: Sequence[SyncStep] = ()) -> None:
        """Remove the part files that earlier runs began below `base`, which this run has claimed.

        The parts of large files that `steps` continue stay. So do the parts of another run, also when that run works on
        a folder above or below.
        """
        names = {
            step.path for step in steps if step.action in (Action.SEND, Action.REPLACE) and not self.goes_together(step)
        }
        lead = f"{base.rstrip('/')}/"
        begun = {part: part.rpartition(".")[0].rpartition(".")[0] for part in self._manifest.begun}
        with ExitStack() as claims:
            free: dict[str, bool] = {base: True}

            def is_free(path: str) -> bool:
                if path not in free:
                    try:
                        claims.enter_context(self._context.uploads.claim(self._target, path))
                        free[path] = True
                    except Busy:
                        free[path] = False
                return free[path]

            left = [
                part
                for part, path in begun.items()
                if part.startswith(lead) and path not in names and all(map(is_free, _upwards(path)))
            ]

            def remove(connection: Connection) -> None:
                for part in left:
                    connection.files.remove(part)

            self._context.with_connection(remove)
            self._manifest.end(left)

    # sending ------------------------------------------------------------------------------------------

    def send_large(self, step: SyncStep) -> StepResult:
        """Send one large file: over several connections, and resumable."""
        artifact = self._artifact(step)
        job = UploadJob(
            step.key,
            artifact,
            partial(local.open, artifact),
            step.path,
            self._target,
            step.file.size,
            replace=step.action is Action.REPLACE,
            mtime=step.file.mtime,
            expected=self._expected(step),
        )
        known = self._known(step)
        self._manifest.begin([job.part], {step.path: known})
        running = self._running[step.key] = Upload(job, self._context)
        result = running.run()
        seen = self._context.with_connection(lambda connection: connection.files.stat(step.path))
        mtime = seen.mtime if seen is not None else None
        self._manifest.record(step.path, replace(known, sha256=result.sha256, seen=mtime, evidence=result.evidence))
        self._manifest.end([job.part])
        return StepResult(result.evidence, result.sha256, result.bytes_sent, result.resumed_from)

    def bytes_sent(self, key: str) -> int:
        """Return the payload bytes of a large file that were sent so far."""
        return self._running[key].sent if key in self._running else 0

    def send_small(self, steps: Sequence[SyncStep]) -> list[StepResult | UploaderError]:
        """Send small files together. Return the result or the error of each, in order. Raises NetworkError."""
        results: dict[str, StepResult | UploaderError] = {}
        files: dict[str, SmallUpload] = {}
        for step in steps:
            try:
                files[step.key] = self._read(step)
            except UploaderError as error:
                results[step.key] = error
        sending = [step for step in steps if step.key in files]
        known = {step.path: replace(self._known(step), sha256=files[step.key].sha256) for step in sending}
        parts = [files[step.key].part for step in sending]
        self._manifest.begin(parts, known)
        placed = self._context.with_connection(lambda connection: place_small(connection, list(files.values())))
        for step, result in zip(sending, placed, strict=True):
            if isinstance(result, SmallPlaced):
                placed_file = replace(known[step.path], seen=result.mtime, evidence=result.evidence)
                self._manifest.record(step.path, placed_file)
                file = files[step.key]
                results[step.key] = StepResult(result.evidence, file.sha256, len(file.data))
            else:
                results[step.key] = _naming_its_file(result, step)
        self._manifest.end(parts)
        return [results[step.key] for step in steps]

    def _read(self, step: SyncStep) -> SmallUpload:
        data = b"".join(read_blocks(self._folder, step.file))
        replaces = step.action is Action.REPLACE
        return SmallUpload(step.path, data, step.file.mtime, replace=replaces, expected=self._expected(step))

    # on the server ------------------------------------------------------------------------------------

    def copy(self, step: SyncStep) -> StepResult | None:
        """Let the server copy a file that it has, and prove the copy. Return None when that did not work."""
        source, sha256, here = step.origin or "", step.sha256 or "", step.file
        folder, name = posixpath.split(step.path)
        part = posixpath.join(folder, part_name(name, sha256[:8]))
        known = replace(self._known(step), sha256=sha256)
        self._manifest.begin([part], {})

        def duplicate(connection: Connection) -> str | None:
            connection.files.remove(part)
            return connection.duplicate(source, part)

        method = self._context.with_connection(duplicate)
        proof = self._proof(step, part) if method else None
        if proof is None:
            self._context.with_connection(lambda connection: connection.files.remove(part))
            self._manifest.end([part])
            return None
        if method == "copy":  # a hard link shares its mtime with its source
            self._context.with_connection(lambda connection: connection.files.set_times([(part, here.mtime)]))
        self._context.with_connection(lambda connection: _renamed(connection, part, step.path))
        there = self._context.with_connection(lambda connection: connection.files.stat(step.path))
        self._manifest.record(step.path, replace(known, seen=there.mtime if there else None))
        self._manifest.end([part])
        return StepResult(proof, sha256)

    def _proof(self, step: SyncStep, part: str) -> Evidence | None:
        stream = local.open(self._artifact(step))
        chunks = FileChunks(stream, ChunkLayout(step.file.size, self._context.config.chunk_bytes))
        found = Verifier(self._context).verify(part, Expected(step.file.size, step.sha256, chunks))
        return None if found.bad else found.evidence

    def move(self, step: SyncStep) -> StepResult:
        """Rename a file that this program placed."""
        source = step.origin or ""
        before = self._manifest.get(source)
        known = replace(self._known(step), sha256=step.sha256)
        if before is not None:
            known = replace(known, seen=before.seen, evidence=before.evidence)
        self._manifest.begin([], {step.path: known})
        self._unless_changed(source, before, lambda connection: _renamed(connection, source, step.path))
        self._manifest.forget(source)
        self._manifest.record(step.path, known)
        return StepResult(Evidence.SIZE, step.sha256)

    def remove(self, step: SyncStep) -> StepResult:
        """Remove a file that this program placed, if it is still that one."""
        known = self._manifest.get(step.path)
        self._unless_changed(step.path, known, lambda connection: connection.files.remove(step.path))
        self._manifest.forget(step.path)
        return StepResult()

    def put_into_trash(self, step: SyncStep, place: str) -> StepResult:
        """Move a file to the path `place`. Its folder exists."""
        known = self._manifest.get(step.path)
        self._unless_changed(step.path, known, lambda connection: _renamed(connection, step.path, place))
        self._manifest.forget(step.path)
        return StepResult()

    def _unless_changed(self, path: str, known: PlacedFile | None, act: Callable[[Connection], object]) -> None:
        """Run `act` on a file that this program placed. Raises RemoteRefused when it has changed since."""

        def looked(connection: Connection) -> None:
            there = connection.files.stat(path)
            if there is not None and (known is None or not _is_still(there, known)):
                raise _changed(path)
            act(connection)

        self._context.with_connection(looked)

    def _expected(self, step: SyncStep) -> tuple[int, int | None] | None:
        """Return size and mtime of the only file that a step may replace; None when it may replace any."""
        if self._replaces_any or step.action is not Action.REPLACE or step.there is None:
            return None
        return step.there.size, step.there.mtime

    def keep(self, steps: Sequence[SyncStep]) -> None:
        """Record the files that are the same, so that the next sync need not compare them again.

        The server's file keeps its mtime, because it may belong to another person.
        """
        for step in steps:
            before = self._manifest.get(step.path)
            if step.there is None or (before is None and step.evidence is Evidence.SIZE):
                continue
            still = before is not None and before.is_still(step.there.size, step.there.mtime)
            known = replace(self._known(step), sha256=step.sha256, seen=step.there.mtime, placed=False)
            source = (known.origin, known.mtime_ns)
            if before is not None and still:  # the bytes are the same, so what the manifest knows is still true
                sha256 = step.sha256 or before.sha256
                known = replace(
                    known,
                    placed=before.placed,
                    sha256=sha256,
                    kind=before.kind,
                    architecture=before.architecture,
                    # A proof is of one local file. Another one of the same size and time may hold other bytes.
                    evidence=before.evidence if source == (before.origin, before.mtime_ns) else None,
                )
            self._manifest.record(step.path, known)

    # small things -------------------------------------------------------------------------------------

    def _artifact(self, step: SyncStep) -> Artifact:
        """Return the local file as it was scanned. A later read raises SourceChanged when it has changed."""
        here, path = step.file, self._folder / step.file.path
        identity = hashlib.sha256(f"{here.size}\n{here.mtime_ns}".encode()).hexdigest()[:8]
        return Artifact(str(path), step.name, here.size, LocalFile(path, here.mtime_ns), identity)

    def _known(self, step: SyncStep) -> PlacedFile:
        here = step.file
        return PlacedFile(here.size, None, here.mtime_ns, here.mtime, str(self._folder / here.path))


def _upwards(path: str) -> Iterator[str]:
    """Yield a path and the folders above it."""
    while path != "/":
        yield path
        path = posixpath.dirname(path)
    yield path


def _is_still(there: Entry, known: PlacedFile) -> bool:
    return not there.is_folder and known.is_still(there.size, there.mtime)


def _changed(path: str) -> RemoteRefused:
    return RemoteRefused(f"{path} was changed on the server meanwhile: it stays", remedy="Run the same command again.")


def _renamed(connection: Connection, source: str, destination: str) -> None:
    """Rename. After a lost answer, a second attempt succeeds when the first one had renamed the file."""
    try:
        connection.files.rename(source, destination)
    except (RemoteMissing, RemoteExists):
        files = connection.files
        if files.stat(source) is not None or files.stat(destination) is None:
            raise


def _naming_its_file(error: UploaderError, step: SyncStep) -> UploaderError:
    return (
        error
        if step.key in error.message or isinstance(error, WrongBytes)
        else type(error)(f"{step.key}: {error.message}", remedy=error.remedy)
    )
