"""The local side of a pull: part files, folders and final names."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from uploader.commands.pull.decide import PullStep
from uploader.errors import ConfigurationError, SourceChanged, SourceRefused
from uploader.placement import part_name


def identity_of(step: PullStep) -> str:
    """Return 8 hexadecimal digits that name this version of the server's file."""
    version = f"{step.remote}\n{step.size}\n{step.there.mtime}"
    return hashlib.sha256(version.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def part_of(step: PullStep) -> Path:
    """Return the path of the step's part file, which lies beside its final name."""
    return step.local.with_name(part_name(step.local.name, identity_of(step)))


def make_folder(step: PullStep) -> None:
    """Make the folder of a step's file. Raises SourceRefused when a link leads out of the requested folder."""
    folder = step.local.parents[step.key.count("/")]
    if not step.local.parent.resolve().is_relative_to(folder.resolve()):
        raise SourceRefused(
            f"{step.key} is not fetched: {step.local.parent} leads out of {folder}",
            remedy="Leave it out with --exclude, or fetch into another folder.",
        )
    step.local.parent.mkdir(parents=True, exist_ok=True)


def place(step: PullStep) -> None:
    """Give the complete part file its time and its final name.

    Raises SourceChanged and removes the part file when another program made or changed the local file.
    """
    part = part_of(step)
    if step.there.mtime is not None:
        os.utime(part, (step.there.mtime, step.there.mtime))
    if (change := _change_since_plan(step)) is not None:
        part.unlink()
        raise SourceChanged(
            f"another program {change} {step.local} during the download", remedy="Run the command again."
        )
    part.replace(step.local)


@contextmanager
def local_errors(path: Path) -> Iterator[None]:
    """Turn an OSError of the block into a ConfigurationError that names `path`."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written: {error.strerror or error}", remedy="Make room there, or choose another folder."
        ) from error


def _change_since_plan(step: PullStep) -> str | None:
    """Say what happened to the local name since the plan. A link that leads nowhere is a change, too."""
    try:
        now = step.local.stat()
    except OSError:
        return "made" if step.local.is_symlink() else None
    if not step.replaces or step.here is None:
        return "made"
    return None if (now.st_size, now.st_mtime_ns) == (step.here.size, step.here.mtime_ns) else "changed"
