"""Many small files per round trip."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from uploader.commands.pull.decide import PullStep
from uploader.commands.pull.local_files import local_errors, make_folder, part_of, place
from uploader.commands.pull.remote_file import changed, refuse_changed, wrong_bytes
from uploader.errors import RemoteRefused, UploaderError
from uploader.remote.interface import Connection, Entry
from uploader.result import Evidence
from uploader.session.runner import StepResult

MOST_FILES = 64
"""Small files of one batch."""

MOST_BYTES = 16 << 20
"""Bytes of one batch. They are held in memory."""


def download_small(steps: Sequence[PullStep], connection: Connection) -> list[StepResult | UploaderError]:
    """Download small files in one batch. Return how each ended, in order. Raises NetworkError."""
    paths = [step.remote for step in steps]
    # One byte more than expected: a file that grew since the plan shows it.
    read = connection.files.read_all([(step.remote, step.size + 1) for step in steps])
    hashes = connection.hash_files(paths) or [None] * len(steps)
    after = connection.files.stat_all(paths)
    results: list[StepResult | UploaderError] = []
    for step, data, sha256, entry in zip(steps, read, hashes, after, strict=True):
        try:
            results.append(_keep(step, data, sha256, entry if isinstance(entry, Entry) else None))
        except UploaderError as error:
            results.append(error)
    return results


def _keep(step: PullStep, data: bytes | RemoteRefused, by_server: str | None, after: Entry | None) -> StepResult:
    if isinstance(data, RemoteRefused):
        raise data
    sha256 = hashlib.sha256(data).hexdigest()
    refuse_changed(step, after)
    if len(data) != step.size:
        raise changed(step)
    if by_server not in (None, sha256):
        raise wrong_bytes(step)
    with local_errors(step.local):
        make_folder(step)
        part_of(step).write_bytes(data)
        place(step)
    return StepResult(Evidence.SIZE if by_server is None else Evidence.REMOTE_HASH, sha256)
