"""What a step is given and what it answers: the job, the means, the result."""

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
    """What is to be done with one artifact. `path` is the absolute final name; `size` in bytes; `structure`
    whether the artifact's own header covers exactly its bytes; `target` and `path` name it for its record; `mtime`,
    in seconds, is when the file shall say it was changed last, where the server lets it; `proven`: the source was found
    to have the artifact's digest just now; `unseen`, by the clock that only grows, is when neither the final name nor
    a part file was there; `expected` are size and time of the only file that may be replaced, where not any may."""

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
    unseen: float | None = None

    @property
    def part(self) -> str:
        folder, name = posixpath.split(self.path)
        return posixpath.join(folder, part_name(name, self.artifact.identity))


@dataclass(frozen=True)
class UploadResult:
    """How a step ended well. `kept`: it was there already. Bytes as in Outcome. `mtime` is the file's time on the
    server, in seconds, where it was looked at."""

    kept: bool
    evidence: Evidence
    sha256: str | None
    bytes_sent: int = 0
    resumed_from: int = 0
    mtime: int | None = None
