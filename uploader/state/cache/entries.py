"""The files of the cache folder, and the JSON record beside each: whole downloads, unfinished ones, wrong ones."""

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
    """The state of a file. `wrong`: the download is complete and is not the file that was promised."""

    WHOLE = "whole"
    PART = "part"
    WRONG = "wrong"


@dataclass(frozen=True)
class CachedFile:
    """What was recorded of a complete download.

    `size` is in bytes, `sha256` in hex. `validator` is the ETag or date of the response. `source` is the reference as
    the user may see it. `link` is the sha256 (hex) of the whole link, which may be secret."""

    size: int
    mtime_ns: int
    sha256: str
    validator: str | None
    source: str
    link: str | None = None


@dataclass(frozen=True)
class Entry:
    """One file. `size` is the space on the disk in bytes, `used` the time of its last use in seconds since 1970.

    `name` is the file's own name, `base` the name of the complete download that it belongs to."""

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
    """Return the path of the unfinished download."""
    return path.with_name(path.name + _PART)


def wrong_of(path: Path, sha256: str) -> Path:
    """Return the path of a download that has this sha256 and should have another."""
    return path.with_name(f"{path.name}.wrong-{sha256[:8]}")


def entries(folder: Path) -> Iterator[Entry]:
    """Yield the files of the folder, in no order. A missing folder is empty. Raises OSError."""
    with suppress(FileNotFoundError):
        for path in folder.iterdir():
            if path.name.startswith("."):
                continue
            with suppress(FileNotFoundError):  # another run has just removed it
                if path.is_file():
                    yield _entry(path)


def _entry(path: Path) -> Entry:
    found = path.stat()
    state = State.WRONG if _WRONG.fullmatch(path.name) else State.PART if path.suffix == _PART else State.WHOLE
    # An unfinished download has holes, which take no space.
    size = getattr(found, "st_blocks", found.st_size // 512) * 512 if state is State.PART else found.st_size
    known = recall(path)
    used = found.st_mtime
    with suppress(OSError):
        used = _record(path).stat().st_mtime
    return Entry(path, min(size, found.st_size), used, state, known)


# the records ------------------------------------------------------------------------------------


def remember(path: Path, known: CachedFile) -> None:
    """Write the record of a file. Raises OSError."""
    replace_text(_record(path), json.dumps({"version": _VERSION, **asdict(known)}))


def recall(path: Path) -> CachedFile | None:
    """Return the record of a file, None when there is none or it makes no sense."""
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
    """Record that a file was used now."""
    with suppress(OSError):
        os.utime(_record(path))


def move(old: Path, new: Path) -> None:
    """Rename a file and its record. Raises OSError."""
    known = recall(old)
    old.replace(new)
    if known is not None:
        remember(new, known)
    _record(old).unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Remove a file and its record. Raises OSError."""
    path.unlink(missing_ok=True)
    _record(path).unlink(missing_ok=True)


def proven(path: Path) -> CachedFile | None:
    """Return the record of a file that still has the recorded bytes. Remove a file that has others.

    The file is read only when its size or time has changed. Raises OSError."""
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
