"""The files of the cache folder and what is written down of each: whole downloads, unfinished ones, wrong ones."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path

from uploader.state.atomic import replace_text

_VERSION = 1
_WRONG = re.compile(r"(.+)\.wrong-[0-9a-f]{8}")
_PART = ".part"


class State(StrEnum):
    """`wrong`: it came whole, and is not the file that was promised."""

    WHOLE = "whole"
    PART = "part"
    WRONG = "wrong"


@dataclass(frozen=True)
class CachedFile:
    """What is known of a file that came whole: size in bytes, time and sha256 (hex) as they were then, the validator
    (ETag or date) that it came under, its source as the user may see it, and the sha256 (hex) of its whole link."""

    size: int
    mtime_ns: int
    sha256: str
    validator: str | None
    source: str
    link: str | None = None


@dataclass(frozen=True)
class Entry:
    """One file. `size` is the bytes that it takes on the disk, `used` when it was last of use (seconds since 1970),
    `name` the file's own, `base` the whole download's that it belongs to."""

    path: Path
    size: int
    used: float
    state: State
    known: CachedFile | None

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def base(self) -> str:
        return base_of(self.path.name)

    @property
    def sha256(self) -> str | None:
        return None if self.known is None else self.known.sha256


def base_of(name: str) -> str:
    match = _WRONG.fullmatch(name)
    return match[1] if match else name.removesuffix(_PART)


def part_of(path: Path) -> Path:
    """Where an unfinished download is."""
    return path.with_name(path.name + _PART)


def wrong_of(path: Path, sha256: str) -> Path:
    """Where a download is put that has this sha256, and should have another."""
    return path.with_name(f"{path.name}.wrong-{sha256[:8]}")


def entries(folder: Path) -> Iterator[Entry]:
    """Yields what the folder holds, in no order; one that is not there is empty. Raises OSError."""
    with suppress(FileNotFoundError):
        for path in folder.iterdir():
            if path.name.startswith("."):
                continue
            with suppress(FileNotFoundError):  # removed by another run meanwhile
                if path.is_file():
                    yield _entry(path)


def _entry(path: Path) -> Entry:
    found = path.stat()
    state = State.WRONG if _WRONG.fullmatch(path.name) else State.PART if path.suffix == _PART else State.WHOLE
    # An unfinished one has holes, which take no room.
    size = getattr(found, "st_blocks", found.st_size // 512) * 512 if state is State.PART else found.st_size
    known = recall(path)
    used = found.st_mtime
    with suppress(OSError):
        used = _record(path).stat().st_mtime
    return Entry(path, min(size, found.st_size), used, state, known)


# what is written down ---------------------------------------------------------------------------------


def remember(path: Path, known: CachedFile) -> None:
    """Writes down what is known of a file. Raises OSError."""
    replace_text(_record(path), json.dumps({"version": _VERSION, **asdict(known)}))


def recall(path: Path) -> CachedFile | None:
    """Returns what is known of a file; None when nothing is, or it makes no sense."""
    try:
        data = json.loads(_record(path).read_bytes())
        if not isinstance(data, dict) or data.pop("version") != _VERSION:
            return None
        known = CachedFile(**data)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    sound = isinstance(known.sha256, str) and re.fullmatch("[0-9a-f]{64}", known.sha256)
    return known if sound and isinstance(known.size, int) and isinstance(known.mtime_ns, int) else None


def touch(path: Path) -> None:
    """Takes down that a file was of use now."""
    with suppress(OSError):
        os.utime(_record(path))


def move(old: Path, new: Path) -> None:
    """Gives a file another name, and takes along what is known of it. Raises OSError."""
    known = recall(old)
    old.replace(new)
    if known is not None:
        remember(new, known)
    _record(old).unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Removes a file and what is known of it. Raises OSError."""
    path.unlink(missing_ok=True)
    _record(path).unlink(missing_ok=True)


def proven(path: Path) -> CachedFile | None:
    """Returns what is known of a file if it still has those bytes; one that has others is removed.

    It is read where size or time are not what they were. Raises OSError."""
    known = recall(path)
    if known is None or not path.is_file():
        return None
    found = path.stat()
    if (found.st_size, found.st_mtime_ns) == (known.size, known.mtime_ns):
        return known
    with path.open("rb") as file:
        same = found.st_size == known.size and hashlib.file_digest(file, "sha256").hexdigest() == known.sha256
    if not same:
        remove(path)
        return None
    known = replace(known, mtime_ns=found.st_mtime_ns)
    remember(path, known)
    return known


def _record(path: Path) -> Path:
    return path.with_name(f".{path.name}.json")
