"""What the user told OpenSSH about a host holds here too; what cannot be read is named."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from uploader.errors import ConfigurationError
from uploader.remote.sftp.ssh_config import Address, look_up, parse_hop


def look(tmp_path: Path, text: str, alias: str = "gpu", **given: object) -> Address:
    (tmp_path / "config").write_text(text)
    return look_up(alias, config=tmp_path / "config", **given)  # type: ignore[arg-type]


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    found = look_up("gpu.example.com", config=tmp_path / "none")
    assert found == Address("gpu.example.com", 22, getpass.getuser())
    assert found.known_as == "gpu.example.com"


def test_the_file_is_followed(tmp_path: Path) -> None:
    text = """
        Host gpu other
          HostName 10.0.0.7
          User me
          Port 2222
          IdentityFile ~/keys/%h
          IdentityFile none
          CertificateFile ~/keys/cert.pub
          IdentitiesOnly yes
          ProxyJump a@b:1,c
        Host *
          User nobody
    """
    home = Path("~").expanduser()
    assert look(tmp_path, text) == Address(
        "10.0.0.7",
        2222,
        "me",
        identity_files=(home / "keys/10.0.0.7",),
        certificates=(home / "keys/cert.pub",),
        identities_only=True,
        jumps=("a@b:1", "c"),
    )
    assert look(tmp_path, text).known_as == "[10.0.0.7]:2222"
    assert look(tmp_path, text, "elsewhere").user == "nobody"


def test_what_is_given_outweighs_the_file(tmp_path: Path) -> None:
    text = "Host *\n  User me\n  Port 2222\n  IdentityFile /a\n  ProxyJump b\n  ProxyCommand nc %h %p\n"
    found = look(tmp_path, text, port=22, user="you", identity_file="/mine", jump="c:7")
    assert found == Address("gpu", 22, "you", (Path("/mine"),), identities_only=True, own_key=True, jumps=("c:7",))


def test_a_proxy_command_has_its_names_filled_in(tmp_path: Path) -> None:
    text = "Host gpu\n  HostName h\n  Port 5\n  User u\n  ProxyCommand relay --to %h:%p as %r\n"
    assert look(tmp_path, text).proxy_command == "relay --to h:5 as u"
    assert look(tmp_path, text, port=7, user="me").proxy_command == "relay --to h:7 as me"


@pytest.mark.parametrize("text", ["ProxyJump none", "ProxyJump NONE", "ProxyCommand none"])
def test_none_means_none(tmp_path: Path, text: str) -> None:
    found = look(tmp_path, f"Host gpu\n  {text}\nHost *\n  User me\n")
    assert found.jumps == ()
    assert found.proxy_command is None


def test_no_jump_may_be_given_against_the_file(tmp_path: Path) -> None:
    assert look(tmp_path, "ProxyJump b\n", jump="none").jumps == ()


@pytest.mark.parametrize(
    "broken",
    [
        b"Host",
        b"nonsense\n",
        b"Port seventy\n",
        b"Port 0\n",
        b"Port 65536\n",
        b"\xff\xfe\n",
        b'Host "open\n',
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, broken: bytes) -> None:
    (tmp_path / "config").write_bytes(broken)
    with pytest.raises(ConfigurationError) as caught:
        look_up("gpu", config=tmp_path / "config")
    assert str(tmp_path / "config") in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("hop", "expected"),
    [
        ("host", ("host", None, None)),
        ("me@host", ("host", None, "me")),
        ("host:2222", ("host", 2222, None)),
        ("me@host:2222", ("host", 2222, "me")),
        ("me@corp@host:2222", ("host", 2222, "me@corp")),
        ("ssh://me@host:2222", ("host", 2222, "me")),
        ("[::1]:2222", ("::1", 2222, None)),
        ("me@[fe80::1%eth0]", ("fe80::1%eth0", None, "me")),
        ("::1", ("::1", None, None)),
    ],
)
def test_a_hop_is_read_as_proxyjump_writes_it(hop: str, expected: tuple[str, int | None, str | None]) -> None:
    assert parse_hop(hop) == expected


@pytest.mark.parametrize(
    "hop", ["", "me@", ":22", "host:", "host:x", "host:0", "host:65536", "host:²", "[::1", "[::1]22", "[::1]:"]
)
def test_a_hop_that_is_none_is_named(hop: str) -> None:
    with pytest.raises(ConfigurationError, match="jump host"):
        parse_hop(hop)
