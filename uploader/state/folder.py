"""The folder of all state."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from platformdirs import user_data_path

from uploader.errors import ConfigurationError


def state_folder(environ: Mapping[str, str]) -> Path:
    """Return where all state lives: `$UPLOADER_HOME`, else the system's own folder for it. Create nothing."""
    if home := environ.get("UPLOADER_HOME"):
        return Path(home).absolute()
    return user_data_path("uploader", appauthor=False)


def unwritable(path: Path, error: Exception) -> ConfigurationError:
    """Return the error for a file of the state that cannot be written."""
    reason = error.strerror if isinstance(error, OSError) else None
    return ConfigurationError(
        f"{path} cannot be written: {reason or error}",
        remedy="Make room there, or set $UPLOADER_HOME to a folder that you may write to.",
    )
