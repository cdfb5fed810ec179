"""Files as their publishers describe them, made artifacts; and what the publishers' stores have in common."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from urllib.parse import urlsplit

from uploader.artifact import Artifact, Digest, Service, WebFile
from uploader.errors import NetworkError, NotAModel, UploaderError
from uploader.http import Http, Refusal, TokenScope, authority
from uploader.sources.endpoints import Endpoint
from uploader.sources.file_names import safe_name
from uploader.sources.listing import split_note


@dataclass(frozen=True)
class Published:
    """A file as its publisher describes it. `source` is the reference as it may be shown.

    `path` is its place at the publisher. `link` leads to it and stays valid. `size` is in bytes.
    """

    source: str
    path: str
    link: str
    service: Service
    size: int | None = None
    digest: Digest | None = None
    notes: tuple[str, ...] = ()


def artifact(file: Published, http: Http, scope: TokenScope, *, ask: bool = False) -> Artifact:
    """Return the artifact of a file. Asks the link itself for a size or sha256 that is not told.

    With `ask` it asks in any case, to learn whether the server can do ranges. Raises NotAModel (empty) and what
    `Http.probe` raises.
    """
    size, validator, ranges = file.size, None, True
    if ask or size is None or file.digest is None:
        answer = http.probe(file.link, scope=scope)
        size, ranges = size if size is not None else answer.size, answer.ranges
        # The sha256 says more than a validator, which the store's next machine may give otherwise.
        validator = answer.validator if file.digest is None else None
    if size == 0:
        raise NotAModel(f"{file.source} is an empty file (0 bytes)", remedy="Open its page to see why.")
    last = file.path.rpartition("/")[2]
    known = f"{validator or file.link}\n{size}"
    return Artifact(
        source=file.source,
        name=safe_name(last) or "model",
        size=size,
        origin=WebFile(file.link, validator, ranges, file.service),
        identity=(file.digest.hex if file.digest else hashlib.sha256(known.encode()).hexdigest())[:8],
        digest=file.digest,
        notes=(*split_note(last), *file.notes),
    )


def open_hosts(endpoint: Endpoint) -> frozenset[str]:
    """Return the hosts of a service that takes no token: those of all its addresses."""
    parts = [urlsplit(address) for address in endpoint.addresses]
    return frozenset(authority(part.scheme, part.hostname or "", part.port) for part in parts)


def run_out(refusal: Refusal) -> UploaderError | None:
    """Return the error for a signed link of a publisher's store that has expired. Asking the publisher again gives a
    new link.
    """
    if refusal.status not in (401, 403):
        return None
    return NetworkError(
        f"the signed link to {refusal.host} has run out ({refusal.status})",
        remedy="Run the same command again: it asks for a new one, and goes on where it stopped.",
    )
