"""Each shape of real server keeps its promises towards OpenSSH's own clients."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paramiko
import pytest

from tests.servers.embedded import transport_to
from tests.servers.openssh import Identity, OpenSSH, Shape, needs_sshd, why_not


@pytest.fixture(autouse=True)
def _sshd() -> None:
    needs_sshd()


def options(server: OpenSSH, folder: Path, *, identity: Path | None) -> list[str]:
    """The client's options: no configuration of its user's, one key, one known host."""
    known = folder / "known"
    known.write_text(f"[{server.host}]:{server.port} {server.host_key}\n")
    chosen = {
        "UserKnownHostsFile": str(known),
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "BatchMode": "yes",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "IdentityFile": str(identity) if identity else "none",
        "LogLevel": "ERROR",
    }
    return ["-F", "/dev/null", *(word for key, value in chosen.items() for word in ("-o", f"{key}={value}"))]


def ssh(server: OpenSSH, folder: Path, *words: str, identity: Path | None = None) -> subprocess.CompletedProcess[str]:
    key = options(server, folder, identity=identity or server.identity_file)
    call = ["ssh", *key, "-p", str(server.port), f"{server.user}@{server.host}", *words]
    return subprocess.run(call, capture_output=True, text=True, check=False, timeout=60)


def sftp(server: OpenSSH, folder: Path, *lines: str) -> subprocess.CompletedProcess[str]:
    key = options(server, folder, identity=server.identity_file)
    call = ["sftp", "-b", "-", *key, "-P", str(server.port), f"{server.user}@{server.host}"]
    return subprocess.run(call, input="\n".join(lines), capture_output=True, text=True, check=False, timeout=60)


@contextmanager
def by_password(server: OpenSSH) -> Iterator[paramiko.SFTPClient]:
    with transport_to(server) as transport:
        assert server.password is not None
        transport.auth_password(server.user, server.password.reveal())
        client = paramiko.SFTPClient.from_transport(transport)
        assert client is not None
        with client:
            yield client


@pytest.fixture
def content(tmp_path: Path) -> Path:
    content = tmp_path / "content"
    content.write_bytes(os.urandom(2_000_000))
    return content


def test_a_full_account_has_files_and_a_shell(tmp_path: Path, content: Path) -> None:
    with OpenSSH(tmp_path / "server") as server:
        server.make_folder("models/Lora")
        put = sftp(server, tmp_path, "pwd", f"put {content} models/Lora/a")
        assert put.returncode == 0, put.stderr
        assert f"Remote working directory: {server.remote_home}" in put.stdout
        assert (server.home / "models/Lora/a").read_bytes() == content.read_bytes()
        told = ssh(server, tmp_path, "sha256sum", f"{server.remote_home}/models/Lora/a", ";", "echo", "$HOME")
        assert told.stdout.split()[0] == hashlib.sha256(content.read_bytes()).hexdigest()
        assert told.stdout.split()[-1] == server.remote_home


def test_an_sftp_only_account_has_no_shell(tmp_path: Path, content: Path) -> None:
    with OpenSSH(tmp_path / "server", "sftp_only") as server:
        assert sftp(server, tmp_path, f"put {content} a").returncode == 0
        assert (server.home / "a").read_bytes() == content.read_bytes()
        assert "hello" not in ssh(server, tmp_path, "echo", "hello").stdout


def test_chroot_password_opens_one_folder_alone(tmp_path: Path, content: Path) -> None:
    needs_sshd("chroot")
    with OpenSSH(tmp_path / "server", "chroot") as server:
        folder = server.make_folder("home/data/models")
        with by_password(server) as client:
            assert client.normalize(".") == server.remote_home == "/"
            assert client.listdir(".") == ["home"]
            client.put(str(content), "home/data/models/a")
            with pytest.raises(PermissionError):
                client.mkdir("/mine")
        assert (folder / "a").read_bytes() == content.read_bytes()
        assert "hello" not in ssh(server, tmp_path, "echo", "hello").stdout
        assert sftp(server, tmp_path, "ls home").returncode == 0


def test_a_wrong_password_is_refused(tmp_path: Path) -> None:
    needs_sshd("chroot")
    with OpenSSH(tmp_path / "server", "chroot") as server:
        with transport_to(server) as transport, pytest.raises(paramiko.AuthenticationException):
            transport.auth_password(server.user, "wrong")
        assert server.wait_for_log("Failed password for canvas")


def test_the_machines_own_accounts_stay_as_they_are(tmp_path: Path) -> None:
    import pwd  # is not there on Windows, where this file is skipped

    needs_sshd("chroot")
    before = [Path("/etc", name).read_bytes() for name in ("passwd", "shadow", "group")]
    mounts = Path("/proc/self/mountinfo").read_bytes()
    with OpenSSH(tmp_path / "server", "chroot"):
        assert [Path("/etc", name).read_bytes() for name in ("passwd", "shadow", "group")] == before
        assert Path("/proc/self/mountinfo").read_bytes() == mounts
        with pytest.raises(KeyError):
            pwd.getpwnam("canvas")


@pytest.mark.parametrize("shape", ["full", "chroot"])
def test_a_small_disk_fills_up(tmp_path: Path, shape: Shape) -> None:
    needs_sshd(shape, disk=True)
    (tmp_path / "big").write_bytes(bytes(5 * 1024 * 1024))
    with OpenSSH(tmp_path / "server", shape, disk_mib=4) as server:
        server.make_folder("data")
        put = sftp(server, tmp_path, f"put {tmp_path / 'big'} data/big")
        assert put.returncode != 0
        assert "Failure" in put.stderr
        assert os.statvfs(server.home).f_bavail == 0
        assert 3_000_000 < (server.home / "data/big").stat().st_size < 5 * 1024 * 1024


def test_a_jump_host_forwards_and_does_nothing_else(tmp_path: Path, content: Path) -> None:
    with OpenSSH(tmp_path / "target", "sftp_only") as target, OpenSSH(tmp_path / "jump", "jump") as jump:
        assert ssh(jump, tmp_path, "echo", "hello").stdout == ""
        assert sftp(jump, tmp_path, "ls").returncode != 0
        hop = ["ssh", *options(jump, tmp_path, identity=jump.identity_file), "-p", str(jump.port)]
        hop += ["-W", f"{target.host}:{target.port}", f"{jump.user}@{jump.host}"]
        (tmp_path / "elsewhere").mkdir()
        call = ["sftp", "-b", "-", *options(target, tmp_path / "elsewhere", identity=target.identity_file)]
        call += ["-o", f"ProxyCommand={' '.join(hop)}", "-P", str(target.port), f"{target.user}@{target.host}"]
        put = subprocess.run(call, input=f"put {content} a", capture_output=True, text=True, check=False, timeout=60)
        assert put.returncode == 0, put.stderr
        assert (target.home / "a").read_bytes() == content.read_bytes()
        assert jump.wait_for_log(f"target {target.host} port {target.port}")


def test_only_a_jump_host_forwards(tmp_path: Path) -> None:
    with OpenSSH(tmp_path / "server") as server:
        hop = ["ssh", *options(server, tmp_path, identity=server.identity_file), "-p", str(server.port)]
        hop += ["-W", f"{server.host}:{server.port}", f"{server.user}@{server.host}"]
        tried = subprocess.run(hop, capture_output=True, text=True, check=False, input="", timeout=60)
        assert "forwarding failed" in tried.stderr


def test_a_banner_spoils_the_sftp_stream(tmp_path: Path) -> None:
    needs_sshd("banner")
    with OpenSSH(tmp_path / "server", "banner", banner="Welcome to the pod's disk") as server:
        tried = sftp(server, tmp_path, "ls")
        assert tried.returncode != 0
        assert "Received message too long 1466264675" in tried.stderr  # "Welc"


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_more_keys_get_in(tmp_path: Path, kind: str) -> None:
    with OpenSSH(tmp_path / "server") as server:
        assert ssh(server, tmp_path, "echo", "in", identity=server.identity(kind).path).stdout == "in\n"
        stranger = server.identity(kind, authorized=False)
        assert "Permission denied" in ssh(server, tmp_path, "echo", "in", identity=stranger.path).stderr


def test_an_encrypted_key_opens_by_its_passphrase_alone(tmp_path: Path) -> None:
    with OpenSSH(tmp_path / "server") as server:
        identity: Identity = server.identity("ed25519", passphrase="open sesame")
        with pytest.raises(paramiko.PasswordRequiredException):
            paramiko.Ed25519Key.from_private_key_file(str(identity.path))
        paramiko.Ed25519Key.from_private_key_file(str(identity.path), password=identity.passphrase)
        assert "Permission denied" in ssh(server, tmp_path, "echo", "in", identity=identity.path).stderr


@pytest.mark.parametrize("shape", ["full", "chroot"])
def test_a_certificate_gets_in_where_its_key_does_not(tmp_path: Path, shape: Shape) -> None:
    needs_sshd(shape)
    with OpenSSH(tmp_path / "server", shape) as server:
        identity = server.certified_identity()
        certificate = identity.path.with_name(identity.path.name + "-cert.pub")
        assert certificate.exists()
        assert "Permission denied" not in ssh(server, tmp_path, "echo", "in", identity=identity.path).stderr
        assert server.wait_for_log(f"Accepted publickey for {server.user}")
        certificate.unlink()
        assert "Permission denied" in ssh(server, tmp_path, "echo", "in", identity=identity.path).stderr


def test_too_many_keys_are_refused(tmp_path: Path) -> None:
    with OpenSSH(tmp_path / "server", max_auth_tries=2) as server:
        strangers = [server.identity(authorized=False) for _ in range(3)]
        words = [word for stranger in strangers for word in ("-i", str(stranger.path))]
        call = ["ssh", *options(server, tmp_path, identity=strangers[0].path), *words, "-p", str(server.port)]
        tried = subprocess.run([*call, f"{server.user}@{server.host}", "true"], capture_output=True, text=True)
        assert "Too many authentication failures" in tried.stderr


def test_surplus_connections_are_dropped_unanswered(tmp_path: Path) -> None:
    with (
        OpenSSH(tmp_path / "server", max_startups="1:100:1") as server,
        socket.create_connection((server.host, server.port), timeout=10) as first,
        socket.create_connection((server.host, server.port), timeout=10) as second,
    ):
        assert first.recv(4) == b"SSH-"
        assert not second.recv(100).startswith(b"SSH-")


def test_more_lines_of_configuration_win(tmp_path: Path) -> None:
    with OpenSSH(tmp_path / "server", extra=["ForceCommand echo forced"]) as server:
        assert ssh(server, tmp_path, "echo", "mine").stdout == "forced\n"


def test_the_fingerprint_is_the_one_that_is_shown(tmp_path: Path) -> None:
    with OpenSSH(tmp_path / "server") as server, transport_to(server) as transport:
        assert transport.get_remote_server_key().fingerprint == server.fingerprint


def test_a_cut_ends_the_sessions_and_not_the_server(tmp_path: Path) -> None:
    with OpenSSH(tmp_path / "server") as server:
        key = options(server, tmp_path, identity=server.identity_file)
        call = ["ssh", *key, "-p", str(server.port), f"{server.user}@{server.host}", "echo ready; cat"]
        with subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as client:
            assert client.stdout is not None
            assert client.stdout.readline() == b"ready\n"
            assert server.kill_sessions() >= 2
            assert client.wait(10) == 255
        assert ssh(server, tmp_path, "echo", "again").stdout == "again\n"


def test_it_comes_back_on_its_port_with_its_key_or_another(tmp_path: Path) -> None:
    with OpenSSH(tmp_path / "server") as server:
        port, key = server.port, server.fingerprint
        server.stop()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((server.host, port), timeout=10)
        server.start()
        assert (server.port, server.fingerprint) == (port, key)
        assert ssh(server, tmp_path, "echo", "in").stdout == "in\n"
        server.stop()
        server.start(new_host_key=True)
        assert server.port == port
        assert server.fingerprint != key
        assert ssh(server, tmp_path, "echo", "in").stdout == "in\n"


def test_nothing_is_left_running(tmp_path: Path) -> None:
    with OpenSSH(tmp_path / "server") as server:
        pid = server.pid
        assert ssh(server, tmp_path, "true").returncode == 0
    assert not Path(f"/proc/{pid}").exists()


def test_why_not_gives_a_reason_only_where_a_shape_cannot_run() -> None:
    assert why_not() is None
    if os.getuid() != 0:
        assert why_not("chroot") == "an account or a disk of its own takes root"
