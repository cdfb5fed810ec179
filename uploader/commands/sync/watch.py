"""`--watch`: repeat a sync when files have changed and no longer grow."""

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
from uploader.session.watch import ABSENCE_SECONDS, LASTING, PASSING, ChangeFilter, stopped

LOOK_SECONDS = 1.0
"""Seconds until the next check of a file that still grows."""


def watch(
    syncing: Sync, watcher: FolderWatcher, stable: StableFiles, session: Session, tell: Callable[[Report], None]
) -> None:
    """Sync, and sync again at each change. `tell` gets each report.

    An error that may pass, such as a stopped target, is reported once and waited for. Raises the other errors, and
    Interrupted when the user stops it.
    """
    changes = ChangeFilter()
    session.observer(Message("watching; Ctrl-C ends it", "info"))
    try:
        while True:
            watcher.open()
            watcher.wait(_once(syncing, watcher, stable, session, tell, changes))
    except KeyboardInterrupt:
        raise stopped() from None
    finally:
        watcher.close()


def _once(
    syncing: Sync,
    watcher: FolderWatcher,
    stable: StableFiles,
    session: Session,
    tell: Callable[[Report], None],
    changes: ChangeFilter,
) -> float | None:
    """Sync once. Return the seconds until the next time, None for the next change."""
    try:
        stable.begin_check()
        report = syncing.carry_out(syncing.plan(stable.is_growing))
    except LASTING:
        raise
    except PASSING as error:
        if changes.absent(error):
            session.observer(Message(f"{error.message}; waiting for it", "note"))
        if isinstance(error, SourceMissing | SourceRefused):
            watcher.close()  # when the folder returns, it is another one for the system
        return ABSENCE_SECONDS
    tell(changes.of(report))
    if syncing.interrupted:
        raise stopped()
    changes.absent(None)
    if any(outcome.error and outcome.error.exit_code == NetworkError.exit_code for outcome in report.outcomes):
        return ABSENCE_SECONDS
    return LOOK_SECONDS if stable.waiting else None
