"""How we know what a server downloaded: its header read, hashes taken there, samples compared."""

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
    """Looks at one file on a server that did not pass through this machine. `readable`: its source can be read here."""

    def __init__(self, job: UploadJob, context: TransferContext, *, readable: bool) -> None:
        self._job = job
        self._context = context
        self._verifier = Verifier(context, job.verify)
        origin = job.artifact.origin
        self._readable = readable
        self._samples = readable and isinstance(origin, WebFile) and origin.ranges
        self._identity: Identity | None = None

    def same(self, path: str) -> UploadResult | None:
        """Return how the file at `path`, of the right size, is known to have the source's bytes.

        None when it has others, or when only its size or structure can be known.
        """
        evidence, sha256 = self._taken(path)
        if evidence is not None:
            promised = self._job.artifact.digest
            return UploadResult(True, evidence, sha256) if promised is not None and promised.hex == sha256 else None
        if self._samples:
            return UploadResult(True, Evidence.SAMPLES, None) if self._alike(path) else None
        return self._same_whole(path)

    def _same_whole(self, path: str) -> UploadResult | None:
        """Read all of a source that can only be read from its beginning."""
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
        """Read the part's header. Raises NotAModel and Truncated for what must not be placed.

        An account that may not read is told nothing.
        """
        try:
            self._identity = identify(self._read, self._job.size if size is None else size, name)
        except NoPermission:
            return
        refuse(self._identity, name, allow_pickle=allow_pickle)

    def prove(self, *, resumed: bool = False) -> tuple[Evidence, str | None]:
        """Return how surely the part is the source's file, and its sha256 where that was taken.

        `resumed`: it did not come in one go, and may be of two files. Raises WrongBytes.
        """
        job = self._job
        evidence, sha256 = self._taken(job.part)
        promised = job.artifact.digest
        if evidence is not None and promised is not None and sha256 is not None:
            return evidence, self._kept_word(sha256)
        if job.verify == "full":
            raise UsageError(
                f"no sha256 of {job.artifact.name} is known, so not all of it can be proven on the server",
                remedy="Give it with --sha256, leave --verify full out, or use --via relay.",
            )
        if (job.verify == "samples" or promised is not None or resumed) and self._samples:
            if not self._alike(job.part):
                raise WrongBytes(
                    f"{job.artifact.name} on the server differs from its source", remedy="Run the same command again."
                )
            return Evidence.SAMPLES, None
        if promised is not None:
            with suppress(NoPermission):  # an account that may write and not read
                found = self._verifier.read_back(job.part, job.size)
                return found.evidence, self._kept_word(found.sha256)
        whole = self._identity is not None and self._identity.complete is True
        evidence = Evidence.STRUCTURE if whole else Evidence.SIZE
        why = "no sha256 is published to compare with" if promised is None else "this account may not read it"
        if promised is None and job.verify == "samples":
            why += ", and its source cannot be read from here"
        self._context.observer(Message(f"{job.artifact.name}: {why}, so only its {evidence} is known", "note"))
        return evidence, None

    def _kept_word(self, sha256: str) -> str:
        """Return the hash that was found. Raises WrongBytes for another one than was promised."""
        promised = self._job.artifact.digest
        if promised is not None and sha256 != promised.hex:
            raise wrong_source(self._job.artifact.name, promised, sha256)
        return sha256

    def _taken(self, path: str) -> tuple[Evidence | None, str | None]:
        """Return how and with what sha256 the server's file is known; None where there is none to compare with."""
        job = self._job
        if job.artifact.digest is None:
            return None, None
        found = self._verifier.digest(path, job.size)
        return (None, None) if found is None else (found.evidence, found.sha256)

    def _alike(self, path: str) -> bool:
        """Compare samples at places that cannot be foreseen, the first and the last bytes among them."""
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
