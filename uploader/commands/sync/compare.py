"""The answers that the two listings do not give: hashes of local files, and comparisons with the server."""

from __future__ import annotations

import hashlib
from pathlib import Path

from uploader.artifact import Artifact, LocalFile
from uploader.commands.sync.decide import Answers, Questions
from uploader.commands.sync.state import SyncState
from uploader.errors import UploaderError
from uploader.scan.local import read_blocks
from uploader.scan.tree import LocalEntry
from uploader.sources.local import LocalStream
from uploader.transfer import TransferContext
from uploader.transfer.chunks import ChunkLayout, FileChunks
from uploader.transfer.verify import Expected, Verifier


def answer(state: SyncState, open_questions: Questions, context: TransferContext, folder: Path) -> Answers:
    """Hash and compare. A local file that changes or cannot be read has no answer.

    It then counts as different, and the error appears when it is sent.
    """
    answers = Answers()
    for key in (*open_questions.hash, *open_questions.compare):
        try:
            answers.sha256[key] = hash_file(folder, state.local.files[key])
        except UploaderError:
            continue
    expected: dict[str, Expected] = {}
    for key in open_questions.compare:
        if key in answers.sha256:
            here = state.local.files[key]
            chunks = FileChunks(_stream(folder, here), ChunkLayout(here.size, context.config.chunk_bytes))
            expected[key] = Expected(here.size, answers.sha256[key], chunks)
    same = Verifier(context).compare_many([(state.path(key), file) for key, file in expected.items()])
    answers.same.update(zip(expected, same, strict=True))
    return answers


def hash_file(folder: Path, here: LocalEntry) -> str:
    """Return the sha256 (hex) of a local file. Raises SourceRefused or SourceChanged when that fails."""
    digest = hashlib.sha256()
    for block in read_blocks(folder, here):
        digest.update(block)
    return digest.hexdigest()


def _stream(folder: Path, here: LocalEntry) -> LocalStream:
    path = folder / here.path
    return LocalStream(Artifact(str(path), path.name, here.size, LocalFile(path, here.mtime_ns), ""))
