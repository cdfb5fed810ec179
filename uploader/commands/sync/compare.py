"""Finds out what the trees alone do not tell: local files hashed, and compared with what the server has."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from uploader.commands.sync.decide import Answers, Questions
from uploader.commands.sync.state import SyncState
from uploader.errors import RemoteRefused, SourceChanged, SourceRefused, UploaderError
from uploader.rate_limit import RateLimiter, cut
from uploader.remote.interface import Connection
from uploader.result import Evidence
from uploader.scan.local import read_blocks
from uploader.scan.tree import LocalEntry
from uploader.transfer.chunks import CHUNK_BYTES
from uploader.transfer.verify import Using, Verifier

_AT_ONCE_BYTES = 32 << 20
_AT_ONCE = 500


def answer(scene: SyncState, asked: Questions, using: Using, folder: Path) -> Answers:
    """Hashes and compares. A local file that changes meanwhile or cannot be read has no answer: it is then taken for
    another one, and sending it will say what is wrong."""
    answers = Answers()
    for key in (*asked.hash, *asked.compare):
        try:
            answers.sha256[key] = hash_file(folder, scene.local.files[key])
        except UploaderError:
            continue
    keys = [key for key in asked.compare if key in answers.sha256]
    for batch in _batches(scene, keys):
        answers.same.update(using(partial(_by_hash, scene, batch, answers)))
    rest = [key for key in keys if key not in answers.same]
    small = [key for key in rest if scene.local.files[key].size <= CHUNK_BYTES]
    for batch in _batches(scene, small):
        answers.same.update(using(partial(_by_reading, scene, batch, answers)))
    for key in rest:
        if key not in answers.same:
            answers.same[key] = _by_pieces(scene, key, answers.sha256[key], using, folder)
    return answers


def hash_file(folder: Path, here: LocalEntry) -> str:
    """Returns the sha256 (hex) of a local file. Raises SourceChanged when it is not the one that was scanned any more,
    SourceRefused."""
    digest = hashlib.sha256()
    for block in read_blocks(folder, here):
        digest.update(block)
    return digest.hexdigest()


Same = dict[str, Evidence | None]


def _by_hash(scene: SyncState, keys: Sequence[str], answers: Answers, connection: Connection) -> Same:
    taken = connection.hash_files([scene.path(key) for key in keys])
    if taken is None:
        return {}
    return {
        key: Evidence.REMOTE_HASH if sha256 == answers.sha256[key] else None
        for key, sha256 in zip(keys, taken, strict=True)
        if sha256 is not None
    }


def _by_reading(scene: SyncState, keys: Sequence[str], answers: Answers, connection: Connection) -> Same:
    read = connection.files.read_all([(scene.path(key), scene.local.files[key].size) for key in keys])
    found = [b"" if isinstance(data, RemoteRefused) else data for data in read]
    return {
        key: Evidence.READ_BACK if hashlib.sha256(data).hexdigest() == answers.sha256[key] else None
        for key, data in zip(keys, found, strict=True)
    }


def _by_pieces(scene: SyncState, key: str, sha256: str, using: Using, folder: Path) -> Evidence | None:
    here = scene.local.files[key]
    try:
        chunks = cut(read_blocks(folder, here), CHUNK_BYTES)
        digests = {index: hashlib.sha256(chunk).hexdigest() for index, chunk in enumerate(chunks)}
    except (SourceChanged, SourceRefused):
        return None
    prover = Verifier(using, here.size, rate_limiter=RateLimiter(None), seen=lambda _count: None)
    try:
        proof = prover.prove(scene.path(key), digests, sha256, "auto", structure=False)
    except RemoteRefused:
        return None
    # Equal size or structure alone does not make two files one.
    return None if proof.bad or proof.evidence in (Evidence.SIZE, Evidence.STRUCTURE) else proof.evidence


def _batches(scene: SyncState, keys: Sequence[str]) -> Iterator[list[str]]:
    """Cuts into groups that are not silent for too long, nor too big to be held."""
    batch: list[str] = []
    size = 0
    for key in keys:
        batch.append(key)
        size += scene.local.files[key].size
        if len(batch) >= _AT_ONCE or size >= _AT_ONCE_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
