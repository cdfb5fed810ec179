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
class Outcome:
    """What became of one item. Sizes are in bytes; `bytes_sent` is what left this machine for the server in
    this run, `resumed_from` what an earlier run had left there and was proven; `path` is below the target's root
    as the server resolves it. `notes` are what its source says of the model and what the WebUI will make of it, a
    sentence each."""

    target: str
    source: str
    status: Literal["placed", "kept", "failed"]
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
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """All outcomes of one command."""

    outcomes: tuple[Outcome, ...]

    @property
    def ok(self) -> bool:
        return all(outcome.status != "failed" for outcome in self.outcomes)

    @property
    def exit_code(self) -> int:
        """0 when nothing failed; 130 when the user stopped it; the one reason's code when all share it; else 1."""
        codes = {outcome.error.exit_code for outcome in self.outcomes if outcome.error is not None}
        if not codes:
            return 0
        if Interrupted.exit_code in codes:
            return Interrupted.exit_code
        return codes.pop() if len(codes) == 1 else 1
