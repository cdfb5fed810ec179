"""The reader of ~/.ssh/config is held to what OpenSSH's own `ssh -G` makes of the same file."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.remote.sftp.ssh_config import look_up

needs_ssh = pytest.mark.skipif(shutil.which("ssh") is None, reason="OpenSSH's client is not installed")

FILES: dict[str, str | bytes] = {
    "a comment after a pattern": "Host other # the one after pod\n  User wrong\nHost pod\n  User right\n",
    "a comment after a value": "Host pod\n  HostName 10.0.0.1 # rented\n  Port 2222 #x\n  User me#you\n",
    "an apostrophe in a comment": "Host other\n  User x # bob's\n# it's\nHost pod\n  Port 3\n",
    "a match of another host": "Match Host other\n  ProxyJump b\n  User x\nMatch host pod\n  Port 4\n",
    "a match of another user": "Match User x\n  Port 5\nHost *\n  User me\nMatch user me\n  HostName h\n",
    "a match that runs false": 'Match Exec "false"\n  Port 5\nMatch exec "test %n = pod"\n  User you\n',
    "a match of all": "Match all\n  Port 6\n",
    "a final match": "Host pod\n  HostName h.example\nMatch final all\n  User late\nHost h.example\n  Port 8\n",
    "a final match of the new name": "Host pod\n  HostName h.example\nMatch final host h.example\n  Port 9\n",
    "a canonical match": "Match canonical all\n  Port 7\n",
    "an original host": "Host pod\n  HostName h\nMatch originalhost pod\n  User o\nMatch host pod\n  Port 5\n",
    "a negated match": "Match !host other\n  Port 11\nMatch !host pod\n  User x\n",
    "two criteria": "Match host pod user root\n  Port 1\nHost *\n  User root\nMatch host pod user root\n  Port 2\n",
    "a local user": "Match localuser nosuchuser\n  Port 3\n",
    "a negated pattern": "Host * !pod\n  Port 1\nHost * !other\n  Port 2\n",
    "brackets in a pattern": "Host [p]od\n  Port 1\nHost p?d\n  User q\n",
    "a capital in a pattern": "Host POD\n  Port 1\n",
    "an equals sign": "Host=pod\n  Port = 21\n  User= me\n  HostName =h\n",
    "quotes": 'Host "pod"\n  User "a b"\n  IdentityFile "/k/my key"\n',
    "single quotes": "Host 'pod'\n  IdentityFile '/k/my key'\n",
    "an escaped quote": 'Host pod\n  User "a\\"b"\n',
    "tabs and blanks": "\tHost\tpod\n   Port\t 5  \n\n",
    "capital keywords": "HOST pod\n  PORT 5\n  hostNAME h\n",
    "percent signs": "Host pod\n  HostName %h.example\n  IdentityFile /k/%%-%h-%n-%p-%r\n  User me\n",
    "an environment variable": "Host pod\n  IdentityFile ${HOME}/k\n",
    "a command before a jump": "Host pod\n  ProxyCommand nc %h %p # 'x\n  ProxyJump b\n",
    "a jump before a command": "Host pod\n  ProxyJump b\n  ProxyCommand nc %h %p\n",
    "no jump": "Host pod\n  ProxyJump none\nHost *\n  ProxyJump b\n",
    "no command": "Host pod\n  ProxyCommand none\nHost *\n  ProxyCommand nc x\n",
    "identities only": "Host pod\n  IdentitiesOnly true\n",
    "identities only, told": "Host pod\n  IdentitiesOnly yes # only these\n",
    "several keys": "Host pod\n  IdentityFile /a\n  IdentityFile /b\nHost *\n  IdentityFile /c\n  IdentityFile /a\n",
    "certificates": "Host pod\n  CertificateFile /a\nHost *\n  CertificateFile /b\n",
    "the first value wins": "Host pod\n  Port 1\n  Port 2\nHost *\n  Port 3\n",
    "an old encoding": b"Host other # caf\xe9\n  User x\nHost pod\n  Port 5\n",
    "carriage returns": "Host pod\r\n  Port 5\r\n",
    "canonical names": "CanonicalizeHostname no\nHost pod\n  Port 5\n",
}
INCLUDED = {
    "a file": "Include {0}/one.conf\nHost pod\n  User late\n",
    "a file in a block": "Host other\n  Include {0}/one.conf\nHost pod\n  User late\n",
    "a file in a block of this host": "Host pod\n  Include {0}/one.conf\n  Port 99\n",
    "a file that opens another block": "Host pod\n  Include {0}/two.conf\n  Port 77\n",
    "a glob": "Include {0}/*.conf\n",
    "a quoted name": 'Include "{0}/with blank.cfg"\n',
    "a nested file": "Include {0}/nested.cfg\n",
    "several files": "Include {0}/two.conf {0}/one.conf\n",
    "no such file": "Include {0}/missing\nHost pod\n  Port 5\n",
}


def ours(config: Path, alias: str = "pod") -> dict[str, object]:
    found = look_up(alias, config=config)
    return {
        "hostname": found.host,
        "port": str(found.port),
        "user": found.user,
        "identityfile": [str(path) for path in found.identity_files],
        "certificatefile": [str(path) for path in found.certificates],
        "identitiesonly": "yes" if found.identities_only else "no",
        "proxyjump": ",".join(found.jumps) or None,
        "proxycommand": found.proxy_command,
    }


def theirs(config: Path, alias: str = "pod") -> dict[str, object] | None:
    """What ssh makes of it; None where it refuses the file."""
    done = subprocess.run(["ssh", "-F", str(config), "-G", alias], capture_output=True, text=True, check=False)
    if done.returncode:
        return None
    lines = [line.partition(" ") for line in done.stdout.splitlines()]
    one = {key: value for key, _, value in lines}

    def many(name: str) -> list[str]:
        return [value for key, _, value in lines if key == name]

    files = [name for name in many("identityfile") if not name.startswith("~/.ssh/id_")]
    return {
        "hostname": one["hostname"],
        "port": one["port"],
        "user": one["user"],
        "identityfile": files,
        "certificatefile": many("certificatefile"),
        "identitiesonly": one["identitiesonly"],
        "proxyjump": one.get("proxyjump"),
        "proxycommand": one.get("proxycommand"),
    }


def agree(config: Path) -> None:
    expected = theirs(config)
    assert expected is not None, "ssh refuses the file"
    found = ours(config)
    for key in ("identityfile", "proxycommand"):  # `ssh -G` shows these before their tokens are filled in
        if "%" in str(expected[key]) or "$" in str(expected[key]):
            found.pop(key)
            expected.pop(key)
    assert found == expected


@needs_ssh
@pytest.mark.parametrize("name", FILES)
def test_ssh_config_file_reads_as_ssh_does(tmp_path: Path, name: str) -> None:
    text = FILES[name]
    config = tmp_path / "config"
    config.write_bytes(text if isinstance(text, bytes) else text.encode())
    agree(config)


@needs_ssh
@pytest.mark.parametrize("name", INCLUDED)
def test_ssh_config_include_reads_as_ssh_does(tmp_path: Path, name: str) -> None:
    (tmp_path / "one.conf").write_text("Host pod\n  User one\n  Port 11\n")
    (tmp_path / "two.conf").write_text("Host nobody\n  User two\nHost *\n  IdentityFile /two\n")
    (tmp_path / "with blank.cfg").write_text("Host pod\n  Port 12\n")
    (tmp_path / "nested.cfg").write_text(f"Include {tmp_path}/one.conf\nHost pod\n  HostName n\n")
    (tmp_path / "config").write_text(INCLUDED[name].format(tmp_path))
    agree(tmp_path / "config")


WORDS = st.sampled_from(["pod", "other", "*", "p*", "!pod", "p?d", "POD"])
BLOCKS = st.one_of(
    st.lists(WORDS, min_size=1, max_size=3).map(lambda words: "Host " + " ".join(words)),
    st.tuples(
        st.sampled_from(["host", "Host", "originalhost", "user", "!host", "!user"]),
        st.sampled_from(["pod", "other", "me", "p*,other", "!pod,*"]),
    ).map(lambda pair: f"Match {pair[0]} {pair[1]}"),
    st.just("Match all"),
    st.just("Match final all"),
)
VALUES = st.one_of(
    st.integers(1, 9).map(lambda port: f"Port {port}"),
    st.sampled_from(["User me", "User you", "HostName other", "HostName %h.x", "ProxyJump b", "ProxyCommand nc x"]),
    st.sampled_from(["IdentityFile /a", "IdentityFile /b # c", "IdentitiesOnly yes", "ProxyJump none"]),
)


@needs_ssh
@given(st.lists(st.tuples(BLOCKS, st.lists(VALUES, max_size=3)), max_size=5))
def test_ssh_config_random_blocks_read_as_ssh_does(
    tmp_path_factory: pytest.TempPathFactory, blocks: list[tuple[str, list[str]]]
) -> None:
    config = tmp_path_factory.mktemp("random") / "config"
    config.write_text("\n".join(line for block, values in blocks for line in (block, *values)) + "\n")
    agree(config)


def test_ssh_config_unjudged_block_is_passed_over_and_told(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        "Match localnetwork 10.0.0.0/8 host pod\n  User wrong\nMatch version *\n  Port 3\nHost pod\n  Port 5\n"
    )
    told: list[str] = []
    found = look_up("pod", config=config, tell=told.append)
    assert (found.port, found.user == "wrong") == (5, False)
    assert len(told) == 2
    assert all(str(config) in text for text in told)


def test_ssh_config_tag_is_matched(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("Host pod\n  Tag gpu\nMatch tagged gpu\n  Port 5\nMatch tagged cpu\n  User x\n")
    found = look_up("pod", config=tmp_path / "config")
    assert found.port == 5
    assert found.user != "x"


def test_ssh_config_include_is_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("Include conf.d/*\n")
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "a").write_text("Host pod\n  Port 5\n")
    assert look_up("pod", config=tmp_path / "config").port == 5


def test_ssh_config_tokens_are_filled_in(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("Host pod\n HostName %h.x\n User me\n Port 5\n IdentityFile /k/%%-%h-%n-%p-%r\n")
    assert look_up("pod", config=tmp_path / "config").identity_files == (Path("/k/%-pod.x-pod-5-me"),)
