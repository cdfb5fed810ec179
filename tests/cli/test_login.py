"""`uploader login`, `targets`, `logout` and `providers`, against real servers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT
from tests.cli.program import Program
from tests.servers import keyring_daemon
from tests.servers.openssh import OpenSSH, needs_sshd


def test_login_shows_and_saves_the_account(program: Program, full: OpenSSH) -> None:
    done = program.login(full, str(full.home / ROOT), "--accept-new-host-key")
    assert done.code == 0, done.err
    assert full.fingerprint in done.out
    assert str(full.home / ROOT) in done.out
    listed = program.run("targets", "--json").document["targets"]
    assert [(target["name"], target["host"], target["port"]) for target in listed] == [("box", full.host, full.port)]


def test_login_new_host_key_is_not_trusted_unasked(program: Program, full: OpenSSH) -> None:
    done = program.login(full, str(full.home / ROOT))
    assert done.code == 8
    assert full.fingerprint in done.err
    assert "--host-key" in done.err
    assert program.run("targets", "--json").document["targets"] == []


def test_login_changed_host_key_is_refused_until_pinned(program: Program, full: OpenSSH, model: Path) -> None:
    old = full.fingerprint
    program.save(full, str(full.home / ROOT))
    full.stop()
    full.start(new_host_key=True)
    refused = program.run("push", str(model), "--json")
    assert refused.code == 8
    assert old in refused.err
    assert full.fingerprint in refused.err
    assert refused.document["outcomes"][0]["error"]["code"] == "host-key-changed"
    assert program.login(full, str(full.home / ROOT), "--accept-new-host-key").code == 8
    assert program.login(full, str(full.home / ROOT), "--host-key", full.fingerprint).code == 0
    assert program.run("push", str(model)).code == 0


def test_login_wrong_password_is_tried_once_and_hidden(program: Program, chroot: OpenSSH) -> None:
    done = program.run_process(
        *("login", "conoha-ai-canvas", "--host", chroot.host, "--port", str(chroot.port), "--user", chroot.user),
        *("--password-stdin", "--accept-new-host-key", "-v"),
        stdin="swordfish-42\n",
    )
    assert done.code == 3
    assert "refused the password" in done.err
    assert "swordfish-42" not in done.out + done.err
    assert chroot.log().count("Failed password") == 1


def test_login_without_keyring_keeps_no_plain_text(program: Program, chroot: OpenSSH) -> None:
    password = chroot.password.reveal() if chroot.password else ""
    done = program.run(
        *("login", "conoha-ai-canvas", "--name", "my-canvas", "--host", chroot.host, "--port", str(chroot.port)),
        *("--user", chroot.user, "--password-stdin", "--accept-new-host-key"),
        stdin=f"{password}\n",
    )
    assert done.code == 0, done.err
    assert "keyring" in done.err
    assert "UPLOADER_PASSWORD" in done.err
    for path in program.home.rglob("*"):
        assert not path.is_file() or password.encode() not in path.read_bytes()


def test_login_password_in_real_keyring_serves_next_push(
    tmp_path: Path, program: Program, chroot: OpenSSH, model: Path
) -> None:
    keyring_daemon.require()
    password = chroot.password.reveal() if chroot.password else ""
    where = ["--host", chroot.host, "--port", str(chroot.port), "--user", chroot.user]
    login = ["login", "conoha-ai-canvas", *where, "--password-stdin", "--accept-new-host-key"]
    snippet = f"""
import io, os, sys
from uploader.cli import main
os.environ["UPLOADER_HOME"] = {str(program.state)!r}
def uploader(*arguments, stdin=""):
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin.encode()))
    return main(arguments)
assert uploader(*{login!r}, stdin={password + chr(10)!r}) == 0
assert uploader("push", {str(model)!r}) == 0
assert uploader("logout", "conoha-ai-canvas") == 0
assert uploader(*{login[:-2]!r}, "--accept-new-host-key") == 3
"""
    done = keyring_daemon.run(snippet, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "password" in done.stdout
    placed = chroot.home / "home/data/models/Stable-diffusion/model.safetensors"
    assert placed.read_bytes() == model.read_bytes()


def test_login_missing_root_is_told_with_what_is_there(program: Program, full: OpenSSH) -> None:
    done = program.login(full, str(full.home / "nowhere"), "--accept-new-host-key")
    assert done.code == 6
    assert "nowhere" in done.err
    assert "home" in done.err
    assert program.run("targets", "--json").document["targets"] == []


def test_login_with_key_through_jump_host_then_push(
    tmp_path: Path, program: Program, full: OpenSSH, model: Path
) -> None:
    needs_sshd("jump")
    with OpenSSH(tmp_path / "bastion", "jump") as bastion:
        bastion.authorize(full.identity_file.with_suffix(".pub").read_text())
        hop = f"{bastion.user}@{bastion.host}:{bastion.port}"
        done = program.login(full, str(full.home / ROOT), "--jump", hop, "--accept-new-host-key")
        assert done.code == 0, done.err
        assert program.run("push", str(model)).code == 0
        assert bastion.log().count("Accepted publickey") == 2
    assert (full.home / ROOT / "models/Stable-diffusion" / model.name).read_bytes() == model.read_bytes()


def test_login_provider_without_sftp_says_what_to_do(program: Program) -> None:
    done = program.run("login", "colab")
    assert done.code == 2
    assert "Drive" in done.err
    assert "Drive" in program.run("providers", "colab").out


def test_login_without_terminal_names_missing_flags(program: Program) -> None:
    done = program.run("login", "conoha-ai-canvas")
    assert done.code == 2
    for flag in ("--host", "--port", "--user"):
        assert flag in done.err


@pytest.mark.parametrize("words", [("login", "conoha-canvas"), ("providers", "conoha-canvas")])
def test_login_misspelt_provider_suggests_the_right_one(program: Program, words: tuple[str, ...]) -> None:
    done = program.run(*words)
    assert done.code == 2
    assert "conoha-ai-canvas" in done.err


def test_login_without_server_is_a_network_error(program: Program, full: OpenSSH) -> None:
    full.stop()
    done = program.login(full, str(full.home / ROOT), "--accept-new-host-key")
    assert done.code == 5
    assert str(full.port) in done.err


def test_logout_forgets_target_and_host_key(program: Program, full: OpenSSH) -> None:
    program.save(full, str(full.home / ROOT))
    assert program.run("logout", "box").code == 0
    assert program.run("targets", "--json").document["targets"] == []
    assert full.host not in (program.home / "state" / "known_hosts").read_text()
    assert program.run("logout", "box").code == 2


def test_login_no_check_with_host_key_is_refused(program: Program, full: OpenSSH) -> None:
    for rule in (["--host-key", full.fingerprint], ["--accept-new-host-key"]):
        done = program.login(full, ROOT, "--no-check", *rule)
        assert done.code == 2
        assert "--no-check" in done.err
    assert program.run("targets", "--json").document["targets"] == []


def test_logout_address_forgets_its_host_key(program: Program, chroot: OpenSSH, model: Path) -> None:
    address = f"sftp://{chroot.user}@{chroot.host}:{chroot.port}/{ROOT}"
    push = ["push", str(model), "--to", address, "--json"]
    password = chroot.password.reveal() if chroot.password else ""
    known = program.home / ".ssh" / "known_hosts"
    known.parent.mkdir()
    known.write_text(f"[{chroot.host}]:{chroot.port} {chroot.host_key}\n")
    assert program.run(*push, UPLOADER_PASSWORD=password).code == 0
    chroot.stop()
    chroot.start(new_host_key=True)
    known.write_text(f"[{chroot.host}]:{chroot.port} {chroot.host_key}\n")
    refused = program.run(*push, UPLOADER_PASSWORD=password)
    assert refused.code == 8
    assert f"uploader logout {address}" in refused.err
    assert program.run("logout", address).code == 0
    assert program.run(*push, UPLOADER_PASSWORD=password).code == 0
    assert program.run("logout", address + "/other").code == 2


def test_providers_broken_own_profile_names_every_fault(program: Program) -> None:
    profiles = program.home / "state" / "profiles"
    profiles.mkdir(parents=True)
    (profiles / "mine.toml").write_text('id = "mine"\nname = 3\nsftp = true\nwebiu = "a1111"\n')
    done = program.run("providers")
    assert done.code == 2
    assert "mine.toml" in done.err
    assert "webui" in done.err
    assert "name" in done.err


def test_help_needs_no_heavy_library() -> None:
    code = (
        "import sys; from click.testing import CliRunner; import uploader.cli as cli; "
        "sys.argv = ['uploader', '--help']\n"
        "try:\n    cli.main()\nexcept SystemExit: pass\n"
        "heavy = {'rich', 'paramiko', 'httpx', 'keyring', 'tomlkit', 'cryptography'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
