"""What an upload gets and what it returns."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass

from uploader.artifact import Artifact
from uploader.placement import part_name
from uploader.result import Evidence
from uploader.sources.interface import Stream
from uploader.transfer.verify import Verify


@dataclass(frozen=True)
class UploadJob:
    """What is to be sent where. `path` is the absolute final name, `target` and `path` name the upload record.

    `size` in bytes. `structure`: the artifact's own header covers exactly its bytes. `proven`: the source had the
    artifact's digest moments ago. `mtime`, in seconds, is the time that the file shall have on the server. `absent`:
    neither the final name nor a part file was there when the plan looked. With `expected`, only a file of
    that size and time may be replaced.
    """

    item: str
    artifact: Artifact
    open_stream: Callable[[], Stream]
    path: str
    target: str
    size: int
    replace: bool = False
    structure: bool = False
    verify: Verify = "auto"
    mtime: int | None = None
    proven: bool = False
    expected: tuple[int, int | None] | None = None
    absent: bool = False

    @property
    def part(self) -> str:
        """The absolute name of the part file."""
        folder, name = posixpath.split(self.path)
        return posixpath.join(folder, part_name(name, self.artifact.identity))


@dataclass(frozen=True)
class UploadResult:
    """How an upload ended well. `kept`: the file was there already. Bytes as in Outcome.

    `mtime` is the file's time on the server, in seconds, where it was looked at.
    """

    kept: bool
    evidence: Evidence
    sha256: str | None
    bytes_sent: int = 0
    resumed_from: int = 0
    mtime: int | None = None
