"""What the headers of an answer say: sizes, ranges, validators, names, waiting times."""

from __future__ import annotations

import datetime
import email.utils
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    import httpx


def same_file(headers: httpx.Headers, validator: str | None) -> bool | None:
    """Whether the answer is about the file that `validator` names; None where it does not say."""
    if validator is None:
        return None
    now = headers.get("ETag") if validator.startswith('"') else modified(headers)
    return None if now is None else now == validator


def etag(headers: httpx.Headers) -> str | None:
    """The ETag if it is strong: only such a one promises equal bytes (RFC 9110, 8.8.1)."""
    tag: str | None = headers.get("ETag")
    return tag if tag is not None and re.fullmatch(r'"[\x21\x23-\x7e]*"', tag) else None


def modified(headers: httpx.Headers) -> str | None:
    date: str | None = headers.get("Last-Modified")
    return date if date is not None and re.fullmatch(r"[\x20-\x7e]+", date) else None


def settled(headers: httpx.Headers) -> str | None:
    """The Last-Modified date where it tells one file from another. A file may change more than once in a second, so
    the date must lie a second before the answer's own (RFC 9110, 8.8.2.2); some servers date every answer now."""
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
    """First byte and total size of a Content-Range; None for each that is not told."""
    text = headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes (?:(\d{1,18})-\d{1,18}|\*)/(?:(\d{1,18})|\*)", text.strip())
    if match is None:
        return None, None
    return (None if match[1] is None else int(match[1])), (None if match[2] is None else int(match[2]))


def filename(disposition: str) -> str | None:
    """The file name of a Content-Disposition (RFC 6266): `filename*` before `filename`."""
    found: dict[str, str] = {}
    for name, value in re.findall(r""";\s*([\w*.-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)""", ";" + disposition):
        text = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value.strip()
        found.setdefault(name.lower(), text)
    charset, _, encoded = found.get("filename*", "").partition("'")
    if encoded and charset.lower() in ("utf-8", "iso-8859-1"):
        return unquote(encoded.partition("'")[2], encoding=charset, errors="replace") or found.get("filename")
    return found.get("filename") or None


def wait(text: str | None) -> float | None:
    """Seconds of a Retry-After, which is a number or a date (RFC 9110, 10.2.3)."""
    if text is None:
        return None
    if re.fullmatch(r"\d{1,9}", text.strip()):
        return float(text)
    try:
        date = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=datetime.UTC)
    return max(0.0, (date - datetime.datetime.now(datetime.UTC)).total_seconds())
