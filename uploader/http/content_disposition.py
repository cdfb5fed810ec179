"""The file name of a Content-Disposition: what a browser would call the file.

RFC 6266 and 8187 say how it is to be written. RFC 2047, %XX and raw bytes are how servers write it as well.
"""

from __future__ import annotations

import email.errors
import email.header
import email.utils
import re
from urllib.parse import unquote_to_bytes

from uploader.http.charsets import text_as, text_of

_PARAMETER = re.compile(rb""";\s*([\w*.-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)""", re.DOTALL)
_EXTENDED = re.compile(r"filename\*(?:[0-9]{1,3}\*?)?")
_VALUE = re.compile(r"[\x21-\x7e]*")
_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")


def filename(disposition: bytes) -> str | None:
    """Return the file name; None where there is none, or where what it says is not certain."""
    found: dict[str, bytes] = {}
    for name, value in _PARAMETER.findall(b";" + disposition):
        found.setdefault(name.decode("ascii", "replace").lower(), value.strip())
    return _extended(found) or _plain(found.get("filename", b"")) or None


def name_in_link(text: str) -> str | None:
    """Return the text of a link's part, its %XX read; None where that is not certain."""
    return text_of(unquote_to_bytes(text))


def _extended(found: dict[str, bytes]) -> str | None:
    """Return what `filename*`, or its parts `filename*0` and on, say. Browsers pass over a value in quotes."""
    parts = {name: value.decode("latin-1") for name, value in found.items() if _EXTENDED.fullmatch(name)}
    if "filename*" in parts:
        parts = {"filename*": parts["filename*"]}
        if not re.fullmatch(r"[\w.:-]+'[^']*'.*", parts["filename*"]):
            return None
    elif not parts.keys() & {"filename*0", "filename*0*"}:
        return None
    if not all(_VALUE.fullmatch(value) or value.startswith('"') for value in parts.values()):
        return None
    _, (_, told) = email.utils.decode_params([("", ""), *parts.items()])
    charset, _, text = told if isinstance(told, tuple) else ("us-ascii", "", told)
    return text_as(email.utils.unquote(text).encode("latin-1"), charset or "us-ascii")


def _plain(value: bytes) -> str | None:
    """Return what `filename` says. A backslash escapes in ASCII and UTF-8; elsewhere it is half of a letter."""
    raw = value[1:].removesuffix(b'"') if value.startswith(b'"') else value
    try:
        raw.decode()
    except UnicodeDecodeError:
        return text_of(raw)
    raw = re.sub(rb"\\(.)", rb"\1", raw) if value.startswith(b'"') else raw
    text = raw.decode()
    if "=?" in text:
        return _encoded_words(text)
    if text.isascii() and _ENCODED.search(text):
        return text_of(unquote_to_bytes(text))
    return text_of(raw)


def _encoded_words(text: str) -> str | None:
    """Return a text with its `=?CHARSET?B?…?=` and `=?CHARSET?Q?…?=` read (RFC 2047)."""
    try:
        words = email.header.decode_header(text)
    except email.errors.HeaderParseError:
        return None
    read = [word if isinstance(word, str) else text_as(word, charset or "utf-8") for word, charset in words]
    return None if None in read else "".join(filter(None, read))
