"""Evidence, Outcome and Report: what became of each item, and the exit code that follows."""

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
    """Why an item failed: the error's word, sentence, cure and exit code."""

    code: str
    message: str
    remedy: str | None
    exit_code: int

    @classmethod
    def of(cls, error: UploaderError) -> Failure:
        return cls(error.code, error.message, error.remedy, error.exit_code)


@dataclass(frozen=True)
class Notice:
    """What the WebUI was told of an item. `refreshed`: it has looked at its folders since; `listed`: it lists the
    model, None where it cannot be asked that. `remedy` is what is left to do, None when nothing is."""

    refreshed: bool
    listed: bool | None
    remedy: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of one item; `started`: the server downloads it, and nobody waits. Sizes are in bytes; `bytes_sent`
    is what left this machine for the server in this run, `resumed_from` what an earlier run had left there and was
    proven; `path` is below the target's root as the server resolves it; `webui` is None where nobody was asked to
    tell one. `notes` are what its source says of the model and what the WebUI will make of it, a sentence each."""

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
    """All outcomes of one command. `stopped`: the user ended it, even if all of them were done by then."""

    outcomes: tuple[Outcome, ...]
    stopped: bool = False

    @property
    def ok(self) -> bool:
        return all(outcome.status != "failed" for outcome in self.outcomes)

    @property
    def exit_code(self) -> int:
        """0 when nothing failed; 130 when the user stopped it; the one reason's code when all share it; else 1."""
        codes = {outcome.error.exit_code for outcome in self.outcomes if outcome.error is not None}
        if self.stopped or Interrupted.exit_code in codes:
            return Interrupted.exit_code
        if not codes:
            return 0
        return codes.pop() if len(codes) == 1 else 1
