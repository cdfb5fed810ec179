"""Rules for every test: loopback only, and never the user's own home, state, agent or keyring."""

from __future__ import annotations

import ipaddress
import os
import sys

import pytest

from tests.examples import load_profile

load_profile()

_OURS = ("UPLOADER_", "HF_", "CIVITAI_", "SSH_", "XDG_", "DBUS_")


def _loopback(host: object) -> bool:
    if host in (None, "", "localhost"):
        return True
    text = host.decode() if isinstance(host, bytes) else str(host)
    if text.endswith(".invalid"):
        return True
    try:
        return ipaddress.ip_address(text.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _guard(event: str, args: tuple[object, ...]) -> None:
    if event == "socket.connect" and isinstance(args[1], tuple) and not _loopback(args[1][0]):
        raise AssertionError(f"a test tried to reach {args[1][0]}")
    if event == "socket.getaddrinfo" and not _loopback(args[0]):
        raise AssertionError(f"a test tried to resolve {args[0]!r}")


if sys.gettrace() is None:  # CPython installs no tracer in a thread while an audit hook written in Python runs
    sys.addaudithook(_guard)


@pytest.fixture(autouse=True)
def _home_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        if name.startswith(_OURS):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setenv("UPLOADER_HOME", str(home / "uploader"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let a skipped test be a failure where $CI is set: everything that a test needs is installed there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter is not None else []
    if os.environ.get("CI") and skipped and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
