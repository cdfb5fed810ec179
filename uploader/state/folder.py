"""The folder of all state."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from platformdirs import user_data_path


def state_folder(environ: Mapping[str, str]) -> Path:
    """Returns where all state lives: `$UPLOADER_HOME`, else this system's own folder for it. Makes nothing."""
    if home := environ.get("UPLOADER_HOME"):
        return Path(home).absolute()
    return user_data_path("uploader", appauthor=False)
