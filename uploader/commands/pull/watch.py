"""`pull --watch`: files that appear on the server are fetched as soon as they are complete."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from uploader.commands.pull.request import PullRequest
from uploader.commands.pull.run import Pull
from uploader.errors import UsageError
from uploader.events import Message
from uploader.result import Report
from uploader.scan.tree import RemoteEntry
from uploader.session.session import Session
from uploader.session.target import TargetSession
from uploader.session.watch import ABSENCE_SECONDS, LASTING, PASSING, ChangeFilter, stopped

LOOK_SECONDS = 2.0
"""Time between two listings of the server. A file that is the same in two listings is complete."""


def watch_pull(
    request: PullRequest,
    session: Session,
    report: Callable[[Report], None],
    wait: Callable[[float], object] = time.sleep,
) -> None:
    """Pull again and again until the user stops it. `report` is given what is new of each time.

    Reports an error that may pass once, and goes on. Raises Interrupted at the end, UsageError, and lasting errors.
    """
    if request.dry_run:
        raise UsageError("--dry-run and --watch exclude each other", remedy="Give one of them.")
    news, complete = ChangeFilter(), CompleteFiles()
    session.observer(Message("watching; Ctrl-C ends it", "info"))
    with TargetSession(session, request.to) as target, Pull(request, session, target) as pull:
        try:
            while True:
                wait(_once(pull, session, report, news, complete))
        except KeyboardInterrupt:
            raise stopped() from None


def _once(
    pull: Pull, session: Session, report: Callable[[Report], None], news: ChangeFilter, complete: CompleteFiles
) -> float:
    """Pull once. Return the seconds to wait before the next time."""
    try:
        done = pull.carry_out(pull.plan(complete.of))
    except LASTING:
        raise
    except PASSING as error:
        if news.absent(error):
            session.observer(Message(f"{error.message}; waiting for it", "note"))
        return ABSENCE_SECONDS
    report(news.of(done))
    if pull.interrupted:
        raise stopped()
    news.absent(None)
    return LOOK_SECONDS


class CompleteFiles:
    """The server's files that did not change between two listings. Another program may still write the others."""

    def __init__(self) -> None:
        self._last: Mapping[str, RemoteEntry] = {}

    def of(self, found: Mapping[str, RemoteEntry]) -> dict[str, RemoteEntry]:
        """Return the files of a listing that are the same as in the last one."""
        last, self._last = self._last, dict(found)
        return {key: file for key, file in found.items() if last.get(key) == file}
