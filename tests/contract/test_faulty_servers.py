"""Servers that store wrong bytes, stall or fill up, and changes on this side: no final name has wrong bytes."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.contract.world import CHECKPOINTS, MIB, sha256, world
from tests.servers.faulty import ChangesByte, Crowded, DropsWrites, Frozen, FullDisk, WriteFault
from tests.servers.openssh import OpenSSH, needs_sshd
from tests.servers.tcp_proxy import Proxy
from tests.small_config import SMALL
from uploader.demo.server import EmbeddedServer
from uploader.events import Progress
from uploader.result import Evidence

CHUNK_BYTES = SMALL.chunk_bytes
QUARTER = CHUNK_BYTES // 4
ROOT = Path(__file__).parents[2]
DREAM = f"{CHECKPOINTS}/dream.safetensors"
SIZE = 17 * QUARTER + 24
LARGE = 17 * MIB + 24


# faults of the server ---------------------------------------------------------------------------------


class StoresOneWrongByte(ChangesByte):
    """A fault that stores one wrong byte, once."""

    done = False

    def verdict(self, total: int, offset: int, data: bytes) -> bytes | None:
        found = None if self.done else super().verdict(total, offset, data)
        self.done = self.done or found is not None
        return found


@pytest.mark.parametrize("connections", [1, 4])
def test_push_wrong_byte_sends_its_chunk_again(tmp_path: Path, connections: int) -> None:
    (tmp_path / "server").mkdir()
    with StoresOneWrongByte(tmp_path / "server", offset=CHUNK_BYTES + 77) as server:
        here = world(tmp_path, server, config=SMALL)
        model = here.model(size=SIZE)
        outcome = here.placed(model, connections=connections)
        assert (outcome.bytes_sent, outcome.evidence) == (SIZE + CHUNK_BYTES, Evidence.READ_BACK)
        assert sha256(here.root / DREAM) == sha256(model)


@pytest.mark.parametrize("fault", [ChangesByte, DropsWrites])
@pytest.mark.parametrize("replacing", [True, False])
def test_push_server_that_stores_wrong_bytes_places_nothing(
    tmp_path: Path, fault: type[ChangesByte] | type[DropsWrites], replacing: bool
) -> None:
    (tmp_path / "server").mkdir()
    with fault(tmp_path / "server", offset=SIZE - 5) as server:
        here = world(tmp_path, server, config=SMALL)
        if replacing:
            (here.root / DREAM).write_bytes(b"old")
        report = here.push(here.model(size=SIZE), replace=replacing)
        (outcome,) = report.outcomes
        assert outcome.error is not None
        assert (outcome.error.code, report.exit_code) == ("hash", 7)
        assert outcome.bytes_sent > SIZE
        assert here.there == ({DREAM: 3} if replacing else {})


def test_push_disk_full_midway_keeps_the_part(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    with FullDisk(tmp_path / "server", after=10 * QUARTER) as server:
        here = world(tmp_path, server, config=SMALL)
        model = here.model(size=SIZE)
        report = here.push(model, connections=2)
        assert report.exit_code == 6
        assert not (here.root / DREAM).exists()
        server.after = 10**12
        outcome = here.placed(model)
        assert outcome.resumed_from >= CHUNK_BYTES
        assert sha256(here.root / DREAM) == sha256(model)


def test_push_real_full_disk_fails_with_no_space(tmp_path: Path) -> None:
    """Another program fills the disk after push made its plan."""
    needs_sshd("full", disk=True)
    with OpenSSH(tmp_path / "server", "full", disk_mib=40) as server:
        here = world(tmp_path, server)
        model = here.model(size=30 * MIB)
        filled = threading.Event()

        def fill(event: object) -> None:
            if isinstance(event, Progress) and event.done and not filled.is_set():
                filled.set()
                (here.root / "other").write_bytes(bytes(20 * MIB))

        here.events = _EventsThatAct(fill)  # type: ignore[assignment]
        here.app.session.observer = here.events.append
        report = here.push(model, limit=40 * MIB)
        error = report.outcomes[0].error
        assert error is not None
        assert (error.code, report.exit_code) == ("space", 6)
        assert "full" in error.message
        (here.root / "other").unlink()
        assert here.placed(model).resumed_from > 0


class _EventsThatAct(list[object]):
    """A list of events that calls `act` with each new event."""

    def __init__(self, act: object) -> None:
        self.act = act

    def append(self, event: object) -> None:
        self.act(event)  # type: ignore[operator]


def test_push_silent_server_is_connected_again(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    with Frozen(tmp_path / "server", after=5 * QUARTER) as server:
        here = world(tmp_path, server, silence_seconds=0.6, config=SMALL)
        model = here.model(size=SIZE)

        def thaw() -> None:
            server.frozen.wait(20)
            server.after = 10**12
            deadline = time.monotonic() + 20
            while "trying again" not in here.said and time.monotonic() < deadline:
                time.sleep(0.01)  # the observer only appends to a list: there is no event to wait for
            server.thaw.set()

        thawing = threading.Thread(target=thaw)
        thawing.start()
        here.placed(model)
        thawing.join()
        assert "does not answer" in here.said
        assert sha256(here.root / DREAM) == sha256(model)


def test_push_single_connection_server_gets_every_file(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    with Crowded(tmp_path / "server", limit=1) as server:
        here = world(tmp_path, server, config=SMALL)
        model = here.model(size=SIZE)
        here.placed(model, connections=4)
        assert sha256(here.root / DREAM) == sha256(model)


# this side --------------------------------------------------------------------------------------------


class PausesFirstWrite(WriteFault):
    """A server that sets `begun` at the first write and then waits for `go_on`."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def verdict(self, total: int, offset: int, data: bytes) -> None:
        self.begun.set()
        self.go_on.wait(20)

    def close(self) -> None:
        self.go_on.set()
        super().close()


def test_push_file_changed_during_send_places_nothing(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    with PausesFirstWrite(tmp_path / "server") as server:
        here = world(tmp_path, server, config=SMALL)
        model = here.model(size=SIZE)

        def change() -> None:
            server.begun.wait(20)
            with model.open("r+b") as file:
                file.seek(-1, 2)
                file.write(b"!")
            server.go_on.set()

        changing = threading.Thread(target=change)
        changing.start()
        report = here.push(model)
        changing.join()
        assert report.outcomes[0].error is not None
        assert (report.outcomes[0].error.code, report.exit_code) == ("source-changed", 7)
        assert here.there == {}


def test_push_same_file_twice_at_once_second_is_busy(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    with PausesFirstWrite(tmp_path / "server") as server:
        here = world(tmp_path, server, config=SMALL)
        model = here.model(size=SIZE)
        first = threading.Thread(target=here.placed, args=(model,))
        first.start()
        assert server.begun.wait(20)
        assert here.fails(model) == "busy"
        server.go_on.set()
        first.join()
        assert sha256(here.root / DREAM) == sha256(model)
        assert here.one(model).status == "kept"


_INTERRUPTED = """
import sys
from pathlib import Path
from uploader import api
from uploader.events import Message, Progress

def heard(event):
    if isinstance(event, Progress) and event.done:
        print("moving", flush=True)
    if isinstance(event, Message) and "trying again" in event.text:
        print("waiting", flush=True)

base = Path(sys.argv[1])
session = api.Session(environ={"UPLOADER_PASSWORD": sys.argv[2]}, observer=heard, state=base / "state",
                      ssh_folder=base / "ssh")
try:
    report = api.push(session, api.PushRequest((sys.argv[3],), limit=float(sys.argv[4]), connections=2))
except KeyboardInterrupt:
    sys.exit(130)
sys.exit(report.exit_code)
"""


@pytest.mark.timing
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to another process there")
def test_push_ctrl_c_under_limit_ends_and_next_run_resumes(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    with EmbeddedServer(tmp_path / "server") as server:
        here = world(tmp_path, server)
        model = here.model(size=LARGE)
        arguments = [str(tmp_path), server.password.reveal(), str(model), "8000000"]
        command = [sys.executable, "-c", _INTERRUPTED, *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
            assert process.stdout is not None
            while process.stdout.readline():
                if any(part.stat().st_size > 13 * MIB for part in here.parts):  # three chunks, two at a time
                    break
            process.send_signal(2)
            began = time.monotonic()
            process.stdout.read()
            assert process.wait(5) == 130
            assert time.monotonic() - began < 2.5
        assert not (here.root / DREAM).exists()
        assert here.placed(model).resumed_from > 0
        assert sha256(here.root / DREAM) == sha256(model)


@pytest.mark.timing
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to another process there")
@pytest.mark.parametrize("moment", ["connecting", "back-off", "silence"])
def test_push_ctrl_c_ends_every_wait(tmp_path: Path, moment: str) -> None:
    (tmp_path / "server").mkdir()
    with Frozen(tmp_path / "server", after=MIB) as server, Proxy(server.host, server.port) as line:
        here = world(tmp_path, server, line=line)
        if moment == "connecting":
            line.freeze()
        elif moment == "back-off":
            line.refuse()
        model = here.model(size=LARGE)
        carried = line.connections
        command = [sys.executable, "-c", _INTERRUPTED, str(tmp_path), server.password.reveal(), str(model), "1e12"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
            assert process.stdout is not None
            if moment == "silence":
                assert server.frozen.wait(20)
            elif moment == "back-off":
                assert process.stdout.readline() == b"waiting\n"
            deadline = time.monotonic() + 20
            while moment == "connecting" and line.connections == carried and time.monotonic() < deadline:
                time.sleep(0.01)  # another process's progress: there is no event to wait for
            process.send_signal(2)
            began = time.monotonic()
            assert process.wait(10) == 130
            assert time.monotonic() - began < 2.5
            process.stdout.read()
