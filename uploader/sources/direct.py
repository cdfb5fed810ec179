"""Models that an https link leads to."""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath
from urllib.parse import parse_qsl, urlencode, urlsplit

from uploader.artifact import MODEL_EXTENSIONS, Artifact, WebFile
from uploader.errors import NotAModel
from uploader.http import Answer, Http, name_in_link, shown
from uploader.reference import UrlReference
from uploader.sources import unsupported_sites as elsewhere
from uploader.sources.file_names import safe_name
from uploader.sources.http_stream import WebStream
from uploader.sources.interface import Stream

_SIGNATURE = re.compile(
    "x-(amz|goog|oss|cos)-.+|authorization|signature|expires|policy|key-pair-id|awsaccesskeyid|googleaccessid"
    "|ossaccesskeyid|hdnts|sig|s[evprt]|sk[a-z]{1,3}|token|verify",
    re.IGNORECASE,
)
"""The names in a query that stores sign a link with (S3, Google, Azure, B2, CloudFront, OSS). None says which file it
is.
"""


def resolve(reference: UrlReference, http: Http) -> Artifact:
    """Ask the link what it leads to. `identify` finds out from its bytes whether that is a model.

    Raises UsageError (plain http), NotAModel (empty), CredentialsRefused, SourceMissing, RateLimited, NetworkError.
    Raises SourceRefused also for pages of services that have no downloads for programs.
    """
    elsewhere.refuse(reference.url)
    url = elsewhere.direct(reference.url)
    answer = http.probe(url)
    source = shown(reference.url)
    if answer.size == 0 or (answer.size is None and not answer.head):
        raise NotAModel(f"{source} leads to an empty file (0 bytes)", remedy="Open the link in a browser to see why.")
    return Artifact(
        source=source,
        name=_name(answer, reference.url),
        size=answer.size,
        origin=WebFile(url, answer.validator, answer.ranges),
        identity=_identity(answer, url),
    )


def open(artifact: Artifact, http: Http) -> Stream:
    """Open what `resolve` returned. Sends nothing yet: each read is a request of its own."""
    return WebStream(artifact, http)


def _name(answer: Answer, url: str) -> str:
    """Return the server's name for it, else the last part of the address. The first name with a model's ending wins."""
    said = (answer.filename or "", _last(answer.final_url), _last(url))
    names = [name for name in map(safe_name, said) if name]
    for name in names:
        if PurePosixPath(name).suffix.lower() in MODEL_EXTENSIONS:
            return name
    return names[0] if names else f"model{_ending(url)}"


def _last(url: str) -> str:
    return name_in_link(urlsplit(url).path.rpartition("/")[2]) or ""


def _ending(url: str) -> str:
    """Return the ending of a link whose name cannot be read."""
    suffix = PurePosixPath(urlsplit(url).path).suffix.lower()
    return suffix if suffix in MODEL_EXTENSIONS else ""


def _identity(answer: Answer, url: str) -> str:
    """Return a hash of the validator and of the address without its signature, which changes each time.

    The validator alone is not enough: two files of one server may have the same date and size.
    """
    return hashlib.sha256(f"{answer.validator}\n{_unsigned(url)}\n{answer.size}".encode()).hexdigest()[:8]


def _unsigned(url: str) -> str:
    parts = urlsplit(url)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    kept = [(name, value) for name, value in pairs if not _SIGNATURE.fullmatch(name)]
    return f"{parts.scheme}://{parts.netloc}{parts.path}?{urlencode(kept)}"
