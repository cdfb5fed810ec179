"""A real Secret Service: a session bus and a gnome-keyring-daemon of their own, in a home of their own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

_PROGRAMS = ("dbus-run-session", "gnome-keyring-daemon")
_REPOSITORY = Path(__file__).parents[2]
_SESSION = """
import os, subprocess, sys, time
import jeepney
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import open_dbus_connection

daemon = subprocess.Popen(
    ["gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets"],
    stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
)
daemon.stdin.write(b"the keyring's own password")
daemon.stdin.close()
try:
    deadline = time.monotonic() + 30
    with open_dbus_connection() as bus:
        while not bus.send_and_get_reply(message_bus.NameHasOwner("org.freedesktop.secrets")).body[0]:
            if daemon.poll() is not None or time.monotonic() > deadline:
                sys.exit("gnome-keyring-daemon did not come up")
            time.sleep(0.05)
    os.environ["KEYRING_DAEMON_PID"] = str(daemon.pid)
    code = subprocess.run([sys.executable, "-W", "error", "-c", sys.argv[1]]).returncode
finally:
    daemon.kill()
    daemon.wait()
sys.exit(code)
"""


def require() -> None:
    """Skip the test where the programs are not installed; in CI that is a failure."""
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if not missing:
        return
    reason = f"not installed: {', '.join(missing)}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def run(snippet: str, home: Path, *, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run Python code in a session with an unlocked, empty keyring that is kept below `home`.

    The code finds the daemon's process id in $KEYRING_DAEMON_PID."""
    require()
    with tempfile.TemporaryDirectory(prefix="kr-") as runtime:  # short: sockets have room for some 100 characters
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "XDG_DATA_HOME": str(home / "data"),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_CACHE_HOME": str(home / "cache"),
            "XDG_RUNTIME_DIR": runtime,
        }
        process = subprocess.Popen(
            ["dbus-run-session", "--", sys.executable, "-c", _SESSION, snippet],
            cwd=_REPOSITORY,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        with process:
            try:
                out, err = process.communicate(timeout=timeout)
            except BaseException:  # also after a failed test
                os.killpg(process.pid, signal.SIGKILL)
                raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)
