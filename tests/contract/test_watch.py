"""Sync with `--watch`, to a real server that stops and starts again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.world import World, serve, world
from tests.servers.tcp_proxy import Proxy
from uploader.api import SyncRequest
from uploader.commands.sync.folder_watcher import FolderWatcher
from uploader.commands.sync.run import open_sync
from uploader.commands.sync.stable_files import StableFiles
from uploader.commands.sync.watch import watch
from uploader.errors import CredentialsRefused, Interrupted
from uploader.events import Message
from uploader.result import Report


class Script(FolderWatcher):
    """A replacement for the waits between two syncs. Each wait calls the next happening; the last one is Ctrl-C."""

    def __init__(self, *happenings: Callable[[], object]) -> None:
        super().__init__(Path())
        self.happenings = list(happenings)
        self.waits: list[float | None] = []
        self.closed = 0

    def open(self) -> None:
        """Open no watcher of the operating system."""

    def close(self) -> None:
        self.closed += 1

    def wait(self, seconds: float | None) -> None:
        self.waits.append(seconds)
        if not self.happenings:
            raise KeyboardInterrupt
        self.happenings.pop(0)()


class Time:
    """A clock that advances three seconds each time it is read."""

    at = 0.0

    def __call__(self) -> float:
        self.at += 3.0
        return self.at


def watched(here: World, script: Script, settling: StableFiles | None = None, *, delete: bool = False) -> list[str]:
    """Run a watch to its end. Return the lines that it reported."""
    told: list[str] = []

    def tell(report: Report) -> None:
        told.extend(f"{outcome.path} {outcome.status}" for outcome in report.outcomes)

    session = here.app.session
    request = SyncRequest(str(here.disk), into="outputs", watch=True, delete=delete)
    settling = settling or StableFiles(here.disk, clock=Time(), writers=lambda _folder: None)
    with open_sync(request, session) as syncing, pytest.raises(Interrupted):
        watch(syncing, script, settling, session, tell)
    return told


def put(here: World, name: str, data: bytes = b"x") -> None:
    (here.disk / name).write_bytes(data)
    os.utime(here.disk / name, (1_700_000_000 + len(data), 1_700_000_000 + len(data)))


def test_watch_sends_each_change_with_one_line(here: World) -> None:
    put(here, "first")
    script = Script(
        lambda: put(here, "second"),
        lambda: put(here, "first", b"changed"),
        lambda: (here.disk / "second").unlink(),
        lambda: None,
    )
    told = watched(here, script, delete=True)
    assert told == [
        "outputs/first placed",
        "outputs/second placed",
        "outputs/first placed",
        "outputs/second removed",
    ]
    assert {name: (here.root / name).read_bytes() for name in here.there} == {"outputs/first": b"changed"}
    assert script.waits[-1] is None


def test_watch_growing_file_is_sent_once_and_whole(here: World) -> None:
    now = [0.0]
    settling = StableFiles(here.disk, clock=lambda: now[0], now=lambda: 1_700_000_000.0, writers=lambda _folder: None)

    def grow(data: bytes) -> None:
        now[0] += 1.0
        put(here, "grows", data)

    def hold_still() -> None:
        now[0] += 2.0

    put(here, "done")
    script = Script(lambda: grow(b"1"), lambda: grow(b"12"), lambda: grow(b"123"), hold_still, lambda: None)
    assert watched(here, script, settling) == ["outputs/done placed", "outputs/grows placed"]
    assert script.waits[1:4] == [1.0, 1.0, 1.0]
    assert (here.root / "outputs/grows").read_bytes() == b"123"


def test_watch_absent_target_is_awaited_and_reported_once(tmp_path: Path) -> None:
    with serve(tmp_path / "server", "embedded") as server, Proxy(server.host, server.port) as line:
        here = world(tmp_path, server, line=line)
        put(here, "first")

        def away() -> None:
            line.refuse()
            line.cut_now()
            put(here, "second")

        told = watched(here, Script(away, lambda: None, line.admit, lambda: None))
        assert told == ["outputs/first placed", "outputs/second placed"]
        waiting = [event for event in here.events if isinstance(event, Message) and "waiting for it" in event.text]
        assert len(waiting) == 1


def test_watch_absent_local_disk_deletes_nothing(here: World) -> None:
    put(here, "first")
    aside = here.disk.with_name("unplugged")
    script = Script(lambda: here.disk.rename(aside), lambda: None, lambda: aside.rename(here.disk), lambda: None)
    assert watched(here, script, delete=True) == ["outputs/first placed"]
    assert list(here.there) == ["outputs/first"]
    assert script.waits[1] == 15.0
    assert script.closed == 3  # twice while the server was away, and at the end


def test_watch_lasting_fault_is_reported_once(here: World) -> None:
    (here.root / "outputs").mkdir()
    (here.root / "outputs/theirs").write_bytes(b"newer")
    put(here, "theirs", b"older, of another size")
    script = Script(lambda: put(here, "new"), lambda: None)
    assert watched(here, script) == ["outputs/theirs failed", "outputs/new placed"]


def test_watch_permanent_error_ends_it(here: World) -> None:
    put(here, "first")
    session = here.app.session
    session.environ = {"UPLOADER_PASSWORD": "wrong"}
    request = SyncRequest(str(here.disk), into="outputs", watch=True)
    with open_sync(request, session) as syncing, pytest.raises(CredentialsRefused):
        watch(syncing, Script(), StableFiles(here.disk), session, lambda _report: None)


def test_watch_ctrl_c_during_a_transfer_ends_it(here: World) -> None:
    put(here, "first")
    request = SyncRequest(str(here.disk), into="outputs", watch=True)
    with open_sync(request, here.app.session) as syncing:
        syncing._target.cancelled.set()
        with pytest.raises(Interrupted):
            watch(syncing, Script(lambda: None), StableFiles(here.disk), here.app.session, lambda _report: None)
