"""Servers and connections that fail at the worst moment: push waits, retries or refuses, and places no wrong bytes."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tests.contract.world import CHECKPOINTS, LORAS, MIB, World, serve, sha256, world
from tests.servers.contrary import Fails, HoldsPart, OneChannel, ShortReads, ShortWrite
from tests.servers.faulty import Crowded, NoPosixRename
from tests.servers.openssh import OpenSSH, needs_sshd
from tests.servers.tcp_proxy import Direction, Proxy
from tests.small_config import SMALL
from uploader.result import Evidence

CHUNK_BYTES = SMALL.chunk_bytes
QUARTER = CHUNK_BYTES // 4
DREAM = f"{CHECKPOINTS}/dream.safetensors"
SIZE = 17 * QUARTER + 24


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "server").mkdir()
    return tmp_path / "server"


def small_models(here: World, count: int) -> list[Path]:
    return [here.model(f"small {number}.safetensors", preset="lora") for number in range(count)]


# the k-th request -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "at"),
    [("OPEN", 1), ("OPEN", 2), ("WRITE", 1), ("WRITE", 10), ("CLOSE", 1), ("RENAME", 1), ("STAT", 1), ("STAT", 3)],
)
def test_push_any_failed_request_places_no_wrong_bytes(tmp_path: Path, base: Path, request_: str, at: int) -> None:
    with Fails(base, request_, at=at) as server:
        here = world(tmp_path, server, config=SMALL)
        model = here.model(size=9 * QUARTER + 24)
        server.begin()
        outcome = here.one(model, connections=2)
        final = here.root / DREAM
        server.end()
        assert final.exists() == (outcome.status == "placed")
        if outcome.error is not None:
            assert server.failed == 1
            assert (outcome.error.exit_code, bool(outcome.error.remedy)) == (6, True)
        assert here.one(model).status == ("kept" if final.exists() and outcome.error is None else "placed")
        assert sha256(final) == sha256(model)
        assert here.parts == []


@pytest.mark.parametrize("request_", ["OPEN", "WRITE", "CLOSE", "RENAME", "STAT", "SETSTAT", "FSETSTAT", "READ"])
@pytest.mark.parametrize("at", [7])
def test_small_files_failed_request_fails_only_its_own_file(tmp_path: Path, base: Path, request_: str, at: int) -> None:
    with Fails(base, request_, at=at) as server:
        here = world(tmp_path, server)
        models = small_models(here, 12)
        server.begin()
        report = here.push(*models)
        failed = [outcome for outcome in report.outcomes if outcome.error is not None]
        # The first requests list folders.
        assert len(failed) <= 1 or request_ == "STAT"
        for model, outcome in zip(models, report.outcomes, strict=True):
            final = here.root / LORAS / model.name
            assert final.exists() == (outcome.status != "failed"), outcome
            assert not final.exists() or sha256(final) == sha256(model)
        server.end()
        again = here.push(*models)
        assert {outcome.status for outcome in again.outcomes} <= {"kept", "placed"}
        assert here.parts == []


# short reads and short writes -------------------------------------------------------------------------


def test_push_short_reads_are_continued(tmp_path: Path, base: Path) -> None:
    with ShortReads(base) as server:
        here = world(tmp_path, server, config=SMALL)
        outcome = here.placed(here.model(size=9 * QUARTER))
        assert outcome.evidence is Evidence.READ_BACK
        report = here.push(*small_models(here, 3))
        assert {(outcome.status, outcome.evidence) for outcome in report.outcomes} == {("placed", Evidence.READ_BACK)}


@pytest.mark.parametrize("connections", [1, 4])
def test_push_half_kept_write_sends_its_chunk_again(tmp_path: Path, base: Path, connections: int) -> None:
    with ShortWrite(base, at=12) as server:
        here = world(tmp_path, server, config=SMALL)
        model = here.model(size=SIZE)
        outcome = here.placed(model, connections=connections)
        assert outcome.evidence is Evidence.READ_BACK
        assert SIZE < outcome.bytes_sent <= SIZE + CHUNK_BYTES
        assert sha256(here.root / DREAM) == sha256(model)


def test_push_half_kept_small_file_is_sent_again(tmp_path: Path, base: Path) -> None:
    with ShortWrite(base, at=2) as server:
        here = world(tmp_path, server, config=SMALL)
        models = small_models(here, 5)
        assert {outcome.status for outcome in here.push(*models).outcomes} == {"placed"}
        assert all(sha256(here.root / LORAS / model.name) == sha256(model) for model in models)


# few channels, few connections ------------------------------------------------------------------------


def test_push_server_with_one_channel_gets_every_file(tmp_path: Path, base: Path) -> None:
    with OneChannel(base) as server:
        here = world(tmp_path, server, config=SMALL)
        model = here.model(size=SIZE)
        assert here.placed(model, connections=2).evidence is Evidence.READ_BACK
        assert sha256(here.root / DREAM) == sha256(model)
        assert server.refused  # a second channel was to read back while the first one sends
        assert {outcome.status for outcome in here.push(*small_models(here, 4)).outcomes} == {"placed"}


def test_push_openssh_with_one_channel_gets_every_file(tmp_path: Path) -> None:
    needs_sshd()
    with OpenSSH(tmp_path / "server", extra=("MaxSessions 1",)) as server:
        here = world(tmp_path, server, config=SMALL)
        model = here.model(size=SIZE)
        outcome = here.placed(model, connections=3)
        assert outcome.evidence in (Evidence.REMOTE_HASH, Evidence.READ_BACK)
        assert sha256(here.root / DREAM) == sha256(model)
        assert {outcome.status for outcome in here.push(*small_models(here, 4)).outcomes} == {"placed"}


@pytest.mark.parametrize("connections", [None, 8])
def test_push_large_files_on_one_connection_survive_cuts(tmp_path: Path, base: Path, connections: int | None) -> None:
    with Crowded(base, limit=1) as server, Proxy(server.host, server.port) as line:
        here = world(tmp_path, server, line=line, config=SMALL)
        here.wait = lambda seconds: threading.Event().wait(0.05)  # until the server frees its one connection
        models = [here.model(f"{name}.safetensors", 9 * QUARTER) for name in "abc"]
        line.cut_after(12 * QUARTER)
        report = here.push(*models, connections=connections)
        assert line.was_cut.is_set()
        assert [(outcome.status, outcome.evidence) for outcome in report.outcomes] == [
            ("placed", Evidence.READ_BACK)
        ] * 3
        assert all(sha256(here.root / CHECKPOINTS / model.name) == sha256(model) for model in models)
        assert here.parts == []


# every kind, every number of connections --------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "connections"),
    [("full", None), ("full", 1), ("full", 8), ("sftp_only", None), ("sftp_only", 8), ("embedded", None)],
)
def test_push_large_file_after_cut_has_the_right_evidence(tmp_path: Path, kind: str, connections: int | None) -> None:
    with serve(tmp_path / "server", kind) as server, Proxy(server.host, server.port) as line:
        here = world(tmp_path, server, line=line, config=SMALL)
        model = here.model(size=33 * QUARTER + 8)
        line.cut_after(20 * QUARTER)
        outcome = here.placed(model, connections=connections)
        assert line.was_cut.is_set()
        assert outcome.evidence is (Evidence.REMOTE_HASH if kind == "full" else Evidence.READ_BACK)
        assert sha256(here.root / DREAM) == sha256(model) == outcome.sha256
        assert here.parts == []


@pytest.mark.parametrize("kind", ["full", "embedded"])
@pytest.mark.parametrize(("way", "after"), [("up", 60_000), ("up", 900_000), ("down", 9_000)])
def test_push_small_files_after_cut_are_all_placed(tmp_path: Path, kind: str, way: Direction, after: int) -> None:
    with serve(tmp_path / "server", kind) as server, Proxy(server.host, server.port) as line:
        here = world(tmp_path, server, line=line)
        models = [here.model(f"s{number}.safetensors", 16384, preset="lora") for number in range(60)]
        line.cut_after(after, way)
        report = here.push(*models)
        assert line.was_cut.is_set()
        assert {(outcome.status, outcome.evidence) for outcome in report.outcomes} == {
            ("placed", Evidence.REMOTE_HASH if kind == "full" else Evidence.READ_BACK)
        }
        for model in models:
            assert sha256(here.root / LORAS / model.name) == sha256(model)
        assert here.parts == []


def test_push_replace_without_posix_rename_adds_a_note(tmp_path: Path, base: Path) -> None:
    with NoPosixRename(base) as server:
        here = world(tmp_path, server, config=SMALL)
        (here.root / DREAM).write_bytes(b"old")
        model = here.model(size=5 * QUARTER)
        here.placed(model, replace=True, connections=3)
        assert sha256(here.root / DREAM) == sha256(model)
        assert "cannot replace in one step" in here.said


# a locked part file -----------------------------------------------------------------------------------


@pytest.mark.parametrize("connections", [1, 3])
def test_push_part_locked_by_lost_connection_is_awaited(tmp_path: Path, base: Path, connections: int) -> None:
    with HoldsPart(base, after=6 * QUARTER, refusals=4) as server:
        here = world(tmp_path, server, config=SMALL)
        model = here.model(size=SIZE)
        here.placed(model, connections=connections)
        assert server.held == 4
        assert "may still hold the file" in here.said
        assert sha256(here.root / DREAM) == sha256(model)


def test_push_part_locked_for_good_fails_and_resumes_later(tmp_path: Path, base: Path) -> None:
    with HoldsPart(base, after=6 * QUARTER, refusals=10**9) as server:
        here = world(tmp_path, server, config=SMALL)
        model = here.model(size=SIZE)
        report = here.push(model)
        (outcome,) = report.outcomes
        assert outcome.error is not None
        assert (outcome.error.code, report.exit_code) == ("part-held", 6)
        assert "may still hold the file" in outcome.error.message
        assert not (here.root / DREAM).exists()
        server.refusals = server.held + 2  # the next run is refused too, at first
        assert here.placed(model).resumed_from >= CHUNK_BYTES
        assert sha256(here.root / DREAM) == sha256(model)


# a connection that works in one direction -------------------------------------------------------------


@pytest.mark.parametrize(("kind", "connections"), [("full", 4), ("embedded", 1)])
@pytest.mark.parametrize("direction", ["up", "down", None])
def test_push_one_way_connection_is_opened_again(
    tmp_path: Path, kind: str, direction: Direction | None, connections: int
) -> None:
    """None: no byte is lost, but none is forwarded; the buffers of the operating system fill up."""
    with serve(tmp_path / "server", kind) as server, Proxy(server.host, server.port) as line:
        here = world(tmp_path, server, line=line, silence_seconds=0.8)
        model = here.model(size=33 * MIB)

        def lose() -> None:
            while line.up < 6 * MIB:
                time.sleep(0.002)  # another thread's bytes: there is no event to wait for
            if direction is None:
                line.freeze()
                while "trying again" not in here.said:
                    time.sleep(0.01)
                line.thaw()
            else:
                line.swallow(direction)

        losing = threading.Thread(target=lose, daemon=True)
        losing.start()
        here.placed(model, connections=connections)
        losing.join()
        assert "trying again" in here.said
        assert sha256(here.root / DREAM) == sha256(model)


@pytest.mark.timing
def test_push_long_round_trip_opens_more_connections(tmp_path: Path) -> None:
    with serve(tmp_path / "server", "sftp_only") as server, Proxy(server.host, server.port) as line:
        line.delay(0.1)
        here = world(tmp_path, server, line=line)
        model = here.model(size=33 * MIB)
        carried = line.connections
        assert here.placed(model).evidence is Evidence.READ_BACK
        assert line.connections - carried >= 3
        assert sha256(here.root / DREAM) == sha256(model)


# --limit ----------------------------------------------------------------------------------------------


@pytest.mark.timing
@pytest.mark.parametrize(
    ("files", "size", "connections", "limit"), [(3, 5 * MIB, 4, 4_000_000), (80, 16384, 4, 400_000)]
)
def test_push_limit_holds_over_all_connections_without_bursts(
    tmp_path: Path, files: int, size: int, connections: int, limit: int
) -> None:
    """Measure in the proxy, where SSH and SFTP add a few bytes to each request."""
    with serve(tmp_path / "server", "sftp_only") as server, Proxy(server.host, server.port) as line:
        here = world(tmp_path, server, line=line)
        models = [here.model(f"m{number}.safetensors", size, "lora") for number in range(files)]
        before = line.up
        report = here.push(*models, connections=connections, limit=limit)
        assert {outcome.status for outcome in report.outcomes} == {"placed"}
        overhead = (line.up - before) / (files * size)
        assert overhead < 1.25
        # The upload takes at least three seconds; the two in the middle contain nothing but sending.
        assert 0.95 <= line.busiest("up", 2.0) / (2.0 * limit * overhead) <= 1.05
        assert line.busiest("up", 1.0) <= 1.05 * limit * overhead + limit / 10
        assert line.busiest("down", 1.0) <= 1.05 * limit * overhead + limit / 10
