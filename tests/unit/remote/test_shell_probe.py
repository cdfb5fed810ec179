"""Whether there is a shell is asked once for all connections, and once more where the line that was asked is lost."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import paramiko
import pytest

from tests.servers.openssh import OpenSSH
from tests.unit.remote.visitors import Visitor
from uploader.errors import NetworkError
from uploader.remote.sftp.shell_probe import Tools


class Line:
    """A transport whose every question meets `fault`."""

    def __init__(self, fault: Exception, *, alive: bool) -> None:
        self.fault = fault
        self.alive = alive
        self.asked = 0
        self.go_on = threading.Event()
        self.go_on.set()

    def open_session(self, timeout: float) -> Any:
        self.asked += 1
        self.go_on.wait(10)
        raise self.fault

    def is_active(self) -> bool:
        return self.alive


def without_shell() -> Any:
    return Line(paramiko.ChannelException(1, "prohibited"), alive=True)


def lost() -> Any:
    return Line(EOFError(), alive=False)


def test_a_server_that_is_known_to_have_no_shell_is_not_asked() -> None:
    line = without_shell()
    assert Tools(False).of(line, "box") is None
    assert line.asked == 0


def test_it_is_asked_once_for_all() -> None:
    tools, first, second = Tools(None), without_shell(), without_shell()
    tools.begin(first, "box")
    tools.begin(second, "box")
    assert tools.of(second, "box") is None
    assert tools.of(first, "box") is None
    assert (first.asked, second.asked) == (1, 0)


def test_server_known_to_have_a_shell_has_one() -> None:
    assert Tools(True).of(without_shell(), "box") == ()


def test_begin_does_not_wait_for_the_answer() -> None:
    line = without_shell()
    line.go_on.clear()
    tools = Tools(None)
    tools.begin(line, "box")
    line.go_on.set()
    assert tools.of(line, "box") is None


def test_lost_line_has_another_asked_once_for_all() -> None:
    tools, gone, living = Tools(None), lost(), without_shell()
    tools.begin(gone, "box")
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(tools.of(living, "box"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [None] * 8
    assert (gone.asked, living.asked) == (1, 1)


def test_where_no_line_lives_that_is_a_lost_line() -> None:
    with pytest.raises(NetworkError):
        Tools(None).of(lost(), "box")


def test_a_real_shell_tells_its_tools(tmp_path: Path, server: OpenSSH) -> None:
    with Visitor(tmp_path).connection(server, identity_file=str(server.identity_file)) as connection:
        found = Tools(None).of(connection._transports[-1], "box")
        assert found is not None
        assert "sha256sum" in found
