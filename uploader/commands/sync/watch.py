"""Keeps a sync going: a first one, then one more whenever something has changed and holds still."""

from __future__ import annotations

from collections.abc import Callable

from uploader.commands.sync.folder_watcher import Ear
from uploader.commands.sync.run import Syncing
from uploader.commands.sync.stable_files import Settling
from uploader.errors import (
    NetworkError,
    SourceMissing,
    SourceRefused,
)
from uploader.events import Said
from uploader.result import Report
from uploader.session.session import Setting
from uploader.session.watching import ABSENCE_SECONDS, LASTING, PASSING, News, stopped

LOOK_SECONDS = 1.0
"""How soon a file that still grows is looked at again."""


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
