"""`state.db` is shared by several runs, survives a kill, and is replaced when it is damaged."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from uploader.errors import ConfigurationError
from uploader.events import Event, Message
from uploader.state.database import Database, Statement

HOUSE = Path(__file__).parents[3]
SERVERS = "SELECT host_key, tools FROM server ORDER BY host_key"


def server(*keys: str) -> Statement:
    return ("INSERT OR REPLACE INTO server (host_key, tools) VALUES (?, ?)", [(key, "{}") for key in keys])


def run(script: str, folder: Path, *before: str) -> subprocess.Popen[bytes]:
    """Start a script in a process of its own."""
    code = "import sys\nfrom pathlib import Path\nfrom uploader.state.database import Database\n"
    code += "from tests.unit.state.test_database import SERVERS, server\ndatabase = Database(Path(sys.argv[1]))\n"
    return subprocess.Popen(
        [*before, sys.executable, "-c", code + script, str(folder)], cwd=HOUSE, stdout=subprocess.PIPE
    )


def said(process: subprocess.Popen[bytes]) -> list[str]:
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return output.decode().split()


def test_read_without_a_file_is_empty_and_makes_none(tmp_path: Path) -> None:
    assert Database(tmp_path / "new").read(SERVERS) == []
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX's")
def test_write_makes_files_for_their_owner_only(tmp_path: Path) -> None:
    database = Database(tmp_path / "home")
    database.write(server("a"))
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "home").iterdir()} == {0o600}


def test_write_that_fails_halfway_changes_nothing(tmp_path: Path) -> None:
    database = Database(tmp_path)
    database.write(server("a"))
    with pytest.raises(ConfigurationError, match="cannot be written") as caught:
        database.write(server("b"), ("INSERT INTO nothing VALUES (1)", [()]))
    assert "UPLOADER_HOME" in (caught.value.remedy or "")
    assert database.read(SERVERS) == [("a", "{}")]


def test_write_on_a_full_disk_is_told_and_works_again_later(tmp_path: Path) -> None:
    database = Database(tmp_path)
    database.write(server("a"))
    ((pages,),) = database.read("PRAGMA page_count")
    database.read(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(ConfigurationError, match="full"):
        database.write(server(*(f"key {number}" for number in range(10_000))))
    database.read("PRAGMA max_page_count = 1000000")
    database.write(server("b"))
    assert database.read(SERVERS) == [("a", "{}"), ("b", "{}")]


# several processes ------------------------------------------------------------------------------------

_WRITER = """
for number in range(200):
    database.write(server(f"{sys.argv[0]}{__import__('os').getpid()} {number}"))
"""


def test_write_of_three_processes_at_once_loses_nothing(tmp_path: Path) -> None:
    for writer in [run(_WRITER, tmp_path) for _ in range(3)]:
        assert said(writer) == []
    assert len(Database(tmp_path).read(SERVERS)) == 600


_KILLED = """
import threading
database.write(server("a"))
held = threading.Event()
def hold(value):
    print("in the middle", flush=True)
    held.wait()
database.read("SELECT 1")
database._connection.create_function("hold", 1, hold)
database.write(server("b"), ("INSERT INTO server SELECT 'c', hold(1)", [()]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
def test_write_killed_in_the_middle_leaves_the_earlier_rows(tmp_path: Path) -> None:
    writer = run(_KILLED, tmp_path)
    with writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"in the middle\n"
        assert Database(tmp_path).read(SERVERS) == [("a", "{}")]
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
    database = Database(tmp_path)
    assert database.read(SERVERS) == [("a", "{}")]
    database.write(server("d"))
    assert database.read(SERVERS) == [("a", "{}"), ("d", "{}")]


# homes that refuse ------------------------------------------------------------------------------------

_READ_ONLY = """
from uploader.errors import ConfigurationError
print(*(key for key, _ in database.read(SERVERS)))
try:
    database.write(server("b"))
except ConfigurationError:
    print("refused")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX's")
def test_read_only_home_is_read_and_refuses_writes(tmp_path: Path) -> None:
    without_powers: list[str] = []
    if os.geteuid() == 0:
        setpriv = shutil.which("setpriv") or pytest.skip("root may write everywhere, and there is no setpriv")
        without_powers = [setpriv, "--bounding-set=-all", "--inh-caps=-all"]
    home = tmp_path / "home"
    database = Database(home)
    database.write(server("a"))
    del database
    for path in (*home.iterdir(), home):
        path.chmod(0o500 if path.is_dir() else 0o400)
    try:
        assert said(run(_READ_ONLY, home, *without_powers)) == ["a", "refused"]
    finally:
        home.chmod(0o700)


@pytest.mark.skipif(sys.platform == "win32", reason="the dot-file locks are Unix's")
def test_disk_that_refuses_wal_gets_another_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # This VFS has no shared memory, as a network disk.
    monkeypatch.setattr(sqlite3, "connect", functools.partial(_connect_without_wal, sqlite3.connect))
    one, two = Database(tmp_path), Database(tmp_path)
    one.write(server("a"))
    two.write(server("b"))
    assert one.read("PRAGMA journal_mode") == [("delete",)]
    assert one.read(SERVERS) == two.read(SERVERS) == [("a", "{}"), ("b", "{}")]


def _connect_without_wal(connect: Any, path: str, **options: Any) -> Any:
    options["uri"] = True
    return connect(f"{Path(path).as_uri()}?vfs=unix-dotfile", **options)


# damage -----------------------------------------------------------------------------------------------


def damage_a_page(path: Path) -> None:
    text = bytearray(path.read_bytes())
    text[4096:] = os.urandom(len(text) - 4096)
    path.write_bytes(text)


def of_another_version(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"no database" * 1000), damage_a_page])
def test_damaged_file_is_set_aside_with_one_note(tmp_path: Path, damage: object) -> None:
    assert callable(damage)
    database = Database(tmp_path)
    database.write(server("a"))
    database.read("PRAGMA wal_checkpoint(TRUNCATE)")
    del database
    damage(tmp_path / "state.db")
    kept = (tmp_path / "state.db").read_bytes()
    events: list[Event] = []
    after = Database(tmp_path, events.append)
    assert after.read(SERVERS) == []
    after.write(server("b"))
    assert Database(tmp_path, events.append).read(SERVERS) == [("b", "{}")]
    (aside,) = (path for path in tmp_path.glob("state.db.broken-*") if not path.name.endswith(("-wal", "-shm")))
    assert aside.read_bytes() == kept
    (event,) = events
    assert isinstance(event, Message)
    assert event.level == "note"
    assert aside.name in event.text


def test_file_of_a_newer_program_is_left_alone_and_told(tmp_path: Path) -> None:
    Database(tmp_path).write(server("a"))
    of_another_version(tmp_path / "state.db")
    with pytest.raises(ConfigurationError, match="newer version") as caught:
        Database(tmp_path).write(server("b"))
    assert caught.value.remedy
    assert list(tmp_path.glob("state.db.broken-*")) == []


def test_read_beside_a_busy_writer_spoils_no_later_write(tmp_path: Path) -> None:
    Database(tmp_path).write(server("a"))
    other = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    other.execute("PRAGMA journal_mode=DELETE")
    database = Database(tmp_path)
    other.execute("BEGIN EXCLUSIVE")
    other.execute("PRAGMA busy_timeout=0")
    other.execute("COMMIT")
    assert database.read(SERVERS) == [("a", "{}")]
    database.write(server("b"))
    other.close()
    assert len(database.read(SERVERS)) == 2


def test_damaged_file_of_an_open_connection_is_set_aside(tmp_path: Path) -> None:
    events: list[Event] = []
    database = Database(tmp_path, events.append)
    database.write(server(*(f"key {number}" for number in range(10_000))))
    database.read("PRAGMA wal_checkpoint(TRUNCATE)")
    damage_a_page(tmp_path / "state.db")
    database.read("PRAGMA shrink_memory")
    database.write(server("b"))
    assert Database(tmp_path).read(SERVERS) == [("b", "{}")]
    assert len(events) == 1
