"""What the commands with `--watch` share: which errors they wait for, and which news they report."""

from __future__ import annotations

from uploader.errors import (
    Busy,
    CredentialsMissing,
    CredentialsRefused,
    HostKeyChanged,
    HostKeyUnknown,
    Interrupted,
    NetworkError,
    RemoteRefused,
    SourceMissing,
    SourceRefused,
    UploaderError,
)
from uploader.result import Outcome, Report

ABSENCE_SECONDS = 15.0
"""Seconds until the next attempt when a target or a folder is missing."""

PASSING: tuple[type[UploaderError], ...] = (NetworkError, RemoteRefused, SourceMissing, SourceRefused, Busy)
"""Errors that a watch waits out."""

LASTING: tuple[type[UploaderError], ...] = (HostKeyUnknown, HostKeyChanged, CredentialsMissing, CredentialsRefused)
"""Errors that end a watch, because only the user can repair them."""


def stopped() -> Interrupted:
    """Return the error that ends a watch when its user stops it."""
    return Interrupted("stopped by you", remedy="Run the same command again: it goes on from there.")


class ChangeFilter:
    """Filter for the reports of a watch: an error that stays is reported once."""

    def __init__(self) -> None:
        self._reported: set[tuple[str, str]] = set()
        self._absence: str | None = None

    def of(self, report: Report) -> Report:
        """Return what of a report is new: what was placed or removed, and errors that were not reported before."""
        faults = {(outcome.source, outcome.error.message) for outcome in report.outcomes if outcome.error is not None}
        fresh = tuple(outcome for outcome in report.outcomes if self._is_new(outcome))
        self._reported = faults
        return Report(fresh)

    def absent(self, error: UploaderError | None) -> bool:
        """Record that a target or folder is not there, or is there again. Return True when that is new."""
        code = error.code if error is not None else None  # one outage has several messages
        is_new, self._absence = code != self._absence, code
        return is_new

    def _is_new(self, outcome: Outcome) -> bool:
        if outcome.error is None:
            return outcome.status != "kept"
        return (outcome.source, outcome.error.message) not in self._reported
