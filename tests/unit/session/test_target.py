from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.remote_memory import MemoryConnection, MemoryConnector, MemoryServer
from uploader.errors import NetworkError, NoSuchRoot, RemoteRefused, RouteUnavailable, UsageError
from uploader.events import Event
from uploader.profile import Target
from uploader.remote.interface import Connection
from uploader.session.session import Session
from uploader.session.target import TargetSession
from uploader.state.manifest import PlacedFile

ROOT = "/home/user/webui"
TARGET = Target("canvas", "generic", "a1111", "host", "webui")


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def session(tmp_path: Path, events: list[Event]) -> Session:
    return Session(environ={}, prompter=None, observer=events.append, state=tmp_path / "state", wait=lambda _: False)


@pytest.fixture
def server() -> MemoryServer:
    server = MemoryServer()
    server.make_folders(ROOT)
    return server


@pytest.fixture
def target(session: Session, server: MemoryServer) -> Iterator[TargetSession]:
    with TargetSession(session, TARGET, connector=MemoryConnector(server)) as target:
        yield target


def test_target_session_without_sftp_is_refused(session: Session) -> None:
    provider = next(name for name, one in session.profiles.providers.items() if not one.sftp)
    with pytest.raises(RouteUnavailable):
        TargetSession(session, replace(TARGET, provider=provider))


def test_target_session_of_unusable_root_is_refused(session: Session) -> None:
    with pytest.raises(UsageError):
        TargetSession(session, replace(TARGET, root="a/../b"))


def test_with_connection_lost_connection_runs_again(target: TargetSession) -> None:
    seen: list[Connection] = []

    def call(connection: Connection) -> str:
        seen.append(connection)
        if len(seen) == 1:
            raise NetworkError("the connection was lost")
        return "done"

    assert target.with_connection(call) == "done"
    assert seen[0] is not seen[1]


def test_with_connection_refused_call_runs_once(target: TargetSession) -> None:
    seen: list[Connection] = []

    def call(connection: Connection) -> None:
        seen.append(connection)
        raise RemoteRefused("no")

    with pytest.raises(RemoteRefused):
        target.with_connection(call)
    assert len(seen) == 1


def test_root_is_absolute_and_must_exist(target: TargetSession, session: Session, server: MemoryServer) -> None:
    assert target.root == ROOT
    assert target.resolve("webui/models") == f"{ROOT}/models"
    missing = replace(TARGET, root="elsewhere")
    with TargetSession(session, missing, connector=MemoryConnector(server)) as other, pytest.raises(NoSuchRoot):
        _ = other.root


def test_make_folders_makes_the_outermost_first(target: TargetSession, server: MemoryServer) -> None:
    target.make_folders([f"{ROOT}/a/b/c", f"{ROOT}/a/d"])
    assert {f"{ROOT}/a/b/c", f"{ROOT}/a/d"} <= set(server.folders)


def test_make_folders_stops_at_a_refusal(target: TargetSession, server: MemoryServer) -> None:
    server.files[f"{ROOT}/a"] = bytearray(b"a file")
    with pytest.raises(RemoteRefused):
        target.make_folders([f"{ROOT}/a/b"])
    assert f"{ROOT}/a/b" not in server.folders


def test_exit_closes_connections_and_writes_the_manifest(session: Session, server: MemoryServer) -> None:
    opened: list[Connection] = []
    with TargetSession(session, TARGET, connector=MemoryConnector(server)) as target:
        target.with_connection(opened.append)
        target.manifest.record(f"{ROOT}/x", PlacedFile(1, "ab"))
    (connection,) = opened
    assert isinstance(connection, MemoryConnection)
    assert session.manifests.of("canvas").get(f"{ROOT}/x") == PlacedFile(1, "ab")


def test_stop_cancels_every_wait(target: TargetSession) -> None:
    target.stop()
    assert target.cancelled.is_set()
    assert target.transfer.cancelled is target.cancelled
