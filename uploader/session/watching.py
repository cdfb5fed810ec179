"""What the verbs with `--watch` share."""

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
"""How soon a target or a folder that is not there is looked for again."""


PASSING: tuple[type[UploaderError], ...] = (NetworkError, RemoteRefused, SourceMissing, SourceRefused, Busy)


LASTING: tuple[type[UploaderError], ...] = (HostKeyUnknown, HostKeyChanged, CredentialsMissing, CredentialsRefused)


def stopped() -> Interrupted:
    """What a watch that was ended by its user ends with."""
    return Interrupted("stopped by you", remedy="Run the same command again: it goes on from there.")


class ChangeFilter:
    """Tells apart what is new: a fault that stays is said once."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()
        self._absence: str | None = None

    def of(self, report: Report) -> Report:
        """What of a report has not been told before: what was placed or removed, and faults that are new."""
        faults = {(outcome.source, outcome.error.message) for outcome in report.outcomes if outcome.error is not None}
        fresh = tuple(outcome for outcome in report.outcomes if self._is_news(outcome))
        self._told = faults
        return Report(fresh)

    def absent(self, error: UploaderError | None) -> bool:
        """Takes down that something is not there, or is again. True when that is news."""
        message = error.message if error is not None else None
        news, self._absence = message != self._absence, message
        return news

    def _is_news(self, outcome: Outcome) -> bool:
        if outcome.error is None:
            return outcome.status != "kept"
        return (outcome.source, outcome.error.message) not in self._told
