"""How much space the downloads may take."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from uploader.errors import ConfigurationError

VARIABLE = "UPLOADER_CACHE_LIMIT"

_DEFAULT = 20 * 1000**3
_SIZE = re.compile(r"(\d{1,15}(?:\.\d*)?|\.\d+)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def limit_of(environ: Mapping[str, str], folder: Path) -> int:
    """Return the most bytes that the cache in `folder` may hold. Raises ConfigurationError.

    `$UPLOADER_CACHE_LIMIT` says it (`500M`, `20G`; 1024-based; 0 keeps nothing). Else it is 20 GB or a tenth of the
    disk, the smaller of the two."""
    said = environ.get(VARIABLE, "").strip()
    if not said:
        return min(_DEFAULT, shutil.disk_usage(existing(folder)).total // 10)
    match = _SIZE.fullmatch(said)
    if match is None:
        raise ConfigurationError(
            f"${VARIABLE} is {said!r}, which is no size", remedy="Write it like 500M or 20G; 0 keeps nothing."
        )
    return int(float(match[1]) * 1024 ** _POWERS[match[2].lower()])


def existing(folder: Path) -> Path:
    """Return `folder`, or the nearest one above it that exists."""
    return next((path for path in (folder, *folder.parents) if path.is_dir()), Path(folder.anchor or "."))
