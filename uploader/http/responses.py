"""Answers: what a server says of a file, and whether a body is of the file that was asked for."""

from __future__ import annotations

import datetime
import email.utils
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from uploader.errors import NetworkError, SourceChanged, SourceRefused
from uploader.http.content_disposition import filename
from uploader.http.errors import AGAIN, OTHER_LINK, read_at_most
from uploader.http.json_fields import Json, read_json

if TYPE_CHECKING:
    import httpx

HEAD_BYTES = 1024
"""Bytes of a file that `probe` asks for."""

REDIRECTS = frozenset({301, 302, 303, 307, 308})

_JSON_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """What a server says of a file. `size` is in bytes, None if it does not say.

    `validator` is a strong ETag, else a Last-Modified date. `ranges`: a range was asked for and came. `filename` is the
    one of Content-Disposition, as a browser reads it: not safe to use as it is. `head` are the first bytes, at most
    HEAD_BYTES.
    """

    url: str = field(repr=False)
    final_url: str = field(repr=False)
    status: int
    size: int | None
    validator: str | None
    ranges: bool
    content_type: str | None
    filename: str | None
    head: bytes = field(repr=False)


@dataclass(frozen=True)
class Reply:
    """The head of one answer. `headers` have lower-case names. `location` is the absolute address of a redirect."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    location: str | None = field(default=None, repr=False)


def following(response: httpx.Response) -> str:
    """Return where a redirect leads to. Raises SourceRefused when it does not say."""
    location = response.headers.get("Location")
    if location is None:
        raise SourceRefused(f"{response.url.host} redirects to nowhere", remedy=OTHER_LINK)
    return str(response.url.join(location))


def json_of(response: httpx.Response) -> Json:
    """Return the body as JSON. Raises NetworkError when it is none: a service in trouble may send a page."""
    try:
        return read_json(read_at_most(response, _JSON_BYTES))
    except ValueError:
        raise NetworkError(
            f"{response.url.host} gives an answer that cannot be read", remedy="Try again in a few minutes."
        ) from None


def answer(url: str, response: httpx.Response, size: int | None, *, ranges: bool) -> Answer:
    head = bytearray()
    if response.status_code != 416:
        for chunk in response.iter_raw():
            head += chunk
            if len(head) > HEAD_BYTES or (len(head) == HEAD_BYTES and not ranges):
                break
    return Answer(
        url=url,
        final_url=str(response.url),
        status=response.status_code,
        size=size,
        validator=etag(response.headers) or settled(response.headers),
        ranges=ranges,
        content_type=response.headers.get("Content-Type"),
        filename=filename(_raw(response.headers, b"content-disposition")),
        head=bytes(head[:HEAD_BYTES]),
    )


def begin(response: httpx.Response, offset: int, validator: str | None, size: int | None, *, asked: bool) -> int | None:
    """Return where this answer's body begins in the file; None when the file ends exactly at `offset`.

    Raises SourceChanged when the answer is about another file than the one that was probed.
    """
    host = response.url.host
    changed = SourceChanged(f"the file at {host} changed while it was read", remedy="Run the same command again.")
    whole = response.status_code == 200
    start, total = (0, content_length(response.headers)) if whole else content_range(response.headers)
    if size is not None and total is not None and total != size:
        raise changed
    if response.status_code == 416:
        if total == offset:
            return None
        if total is not None and total < offset:
            raise changed
        raise NetworkError(f"{host} refuses to go on at byte {offset}", remedy=AGAIN)
    same = same_file(response.headers, validator)
    if same is False or (same is None and whole and asked and validator is not None):
        raise changed
    if whole:
        return 0
    if start != (offset if asked else 0):
        raise NetworkError(f"{host} sent another part of the file than the one it was asked for", remedy=AGAIN)
    return start


def same_file(headers: httpx.Headers, validator: str | None) -> bool | None:
    """Return whether the answer is about the file that `validator` names; None where it does not say."""
    if validator is None:
        return None
    now = headers.get("ETag") if validator.startswith('"') else modified(headers)
    return None if now is None else now == validator


def etag(headers: httpx.Headers) -> str | None:
    """Return the ETag if it is strong: only a strong one promises equal bytes (RFC 9110, 8.8.1)."""
    tag: str | None = headers.get("ETag")
    return tag if tag is not None and re.fullmatch(r'"[\x21\x23-\x7e]*"', tag) else None


def modified(headers: httpx.Headers) -> str | None:
    date: str | None = headers.get("Last-Modified")
    return date if date is not None and re.fullmatch(r"[\x20-\x7e]+", date) else None


def settled(headers: httpx.Headers) -> str | None:
    """Return the Last-Modified date if it tells one version of a file from another.

    A file may change more than once in a second. So the date must be a second before the answer's own (RFC 9110,
    8.8.2.2). Some servers give every answer the time of now.
    """
    date = modified(headers)
    try:
        changed = email.utils.parsedate_to_datetime(date or "")
        answered = email.utils.parsedate_to_datetime(headers.get("Date", ""))
        return date if answered - changed >= datetime.timedelta(seconds=1) else None
    except (ValueError, TypeError):  # one of them tells no time, or no zone
        return date


def content_length(headers: httpx.Headers) -> int | None:
    text = headers.get("Content-Length", "")
    return int(text) if re.fullmatch(r"\d{1,18}", text) and "Transfer-Encoding" not in headers else None


def content_range(headers: httpx.Headers) -> tuple[int | None, int | None]:
    """Return the first byte and the total size of a Content-Range; None for each that is not told."""
    text = headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes (?:(\d{1,18})-\d{1,18}|\*)/(?:(\d{1,18})|\*)", text.strip())
    if match is None:
        return None, None
    return (None if match[1] is None else int(match[1])), (None if match[2] is None else int(match[2]))


def _raw(headers: httpx.Headers, name: bytes) -> bytes:
    """Return a header as it was sent: httpx would decode its bytes by those of all the others."""
    return next((value for sent, value in headers.raw if sent.lower() == name), b"")
