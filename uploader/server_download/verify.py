"""Proof of a file that the server downloaded by itself: read its header, hash it there, compare samples."""

from __future__ import annotations

import hashlib
import random
from contextlib import suppress
from functools import partial

from uploader.artifact import WebFile
from uploader.errors import NoPermission, UsageError, WrongBytes
from uploader.events import Message
from uploader.identify import Identity, identify, refuse
from uploader.result import Evidence
from uploader.transfer.chunks import read_steadily
from uploader.transfer.context import TransferContext
from uploader.transfer.rename import wrong_source
from uploader.transfer.values import UploadJob, UploadResult
from uploader.transfer.verify import Verifier

_SAMPLE_BYTES = 64 * 1024
_SAMPLES = 8


class ServerFileVerifier:
    """Check of one file on the server that did not pass through this machine.

    `readable` is True if this machine can read its source.
    """

    def __init__(self, job: UploadJob, context: TransferContext, *, readable: bool) -> None:
        self._job = job
        self._context = context
        self._verifier = Verifier(context, job.verify)
        origin = job.artifact.origin
        self._readable = readable
        self._samples = readable and isinstance(origin, WebFile) and origin.ranges
        self._identity: Identity | None = None

    def same(self, path: str) -> UploadResult | None:
        """Return the result "kept" if the file at `path`, of the right size, has the source's bytes.

        Return None if it has other bytes, or if only its size or its structure is known.
        """
        evidence, sha256 = self._sha256_of(path)
        if evidence is not None:
            promised = self._job.artifact.digest
            return UploadResult(True, evidence, sha256) if promised is not None and promised.hex == sha256 else None
        if self._samples:
            return UploadResult(True, Evidence.SAMPLES, None) if self._has_same_samples(path) else None
        return self._same_sha256(path)

    def _same_sha256(self, path: str) -> UploadResult | None:
        """Compare with the sha256 of the whole source: one without ranges gives no samples."""
        job = self._job
        found = self._verifier.hash(path, job.size) if self._readable else None
        if found is None:
            return None
        stream = self._context.limited(job.open_stream())
        digest = hashlib.sha256()
        try:
            for data in read_steadily(stream, 0, self._context.retry):
                digest.update(data)
        finally:
            stream.close()
        return UploadResult(True, found.evidence, found.sha256) if found.sha256 == digest.hexdigest() else None

    def refuse(self, name: str, *, allow_pickle: bool, size: int | None = None) -> None:
        """Read the part's header. `size` is in bytes, by default that of the job.

        Raises NotAModel or Truncated when the part must not get its name. An account that may not read gets no error.
        """
        try:
            self._identity = identify(self._read, self._job.size if size is None else size, name)
        except NoPermission:
            return
        refuse(self._identity, name, allow_pickle=allow_pickle)

    def prove(self, *, resumed: bool = False) -> tuple[Evidence, str | None]:
        """Return the evidence that the part is the source's file, and its sha256 (hex) if it was computed.

        `resumed` is True if several attempts wrote the part, so that its bytes may be those of two files. Raises
        WrongBytes when the part differs. Raises UsageError when `--verify full` has no sha256 to compare with.
        """
        job = self._job
        evidence, sha256 = self._sha256_of(job.part)
        promised = job.artifact.digest
        if evidence is not None and promised is not None and sha256 is not None:
            return evidence, self._promised(sha256)
        if job.verify == "full":
            raise UsageError(
                f"no sha256 of {job.artifact.name} is known, so not all of it can be proven on the server",
                remedy="Give it with --sha256, leave --verify full out, or use --via relay.",
            )
        if (job.verify == "samples" or promised is not None or resumed) and self._samples:
            if not self._has_same_samples(job.part):
                raise WrongBytes(
                    f"{job.artifact.name} on the server differs from its source", remedy="Run the same command again."
                )
            return Evidence.SAMPLES, None
        if promised is not None:
            with suppress(NoPermission):  # some accounts may write and not read
                found = self._verifier.read_back(job.part, job.size)
                return found.evidence, self._promised(found.sha256)
        whole = self._identity is not None and self._identity.complete is True
        evidence = Evidence.STRUCTURE if whole else Evidence.SIZE
        why = "no sha256 is published to compare with" if promised is None else "this account may not read it"
        if promised is None and job.verify == "samples":
            why += ", and its source cannot be read from here"
        self._context.observer(Message(f"{job.artifact.name}: {why}, so only its {evidence} is known", "note"))
        return evidence, None

    def _promised(self, sha256: str) -> str:
        """Return `sha256`. Raises WrongBytes when the source promised another one."""
        promised = self._job.artifact.digest
        if promised is not None and sha256 != promised.hex:
            raise wrong_source(self._job.artifact.name, promised, sha256)
        return sha256

    def _sha256_of(self, path: str) -> tuple[Evidence | None, str | None]:
        """Return the evidence and the sha256 of a file on the server.

        Both are None if there is no sha256 to compare with, or if the server cannot compute it.
        """
        job = self._job
        if job.artifact.digest is None:
            return None, None
        found = self._verifier.digest(path, job.size)
        return (None, None) if found is None else (found.evidence, found.sha256)

    def _has_same_samples(self, path: str) -> bool:
        """Return True if samples of the file are those of the source: the first, the last, and some at random."""
        job = self._job
        last = max(0, job.size - _SAMPLE_BYTES)
        chosen = {0, last, *(random.SystemRandom().randint(0, last) for _ in range(_SAMPLES))}
        stream = self._context.limited(job.open_stream())
        try:
            for at in sorted(chosen):
                here = self._context.retry(partial(stream.slice, at, _SAMPLE_BYTES))
                if here != self._read_of(path, at, _SAMPLE_BYTES):
                    return False
        finally:
            stream.close()
        return True

    def _read(self, offset: int, length: int) -> bytes:
        return self._read_of(self._job.part, offset, length)

    def _read_of(self, path: str, offset: int, length: int) -> bytes:
        ranges = [(offset, length)]
        return self._context.with_connection(lambda connection: b"".join(connection.files.read(path, ranges)))
