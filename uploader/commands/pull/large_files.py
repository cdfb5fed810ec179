"""Large files: resumable, over several connections, and compared with the server's."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from uploader.artifact import Artifact, LocalFile
from uploader.commands.pull.decide import PullStep
from uploader.commands.pull.local_files import identity_of, local_errors, make_folder, part_of, place
from uploader.commands.pull.remote_file import RemoteStream, wrong_bytes
from uploader.errors import SourceChanged, SourceMissing, SourceRefused, WrongBytes
from uploader.result import Evidence
from uploader.session.runner import StepResult
from uploader.sources.local import LocalStream
from uploader.state.uploads import fetched
from uploader.transfer import TransferContext
from uploader.transfer.chunks import ChunkLayout, FileChunks
from uploader.transfer.download import Download
from uploader.transfer.verify import Expected, Verifier

_READER_CHUNKS = 8
"""Chunks that each connection must have to read, to be worth its sign-in."""


def download_large(step: PullStep, target: str, context: TransferContext) -> StepResult:
    """Download one file, without the chunks that an earlier run left. `target` names the server in the record."""
    part, stream = part_of(step), RemoteStream(step, context)
    most = context.connections or context.pool.most
    readers = max(1, min(most, step.size // context.config.chunk_bytes // _READER_CHUNKS))
    with local_errors(step.local):
        make_folder(step)
    with context.uploads.claim(fetched(target), str(step.local)) as record:
        try:
            with local_errors(step.local):
                download = Download(step.key, stream, part, step.size, context, readers=readers)
                sha256 = download.run(record, identity_of(step))
            evidence = _verify(step, sha256, record.chunks, context)
            with local_errors(step.local):
                place(step)
        except WrongBytes:  # also SourceChanged: no later run may build on this part file
            record.remove()
            part.unlink(missing_ok=True)
            raise
        record.remove()
    return StepResult(evidence, sha256, 0, download.resumed)


def is_same(step: PullStep, context: TransferContext) -> bool:
    """Return True if the local file has the bytes of the server's. Both have the same size."""
    if step.here is None:
        return False
    origin = LocalFile(step.local, step.here.mtime_ns)
    stream = LocalStream(Artifact(str(step.local), step.local.name, step.size, origin, identity_of(step)))
    try:
        with step.local.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        chunks = FileChunks(stream, ChunkLayout(step.size, context.config.chunk_bytes))
        return not Verifier(context, "full").verify(step.remote, Expected(step.size, sha256, chunks)).bad
    except (OSError, SourceChanged, SourceMissing, SourceRefused):  # nothing can be said of the local file
        return False


def _verify(step: PullStep, sha256: str, chunks: Mapping[int, str], context: TransferContext) -> Evidence:
    """Compare what was written with the server's hash, else with samples. Raises WrongBytes."""
    verifier = Verifier(context, "samples")
    by_server = verifier.hash(step.remote, step.size)
    if by_server is not None:
        if by_server.sha256 != sha256:
            raise wrong_bytes(step)
        return by_server.evidence
    found = verifier.verify(step.remote, Expected(step.size, None, chunks))
    if found.bad:
        raise wrong_bytes(step)
    return found.evidence
