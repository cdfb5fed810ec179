"""What every verb plans: a step for each file, and the plan that holds them."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from uploader.artifact import Kind
from uploader.errors import UploaderError


class Route(StrEnum):
    """How the bytes travel: from this disk, through this machine's memory alone, or by the server itself."""

    LOCAL = "local"
    RELAY = "relay"
    SERVER = "server"


class Action(StrEnum):
    """What a step will do. The values are part of the JSON schema."""

    SEND = "send"
    RESUME = "resume"
    COMPARE = "compare"
    """A file of that name and size is there: the bytes decide."""
    REPLACE = "replace"
    COPY = "copy"
    """The server copies a file that it has."""
    MOVE = "move"
    """The server renames a file that it has."""
    DELETE = "delete"
    TRASH = "trash"
    FETCH = "fetch"
    KEEP = "keep"
    REFUSE = "refuse"


@dataclass(frozen=True)
class Step:
    """What will be done with one file, and why. Each verb adds its own fields and properties.

    `key` names the file to the user. `path` is its place on the side that is written. `error` is what a refused step
    fails with. `target` is set where a plan is about several targets.
    """

    key: str
    action: Action
    reason: str
    path: str
    error: UploaderError | None = None
    kind: Kind | None = None
    target: str = ""

    @property
    def size(self) -> int | None:
        """The file's size in bytes; None when its source does not tell."""
        return None

    @property
    def source(self) -> str | None:
        """What the bytes come from, as the user knows it."""
        return self.key

    @property
    def name(self) -> str:
        return posixpath.basename(self.path)

    @property
    def route(self) -> Route:
        return Route.LOCAL

    @property
    def payload(self) -> int:
        """The bytes that may have to travel."""
        return 0

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know of the file beside the reason."""
        return ()


S = TypeVar("S", bound=Step, covariant=True)


@dataclass(frozen=True)
class Plan(Generic[S]):
    """What a verb would do. `target` names all targets. `root` is absolute, on the server, "" where paths are shown as
    they are."""

    target: str
    root: str
    steps: Sequence[S] = ()

    def shown(self, step: Step) -> str:
        """Return a step's path as the user sees it."""
        return posixpath.relpath(step.path, self.root) if self.root else step.path
