"""A small file written whole or not at all, for readers, for a second writer, and for a power cut."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def replace_text(path: Path, text: str) -> None:
    """Replace what `path` holds by `text` (UTF-8). The folder must exist. Only the owner can read the new file.

    A link to a file elsewhere stays a link. Raises OSError, and then the old file is unchanged.
    """
    path = path.resolve()
    descriptor, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
