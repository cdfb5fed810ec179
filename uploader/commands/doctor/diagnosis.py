"""What `doctor` returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True)
class Check:
    """One check. `detail` says what was found, `remedy` what to do about it; `exit_code` is its meaning for the
    process.
    """

    name: str
    state: State
    detail: str
    remedy: str | None = None
    exit_code: int = 0


@dataclass(frozen=True)
class Diagnosis:
    """All checks of a target. `private` are the texts that a report must not show, each with its replacement."""

    target: str
    checks: tuple[Check, ...]
    private: tuple[tuple[str, str], ...] = ()

    @property
    def ok(self) -> bool:
        return all(check.state != "failed" for check in self.checks)

    @property
    def exit_code(self) -> int:
        """The exit code of the first failed check: later ones mostly fail for the same reason."""
        return next((check.exit_code for check in self.checks if check.state == "failed"), 0)
