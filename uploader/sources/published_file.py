"""A file as its publisher describes it, made an artifact; and what the stores behind the publishers have in common."""

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
    """`source` is the reference as it may be shown, `path` where the file lies at its publisher's, `link` leads to it
    and stays good. `size` is in bytes."""

    source: str
    path: str
    link: str
    service: Service
    size: int | None = None
    digest: Digest | None = None
    notes: tuple[str, ...] = ()


def artifact(file: Published, http: Http, door: TokenScope, *, ask: bool = False) -> Artifact:
    """Returns the artifact of a file. Where its size or its sha256 is not told, the link itself is asked for what there
    is; with `ask` it is asked anyhow, for whether it can do ranges. Raises NotAModel (empty) and what `Http.probe`
    raises."""
    size, validator, ranges = file.size, None, True
    if ask or size is None or file.digest is None:
        answer = http.probe(file.link, door=door)
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


def open_hosts(site: Endpoint) -> frozenset[str]:
    """The hosts of a service that takes no token: those of all its addresses."""
    parts = [urlsplit(address) for address in site.addresses]
    return frozenset(authority(part.scheme, part.hostname or "", part.port) for part in parts)


def run_out(refusal: Refusal) -> UploaderError | None:
    """What a store behind a publisher means: a signed link is good for a while, and whoever asks the publisher again
    gets a new one."""
    if refusal.status not in (401, 403):
        return None
    return NetworkError(
        f"the signed link to {refusal.host} has run out ({refusal.status})",
        remedy="Run the same command again: it asks for a new one, and goes on where it stopped.",
    )
