"""A real sshd for a module's tests, and a connection to it for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.openssh import OpenSSH, needs_sshd
from tests.unit.remote.visitors import Visitor
from uploader.remote.sftp import SftpConnection


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSSH]:
    needs_sshd()
    with OpenSSH(tmp_path_factory.mktemp("sshd") / "server") as server:
        yield server


@pytest.fixture
def connection(tmp_path: Path, server: OpenSSH) -> Iterator[SftpConnection]:
    with Visitor(tmp_path).connection(server, identity_file=str(server.identity_file)) as connection:
        yield connection
