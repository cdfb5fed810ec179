"""Evidence, Outcome and Report: the result of each item, and the exit code that follows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from uploader.artifact import Kind
from uploader.errors import Interrupted, UploaderError


class Evidence(StrEnum):
    """How we know that the bytes arrived, weakest first."""

    SIZE = "size"
    STRUCTURE = "structure"
    SAMPLES = "samples"
    READ_BACK = "read-back"
    REMOTE_HASH = "remote-hash"


@dataclass(frozen=True)
class Failure:
    """The error of an item: its code, message, remedy and exit code."""

    code: str
    message: str
    remedy: str | None
    exit_code: int

    @classmethod
    def of(cls, error: UploaderError) -> Failure:
        return cls(error.code, error.message, error.remedy, error.exit_code)


@dataclass(frozen=True)
class Notice:
    """The WebUI's answer about an item. `refreshed`: it has read its folders since. `listed`: it lists the model; None
    if it cannot be asked. `remedy` is what is left to do, or None."""

    refreshed: bool
    listed: bool | None
    remedy: str | None = None


@dataclass(frozen=True)
class Outcome:
    """The result of one item. `started` means that the server downloads it by itself.

    Sizes are in bytes. `bytes_sent` left this machine for the server in this run. `resumed_from` was left there by an
    earlier run, and proven. `path` is below the target's root as the server resolves it. `webui` is None if no WebUI
    was told. `notes` are facts of the source and of the WebUI, a sentence each.
    """

    target: str
    source: str
    status: Literal["placed", "kept", "started", "removed", "failed"]
    name: str | None = None
    kind: Kind | None = None
    route: str | None = None
    path: str | None = None
    size: int | None = None
    sha256: str | None = None
    evidence: Evidence | None = None
    bytes_sent: int = 0
    resumed_from: int = 0
    seconds: float = 0.0
    error: Failure | None = None
    webui: Notice | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """All outcomes of one command. `stopped`: the user ended it, even if all of them were done."""

    outcomes: tuple[Outcome, ...]
    stopped: bool = False

    @property
    def ok(self) -> bool:
        return all(outcome.status != "failed" for outcome in self.outcomes)

    @property
    def exit_code(self) -> int:
        """Return 0 if no item failed, 130 if the user stopped it, the code that all failures share, else 1."""
        codes = {outcome.error.exit_code for outcome in self.outcomes if outcome.error is not None}
        if self.stopped or Interrupted.exit_code in codes:
            return Interrupted.exit_code
        if not codes:
            return 0
        return codes.pop() if len(codes) == 1 else 1
