"""A server is known by its key: pinned by target, witnessed by the user's own known_hosts, never taken in silence."""

from __future__ import annotations

import functools
from pathlib import Path

import paramiko
import pytest

from tests.servers.openssh import OpenSSH, needs_sshd
from tests.servers.openssh_setup import fingerprint as ssh_keygens_fingerprint
from tests.servers.openssh_setup import make_key
from tests.unit.remote.visitors import Doorman, Notes, Visitor
from uploader.demo.server import EmbeddedServer
from uploader.errors import ConfigurationError, HostKeyChanged, HostKeyUnknown
from uploader.remote.sftp.known_hosts import KnownHosts, fingerprint

ADDRESS = "[gpu.example.com]:2222"


@functools.cache
def key(number: int) -> paramiko.PKey:
    return paramiko.ECDSAKey.generate()


def line(names: str, number: int) -> str:
    return f"{names} {key(number).get_name()} {key(number).get_base64()}\n"


@pytest.fixture
def ssh(tmp_path: Path) -> Path:
    (tmp_path / "ssh").mkdir()
    return tmp_path / "ssh"


@pytest.fixture
def hosts(tmp_path: Path, ssh: Path) -> KnownHosts:
    return KnownHosts(tmp_path / "state" / "known_hosts", ssh_folder=ssh)


def anew(hosts: KnownHosts, ssh: Path) -> KnownHosts:
    """The same files, in the next run of the program."""
    return KnownHosts(hosts.file, ssh_folder=ssh)


NOBODY = Doorman(trusts=False)


# new --------------------------------------------------------------------------------------------------


def test_a_new_key_is_shown_as_openssh_shows_it(tmp_path: Path, hosts: KnownHosts) -> None:
    needs_sshd()
    public = make_key(tmp_path, "ecdsa").public
    blob = paramiko.pkey.PublicBlob.from_file(str(public)).key_blob
    assert fingerprint(blob) == ssh_keygens_fingerprint(public)
    trust = Doorman()
    hosts.verify(key(1), "box", ADDRESS, trust)
    (shown,) = trust.shown
    assert (shown.target, shown.address, shown.key_type) == ("box", ADDRESS, "ecdsa-sha2-nistp256")
    assert shown.fingerprint == key(1).fingerprint


def test_new_untrusted_key_is_refused_with_the_flag_for_it(hosts: KnownHosts) -> None:
    with pytest.raises(HostKeyUnknown) as caught:
        hosts.verify(key(1), "box", ADDRESS, NOBODY)
    assert key(1).fingerprint in caught.value.message
    assert ADDRESS in caught.value.message
    assert f"--host-key {key(1).fingerprint}" in (caught.value.remedy or "")
    hosts.keep("box")
    assert not hosts.file.exists()


def test_trusted_key_holds_for_this_run_and_keep_saves_it(hosts: KnownHosts, ssh: Path) -> None:
    trust = Doorman()
    for _ in range(3):
        hosts.verify(key(1), "box", ADDRESS, trust)
    assert len(trust.shown) == 1
    assert not hosts.file.exists()
    hosts.keep("box")
    assert hosts.file.stat().st_mode & 0o077 == 0
    anew(hosts, ssh).verify(key(1), "box", ADDRESS, NOBODY)
    before = hosts.file.read_text()
    hosts.keep("box")
    assert hosts.file.read_text() == before == line(f"box,{ADDRESS}", 1)


def test_key_that_changes_within_one_run_is_refused(hosts: KnownHosts) -> None:
    hosts.verify(key(1), "box", ADDRESS, Doorman())
    with pytest.raises(HostKeyChanged):
        hosts.verify(key(2), "box", ADDRESS, Doorman())
    hosts.verify(key(1), "box", ADDRESS, NOBODY)


# changed ----------------------------------------------------------------------------------------------


def test_changed_key_is_refused_with_both_fingerprints(hosts: KnownHosts, ssh: Path) -> None:
    hosts.verify(key(1), "box", ADDRESS, Doorman())
    hosts.keep("box")
    trust = Doorman()
    with pytest.raises(HostKeyChanged) as caught:
        anew(hosts, ssh).verify(key(2), "box", ADDRESS, trust)
    assert trust.shown == []
    assert key(1).fingerprint in caught.value.message
    assert key(2).fingerprint in caught.value.message
    assert f"--host-key {key(2).fingerprint}" in (caught.value.remedy or "")
    anew(hosts, ssh).verify(key(1), "box", ADDRESS, NOBODY)


def test_an_address_is_told_ways_out_that_can_be_typed_for_it(hosts: KnownHosts, ssh: Path) -> None:
    target = "sftp://me@host:22/a?webui=forge"
    with pytest.raises(HostKeyUnknown) as unknown:
        hosts.verify(key(1), target, ADDRESS, NOBODY)
    assert "~/.ssh/known_hosts" in (unknown.value.remedy or "")
    hosts.verify(key(1), target, ADDRESS, Doorman())
    hosts.keep(target)
    with pytest.raises(HostKeyChanged) as changed:
        anew(hosts, ssh).verify(key(2), target, ADDRESS, Doorman())
    assert f"`uploader logout '{target}'`" in (changed.value.remedy or "")
    assert hosts.forget(target)
    assert not hosts.forget(target)
    (ssh / "known_hosts").write_text(line(ADDRESS, 1))
    with pytest.raises(HostKeyChanged) as contradicted:
        anew(hosts, ssh).verify(key(2), target, ADDRESS, Doorman())
    assert "ssh-keygen -R" in (contradicted.value.remedy or "")
    for caught in (unknown, changed, contradicted):
        assert "uploader login" not in (caught.value.remedy or "")


def test_the_address_may_change_and_the_key_still_holds(hosts: KnownHosts, ssh: Path) -> None:
    hosts.verify(key(1), "box", ADDRESS, Doorman())
    hosts.keep("box")
    moved = anew(hosts, ssh)
    moved.verify(key(1), "box", "10.0.0.7", NOBODY)
    moved.keep("box")
    assert hosts.file.read_text() == line("box,10.0.0.7", 1)


def test_two_targets_at_one_address_have_their_own_keys(hosts: KnownHosts, ssh: Path) -> None:
    for number, target in ((1, "first"), (2, "second")):
        hosts.verify(key(number), target, ADDRESS, Doorman())
        hosts.keep(target)
    later = anew(hosts, ssh)
    later.verify(key(1), "first", ADDRESS, NOBODY)
    later.verify(key(2), "second", ADDRESS, NOBODY)
    with pytest.raises(HostKeyChanged):
        later.verify(key(2), "first", ADDRESS, NOBODY)


# expected ---------------------------------------------------------------------------------------------


def test_given_key_is_accepted_unasked_and_no_other(hosts: KnownHosts) -> None:
    hosts.expect(key(1), "box", ADDRESS, key(1).fingerprint)
    hosts.expect(key(1), "box", ADDRESS, key(1).fingerprint.removeprefix("SHA256:") + "=")
    with pytest.raises(HostKeyChanged) as caught:
        hosts.expect(key(2), "box", ADDRESS, key(1).fingerprint)
    assert key(1).fingerprint in caught.value.message
    assert key(2).fingerprint in caught.value.message


def test_given_key_is_pinned_in_place_of_the_old_one(hosts: KnownHosts, ssh: Path) -> None:
    hosts.verify(key(1), "box", ADDRESS, Doorman())
    hosts.verify(key(3), "other", ADDRESS, Doorman())
    hosts.keep("box")
    hosts.keep("other")
    later = anew(hosts, ssh)
    later.expect(key(2), "box", ADDRESS, key(2).fingerprint)
    assert hosts.file.read_text() == line(f"box,{ADDRESS}", 1) + line(f"other,{ADDRESS}", 3)
    later.keep("box")
    assert hosts.file.read_text() == line(f"other,{ADDRESS}", 3) + line(f"box,{ADDRESS}", 2)
    with pytest.raises(HostKeyChanged):
        anew(hosts, ssh).verify(key(1), "box", ADDRESS, Doorman())


# the user's own known_hosts ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ADDRESS,
        f"elsewhere,{ADDRESS},10.0.0.1",
        "[*.example.com]:2222",
        "[gpu.example.co?]:*",
        "[GPU.Example.com]:2222",
        paramiko.HostKeys.hash_host(ADDRESS, "|1|g6IbJ+WoYlnc3bSHd1V3WjL5E3c=|"),
    ],
)
def test_a_key_in_the_users_known_hosts_is_trusted_unasked(hosts: KnownHosts, ssh: Path, names: str) -> None:
    (ssh / "known_hosts").write_text("# mine\n\n" + line("elsewhere", 2) + line(names, 1))
    hosts.verify(key(1), "box", ADDRESS, NOBODY)
    hosts.keep("box")
    assert hosts.file.read_text() == line(f"box,{ADDRESS}", 1)


def test_the_plain_port_is_known_by_the_host_alone(hosts: KnownHosts, ssh: Path) -> None:
    (ssh / "known_hosts").write_text(line("Gpu.example.com", 1))
    hosts.verify(key(1), "box", "gpu.example.com", NOBODY)
    with pytest.raises(HostKeyUnknown):
        hosts.verify(key(1), "other", ADDRESS, NOBODY)


def test_any_of_several_keys_in_the_users_known_hosts_will_do(hosts: KnownHosts, ssh: Path) -> None:
    (ssh / "known_hosts").write_text(line(ADDRESS, 1) + line(ADDRESS, 2))
    hosts.verify(key(1), "first", ADDRESS, NOBODY)
    hosts.verify(key(2), "second", ADDRESS, NOBODY)


def test_key_that_contradicts_user_known_hosts_is_changed(hosts: KnownHosts, ssh: Path) -> None:
    (ssh / "known_hosts").write_text(line(ADDRESS, 1))
    with pytest.raises(HostKeyChanged) as caught:
        hosts.verify(key(2), "box", ADDRESS, Doorman())
    assert str(ssh / "known_hosts") in caught.value.message


def test_key_pinned_for_target_outweighs_user_known_hosts(hosts: KnownHosts, ssh: Path) -> None:
    hosts.verify(key(1), "box", ADDRESS, Doorman())
    hosts.keep("box")
    (ssh / "known_hosts").write_text(line(ADDRESS, 2))
    anew(hosts, ssh).verify(key(1), "box", ADDRESS, NOBODY)


def test_a_negated_name_is_not_meant(hosts: KnownHosts, ssh: Path) -> None:
    (ssh / "known_hosts").write_text(line(f"[*]:2222,!{ADDRESS}", 1))
    with pytest.raises(HostKeyUnknown):
        hosts.verify(key(1), "box", ADDRESS, NOBODY)


def test_revoked_key_is_refused_in_any_case(hosts: KnownHosts, ssh: Path) -> None:
    (ssh / "known_hosts").write_text(line(ADDRESS, 1) + "@revoked " + line("*", 1))
    with pytest.raises(HostKeyChanged, match="revoked"):
        hosts.verify(key(1), "box", ADDRESS, Doorman())
    with pytest.raises(HostKeyChanged, match="revoked"):
        hosts.expect(key(1), "box", ADDRESS, key(1).fingerprint)


def test_a_certificate_authority_is_no_hosts_key(hosts: KnownHosts, ssh: Path) -> None:
    (ssh / "known_hosts").write_text("@cert-authority " + line("*", 1))
    with pytest.raises(HostKeyUnknown):
        hosts.verify(key(1), "box", ADDRESS, NOBODY)


@pytest.mark.parametrize(
    "broken",
    [
        "one",
        f"{ADDRESS} ssh-ed25519",
        f"{ADDRESS} ssh-ed25519 ###",
        f"{ADDRESS} ssh-ed25519 AAAA",
        f"{ADDRESS} ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY=",
        "|1|not|base64! ssh-rsa AAAA",
        "|1|short ssh-rsa AAAA",
        "@revoked",
        "\udcff\udcfe",
    ],
)
def test_lines_that_openssh_passes_over_are_passed_over(hosts: KnownHosts, ssh: Path, broken: str) -> None:
    text = broken + "\n" + line(ADDRESS, 1)
    (ssh / "known_hosts").write_bytes(text.encode("utf-8", "surrogateescape"))
    hosts.verify(key(1), "box", ADDRESS, NOBODY)


def test_folder_in_place_of_user_known_hosts_holds_no_key(hosts: KnownHosts, ssh: Path) -> None:
    (ssh / "known_hosts").mkdir()
    hosts.verify(key(1), "box", ADDRESS, Doorman())


# our own file -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", ["box", "box ssh-rsa", "box ssh-rsa ###", "box,x ssh-rsa AAA"])
def test_broken_line_of_ours_is_named_and_file_is_kept(hosts: KnownHosts, broken: str) -> None:
    hosts.file.parent.mkdir()
    hosts.file.write_text(f"# by hand\n{broken}\n")
    with pytest.raises(ConfigurationError, match="line 2"):
        hosts.verify(key(1), "other", ADDRESS, Doorman())
    hosts.expect(key(1), "other", ADDRESS, key(1).fingerprint)
    with pytest.raises(ConfigurationError, match="line 2"):
        hosts.keep("other")
    with pytest.raises(ConfigurationError):
        hosts.forget("box")
    assert hosts.file.read_text() == f"# by hand\n{broken}\n"


def test_a_file_of_ours_that_is_no_text_is_not_overwritten(hosts: KnownHosts) -> None:
    hosts.file.parent.mkdir()
    hosts.file.write_bytes(b"\xff\xfe\x00")
    hosts.expect(key(1), "box", ADDRESS, key(1).fingerprint)
    with pytest.raises(ConfigurationError):
        hosts.keep("box")
    assert hosts.file.read_bytes() == b"\xff\xfe\x00"


def test_a_state_folder_that_cannot_be_written_is_named(tmp_path: Path, ssh: Path) -> None:
    (tmp_path / "file").write_text("")
    hosts = KnownHosts(tmp_path / "file" / "known_hosts", ssh_folder=ssh)
    hosts.expect(key(1), "box", ADDRESS, key(1).fingerprint)
    with pytest.raises(ConfigurationError, match="known_hosts"):
        hosts.keep("box")


def test_comments_and_other_targets_stay_when_one_is_forgotten(hosts: KnownHosts, ssh: Path) -> None:
    for number, target in ((1, "box"), (2, "box+[jump]:22"), (3, "box2")):
        hosts.verify(key(number), target, ADDRESS, Doorman())
    hosts.keep("box")
    hosts.keep("box2")
    hosts.file.write_text("# by hand\n" + hosts.file.read_text())
    hosts.forget("box")
    assert hosts.file.read_text() == "# by hand\n" + line(f"box2,{ADDRESS}", 3)
    for target in ("box", "box+[jump]:22"):
        with pytest.raises(HostKeyUnknown):
            hosts.verify(key(1), target, ADDRESS, NOBODY)


def test_address_is_a_targets_name_with_any_root(hosts: KnownHosts, ssh: Path) -> None:
    names = ["sftp://me@host:22/a b,c#d?webui=a1111", "#hash", "|1|x|y", "日本", "a%20b", "a b"]
    for number, name in enumerate(names):
        hosts.verify(key(number), name, ADDRESS, Doorman())
        hosts.keep(name)
    later = anew(hosts, ssh)
    for number, name in enumerate(names):
        later.verify(key(number), name, ADDRESS, NOBODY)
    for name in names:
        later.forget(name)
    assert hosts.file.read_text() == ""


# with servers -----------------------------------------------------------------------------------------


def test_the_type_that_is_pinned_is_asked_for_first(tmp_path: Path) -> None:
    needs_sshd()
    (tmp_path / "more").mkdir()
    other = make_key(tmp_path / "more", "ecdsa")
    rsa = make_key(tmp_path / "more", "rsa")
    keys = [f"HostKey {other.path}", f"HostKey {rsa.path}"]
    with OpenSSH(tmp_path / "server", extra=keys) as server:
        address = f"[{server.host}]:{server.port}"
        for public in (server.base / "host_key.pub", other.public, rsa.public):
            visitor = Visitor(tmp_path / "me", trust=Doorman(trusts=False))
            words = " ".join(public.read_text().split()[:2])
            visitor.known_hosts.file.parent.mkdir(exist_ok=True)
            visitor.known_hosts.file.write_text(f"box,{address} {words}\n")
            with visitor.connection(server, identity_file=str(server.identity_file)) as connection:
                assert connection.facts.host_key == ssh_keygens_fingerprint(public)
        for public in (other.public, rsa.public):
            later = Visitor(tmp_path / public.name, trust=Doorman(trusts=False))
            (later.ssh / "known_hosts").write_text(f"{address} {public.read_text()}")
            with later.connection(server, identity_file=str(server.identity_file)) as connection:
                assert connection.facts.host_key == ssh_keygens_fingerprint(public)


def test_the_key_that_the_user_gave_is_found_among_several_types(tmp_path: Path) -> None:
    needs_sshd()
    (tmp_path / "more").mkdir()
    others = [make_key(tmp_path / "more", kind) for kind in ("ecdsa", "rsa")]
    with OpenSSH(tmp_path / "server", extra=[f"HostKey {other.path}" for other in others]) as server:
        for public in (server.base / "host_key.pub", *(other.public for other in others)):
            visitor = Visitor(tmp_path / public.name, trust=Doorman(trusts=False))
            wanted = ssh_keygens_fingerprint(public)
            around = visitor.surroundings(expected=wanted)
            with visitor.connection(server, around=around, identity_file=str(server.identity_file)) as connection:
                assert connection.facts.host_key == wanted
        visitor = Visitor(tmp_path / "wrong", trust=Doorman(trusts=False))
        around = visitor.surroundings(expected=key(1).fingerprint)
        with pytest.raises(HostKeyChanged):
            visitor.connector(server, around=around, identity_file=str(server.identity_file)).connect()


def test_rebuilt_server_is_refused_then_pinned_by_fingerprint(
    tmp_path: Path,
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    visitor = Visitor(tmp_path / "me")
    with EmbeddedServer(root) as server:
        visitor.secrets.known = server.password.reveal()
        with visitor.connection(server, around=visitor.surroundings(remember=True)):
            pass
        port, old = server.port, server.fingerprint
    with EmbeddedServer(root, port=port) as server:
        later = Visitor(tmp_path / "me", Notes(server.password.reveal()))
        with pytest.raises(HostKeyChanged) as caught:
            later.connector(server).connect()
        assert old in caught.value.message
        assert server.fingerprint in caught.value.message
        assert later.trust.shown == []
        with later.connection(server, around=later.surroundings(expected=server.fingerprint)):
            later.known_hosts.keep("box")
        with Visitor(tmp_path / "me", later.secrets, trust=Doorman(trusts=False)).connection(server):
            pass
