"""A download of the server is proven by all that is known of it, also when its source cannot be read again."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.small_config import SMALL
from uploader.artifact import Artifact, Digest, WebFile
from uploader.errors import NoPermission, WrongBytes
from uploader.events import Event, Message
from uploader.rate_limit import RateLimiter
from uploader.result import Evidence
from uploader.retry import Retry
from uploader.server_download.verify import ServerFileVerifier
from uploader.state.database import Database
from uploader.state.uploads import UploadRecords
from uploader.transfer import TransferContext, UploadJob

SIZE = SMALL.read_back_bytes + 1


class Server:
    """A server without a tool to hash. Its file is all zeros."""

    def __init__(self, *, readable: bool) -> None:
        self.files = self
        self._readable = readable

    def hashes(self, path: str, ranges: object) -> None:
        return None

    def read(self, path: str, ranges: Iterable[tuple[int, int]]) -> Iterator[bytes]:
        if not self._readable:
            raise NoPermission("no")
        return (bytes(max(0, min(length, SIZE - offset))) for offset, length in ranges)


def verifier(tmp_path: Path, sha256: str | None, events: list[Event], *, readable: bool = True) -> ServerFileVerifier:
    digest = None if sha256 is None else Digest(sha256)
    origin = WebFile("", None, ranges=False)
    artifact = Artifact("https://x", "m.safetensors", SIZE, origin, "0123abcd", digest)
    job = UploadJob(
        "item", artifact, lambda: pytest.fail("the link is not known any more"), "/m.safetensors", "box", SIZE
    )
    cancelled = threading.Event()
    rate_limiter = RateLimiter(None, cancelled)

    class Pool:
        def lease(self) -> Any:
            return nullcontext(Server(readable=readable))

    pool: Any = Pool()
    context = TransferContext(
        pool,
        UploadRecords(Database(tmp_path)),
        events.append,
        Retry(cancelled, events.append),
        cancelled,
        limit=rate_limiter,
        config=SMALL,
    )
    return ServerFileVerifier(job, context, readable=False)


def test_digest_is_taken_here_when_nothing_else_proves(tmp_path: Path) -> None:
    right, events = hashlib.sha256(bytes(SIZE)).hexdigest(), list[Event]()
    assert verifier(tmp_path, right, events).prove() == (Evidence.READ_BACK, right)
    with pytest.raises(WrongBytes):
        verifier(tmp_path, "0" * 64, events).prove()
    assert events == []


def test_prove_without_proof_says_that_only_size_is_known(tmp_path: Path) -> None:
    events: list[Event] = []
    assert verifier(tmp_path, None, events).prove()[0] is Evidence.SIZE
    assert verifier(tmp_path, "0" * 64, events, readable=False).prove()[0] is Evidence.SIZE
    first, second = (event.text for event in events if isinstance(event, Message))
    assert "no sha256 is published" in first
    assert "this account may not read it" in second
