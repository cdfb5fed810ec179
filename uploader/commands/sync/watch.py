"""Keeps a sync going: a first one, then one more whenever something has changed and holds still."""

from __future__ import annotations

from collections.abc import Callable

from uploader.commands.sync.folder_watcher import FolderWatcher
from uploader.commands.sync.run import Sync
from uploader.commands.sync.stable_files import StableFiles
from uploader.errors import (
    NetworkError,
    SourceMissing,
    SourceRefused,
)
from uploader.events import Message
from uploader.result import Report
from uploader.session.session import Session
from uploader.session.watching import ABSENCE_SECONDS, LASTING, PASSING, ChangeFilter, stopped

LOOK_SECONDS = 1.0
"""How soon a file that still grows is looked at again."""


def watch(
    syncing: Sync, ear: FolderWatcher, settling: StableFiles, session: Session, tell: Callable[[Report], None]
) -> None:
    """Syncs, and syncs again at each change, until it is stopped: it ends by Interrupted. `tell` is given what became
    of each.

    What may pass, such as a target that is stopped for the night, is said once and waited for. Raises what will not."""
    news = ChangeFilter()
    session.observer(Message("watching; Ctrl-C ends it", "info"))
    try:
        while True:
            ear.open()
            ear.wait(_once(syncing, ear, settling, session, tell, news))
    except KeyboardInterrupt:
        raise stopped() from None
    finally:
        ear.close()


def _once(
    syncing: Sync,
    ear: FolderWatcher,
    settling: StableFiles,
    session: Session,
    tell: Callable[[Report], None],
    news: ChangeFilter,
) -> float | None:
    """Syncs once. Returns the seconds until the next time, None for the next change."""
    try:
        settling.look()
        report = syncing.carry_out(syncing.plan(settling.is_growing))
    except LASTING:
        raise
    except PASSING as error:
        if news.absent(error):
            session.observer(Message(f"{error.message}; waiting for it", "note"))
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
