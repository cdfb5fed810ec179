"""Keeps a sync going: a first one, then one more whenever something has changed and holds still."""

from __future__ import annotations

from collections.abc import Callable

from uploader.app.setting import Setting
from uploader.app.syncing import Syncing
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
from uploader.events import Said
from uploader.result import Outcome, Report
from uploader.sync.changes import Ear
from uploader.sync.settling import Settling

LOOK_SECONDS = 1.0
"""How soon a file that still grows is looked at again."""

ABSENCE_SECONDS = 15.0
"""How soon a target or a folder that is not there is looked for again."""

PASSING: tuple[type[UploaderError], ...] = (NetworkError, RemoteRefused, SourceMissing, SourceRefused, Busy)
LASTING: tuple[type[UploaderError], ...] = (HostKeyUnknown, HostKeyChanged, CredentialsMissing, CredentialsRefused)


def watch(syncing: Syncing, ear: Ear, settling: Settling, setting: Setting, tell: Callable[[Report], None]) -> None:
    """Syncs, and syncs again at each change, until it is stopped: it ends by Interrupted. `tell` is given what became
    of each.

    What may pass, such as a target that is stopped for the night, is said once and waited for. Raises what will not."""
    news = News()
    setting.observer(Said("watching; Ctrl-C ends it", "info"))
    try:
        while True:
            ear.open()
            ear.wait(_once(syncing, ear, settling, setting, tell, news))
    except KeyboardInterrupt:
        raise stopped() from None
    finally:
        ear.close()


def _once(
    syncing: Syncing, ear: Ear, settling: Settling, setting: Setting, tell: Callable[[Report], None], news: News
) -> float | None:
    """Syncs once. Returns the seconds until the next time, None for the next change."""
    try:
        settling.look()
        report = syncing.carry_out(syncing.plan(settling.is_growing))
    except LASTING:
        raise
    except PASSING as error:
        if news.absent(error):
            setting.observer(Said(f"{error.message}; waiting for it", "note"))
        if isinstance(error, SourceMissing | SourceRefused):
            ear.close()  # a folder that comes back is another one, of which it would hear nothing
        return ABSENCE_SECONDS
    tell(news.of(report))
    if syncing.interrupted:
        raise stopped()
    news.absent(None)
    if any(outcome.error and outcome.error.exit_code == NetworkError.exit_code for outcome in report.outcomes):
        return ABSENCE_SECONDS
    return LOOK_SECONDS if settling.waiting else None


def stopped() -> Interrupted:
    """What a watch that was ended by its user ends with."""
    return Interrupted("stopped by you", remedy="Run the same command again: it goes on from there.")


class News:
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
