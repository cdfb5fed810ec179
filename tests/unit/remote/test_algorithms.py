"""Servers of few algorithms: connected to where we know one, else told what they offer and who lacks it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers.openssh import OpenSSH, needs_sshd
from tests.unit.remote.visitors import Visitor
from uploader.errors import RemoteRefused


def test_curve25519_by_its_standard_name_connects(tmp_path: Path) -> None:
    needs_sshd()
    with (
        OpenSSH(tmp_path / "server", extra=["KexAlgorithms curve25519-sha256"]) as server,
        Visitor(tmp_path).connection(server, identity_file=str(server.identity_file)) as connection,
    ):
        assert connection.files.stat("/") is not None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["Ciphers chacha20-poly1305@openssh.com"], "does not know: chacha20-poly1305@openssh.com"),
        (["KexAlgorithms diffie-hellman-group18-sha512"], "does not know: diffie-hellman-group18-sha512"),
        (["MACs umac-128@openssh.com", "Ciphers aes128-ctr"], "does not know: umac-128@openssh.com"),
        (["Ciphers 3des-cbc"], "not safe any more: 3des-cbc"),
    ],
)
def test_server_without_a_common_algorithm_is_told(tmp_path: Path, options: list[str], said: str) -> None:
    needs_sshd()
    with OpenSSH(tmp_path / "server", extra=options) as server:
        connector = Visitor(tmp_path).connector(server, identity_file=str(server.identity_file))
        with pytest.raises(RemoteRefused) as caught:
            connector.connect()
    assert said in caught.value.message
    assert ("sshd_config" in str(caught.value.remedy)) is ("does not know" in said)
