"""Write sizes, rates and times for a person, and make foreign text safe to show."""

from __future__ import annotations

import unicodedata

_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")
_PLAIN = str.maketrans({"→": "->", "…": "..."})


def size(count: int) -> str:
    """Return a number of bytes for a person, 1000-based as file managers count: `2.1 GB`."""
    if count == 1:
        return "1 byte"
    unit = _unit(count)
    return f"{_in(count, unit)} {_UNITS[unit]}"


def part(done: int, whole: int) -> str:
    """Return the part of a whole, in the whole's unit: `0.4/2.1 GB`."""
    unit = _unit(whole)
    return f"{_in(done, unit)}/{_in(whole, unit)} {_UNITS[unit]}"


def rate(per_second: float) -> str:
    """Return bytes per second: `54.3 MB/s`."""
    return f"{size(int(per_second)).replace(' bytes', ' B').replace(' byte', ' B')}/s"


def duration(seconds: float) -> str:
    """Return seconds as `0:41`, `1:02:03` or `2 d 3 h`."""
    whole = int(seconds)
    if whole >= 86400:
        days, hours = whole // 86400, whole % 86400 // 3600
        return f"{days} d {hours} h" if days < 10 else f"{days} d"
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def percent(done: int, whole: int) -> int:
    """Return 0 to 100, rounded down: 100 only if all is done."""
    return 100 if done >= whole else max(0, done * 100 // whole)


def shown(text: str) -> str:
    """Return the text without control characters: file names and servers may hold them."""
    return "".join(char if char == "\n" or _harmless(char) else _escaped(char) for char in text)


def fitted(text: str, encoding: str | None) -> str:
    """Return the text with our own signs in plain letters if the stream's encoding lacks them."""
    try:
        text.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return text.translate(_PLAIN)
    return text


def plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _unit(count: int) -> int:
    unit = 0
    while unit < len(_UNITS) - 1 and count >= 999.95 * 1000**unit and count >= 1000:
        unit += 1
    return unit


def _in(count: int, unit: int) -> str:
    return str(count) if unit == 0 else f"{count / 1000**unit:.1f}"


def _harmless(char: str) -> bool:
    return not unicodedata.category(char).startswith("C")


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
