"""Every proof is offered once, by every method that servers have, and what went wrong has its own name."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import paramiko
import pytest
from paramiko.common import AUTH_FAILED, AUTH_PARTIALLY_SUCCESSFUL
from paramiko.server import InteractiveQuery

from tests.servers.faulty import NotingGate, ObservedServer, OneTimeCode
from tests.servers.openssh import OpenSSH, needs_sshd
from tests.servers.openssh_setup import make_key
from tests.unit.remote.visitors import Notes, Visitor
from uploader.errors import (
    ConfigurationError,
    CredentialsMissing,
    CredentialsRefused,
    Interrupted,
    NetworkError,
    UploaderError,
)
from uploader.events import Message
from uploader.secret import Secret


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@contextmanager
def agent(folder: Path, monkeypatch: pytest.MonkeyPatch, *keys: Path) -> Iterator[None]:
    """A real ssh-agent that holds these keys."""
    folder.mkdir()
    call = ["ssh-agent", "-D", "-a", str(folder / "agent")]
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline()
            monkeypatch.setenv("SSH_AUTH_SOCK", str(folder / "agent"))
            for key in keys:
                subprocess.run(["ssh-add", "-q", str(key)], check=True, capture_output=True)
            yield
        finally:
            process.terminate()


def refused(visitor: Visitor, server: OpenSSH | ObservedServer, **facts: object) -> UploaderError:
    with pytest.raises(UploaderError) as caught:
        visitor.connector(server, **facts).connect()  # type: ignore[arg-type]
    return caught.value


# passwords --------------------------------------------------------------------------------------------


def test_a_wrong_password_is_offered_once_and_refused_by_name(tmp_path: Path, root: Path) -> None:
    with ObservedServer(root) as server:
        error = refused(Visitor(tmp_path, Notes("wrong secret")), server)
        assert isinstance(error, CredentialsRefused)
        assert server.tries("password") == 1
        assert "the password" in error.message
        assert "wrong secret" not in f"{error.message} {error.remedy} {error!r}"


def test_the_right_password_is_offered_once(tmp_path: Path, root: Path) -> None:
    with ObservedServer(root) as server:
        with Visitor(tmp_path, Notes(server.password.reveal())).connection(server) as connection:
            assert connection.facts.auth == "the password"
        assert server.tries("password") == 1


def test_without_any_secret_it_says_what_the_server_wants(tmp_path: Path, root: Path) -> None:
    with ObservedServer(root) as server:
        visitor = Visitor(tmp_path)
        error = refused(visitor, server)
        assert isinstance(error, CredentialsMissing)
        assert "password" in error.message
        assert "--identity-file" in (error.remedy or "")
        assert visitor.secrets.asked == [f"password {server.user}@[127.0.0.1]:{server.port}"]
        assert server.tries("password") == 0


def test_a_password_is_asked_for_when_none_is_known(tmp_path: Path, root: Path) -> None:
    with ObservedServer(root) as server:
        with Visitor(tmp_path, Notes(typed=server.password.reveal())).connection(server):
            pass
        assert isinstance(refused(Visitor(tmp_path, Notes(typed="wrong")), server), CredentialsRefused)
        assert server.tries("password") == 2


class _PasswordByTwoDoors(NotingGate):
    """Takes passwords as such and by questions, as most of OpenSSH's do."""

    def get_allowed_auths(self, username: str) -> str:
        return "password,keyboard-interactive"

    def check_auth_interactive(self, username: str, submethods: str) -> InteractiveQuery:
        return InteractiveQuery("", "", ("Password: ", False))

    def check_auth_interactive_response(self, responses: list[str]) -> int:
        cast(_TwoDoors, self.server).answers += responses
        return AUTH_FAILED


class _TwoDoors(ObservedServer):
    gate = _PasswordByTwoDoors

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.answers: list[str] = []


def test_a_refused_password_is_not_offered_again_as_an_answer(tmp_path: Path, root: Path) -> None:
    with _TwoDoors(root) as server:
        error = refused(Visitor(tmp_path, Notes("wrong", answers=["wrong"])), server)
        assert isinstance(error, CredentialsRefused)
        assert server.tries("password") == 1
        assert "wrong" not in server.answers


class _KeyThenPassword(NotingGate):
    """Wants a key and the password, and takes them in any order."""

    def get_allowed_auths(self, username: str) -> str:
        return "password" if cast(_BothNeeded, self.server).key_seen else "publickey,password"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        known = super().check_auth_publickey(username, key)
        if known == AUTH_FAILED:
            return known
        cast(_BothNeeded, self.server).key_seen = True
        return AUTH_PARTIALLY_SUCCESSFUL


class _BothNeeded(ObservedServer):
    gate = _KeyThenPassword
    key_seen = False


def test_refused_password_is_not_offered_at_the_next_stage(tmp_path: Path, root: Path) -> None:
    needs_sshd()
    key = make_key(tmp_path, "ecdsa")
    with _BothNeeded(root, authorized_key=key.public.read_text()) as server:
        error = refused(Visitor(tmp_path, Notes("wrong")), server, identity_file=str(key.path))
        assert isinstance(error, CredentialsRefused)
        assert server.tries("password") == 1


class _Goodbye(NotingGate):
    """Hangs up at the first password: in silence, or with a word."""

    def check_auth_password(self, username: str, password: str) -> int:
        server = cast(_HangsUp, self.server)
        self.noted("password", username, AUTH_FAILED)
        if server.word is None:
            server.drop_connections()
            return AUTH_FAILED
        transport = next(iter(server._connections.values()))[0]
        message = paramiko.Message()
        message.add_byte(b"\x01")
        message.add_int(2)
        message.add_string(server.word)
        message.add_string("en")
        transport._send_message(message)  # type: ignore[attr-defined]
        transport.close()
        return AUTH_FAILED


class _HangsUp(ObservedServer):
    gate = _Goodbye

    def __init__(self, root: Path, word: str | None) -> None:
        super().__init__(root)
        self.word = word


def test_a_line_cut_while_signing_in_is_the_networks_fault(tmp_path: Path, root: Path) -> None:
    with _HangsUp(root, None) as server:
        error = refused(Visitor(tmp_path, Notes("secret")), server)
        assert isinstance(error, NetworkError)
        assert server.tries("password") == 1


def test_password_sent_when_line_ends_is_not_sent_again(tmp_path: Path, root: Path) -> None:
    with _HangsUp(root, None) as server:
        error = refused(Visitor(tmp_path, Notes("secret")), server)
        assert (error.code, error.exit_code, error.retryable) == ("network", 5, False)


class _HangsUpLater(NotingGate):
    """Takes the first sign-in, and cuts the line of the second."""

    def check_auth_password(self, username: str, password: str) -> int:
        if self.server.tries("password"):  # type: ignore[attr-defined]
            self.server.drop_connections()
        return super().check_auth_password(username, password)


class _CutsTheSecond(ObservedServer):
    gate = _HangsUpLater


def test_password_accepted_before_is_tried_again_when_line_ends(tmp_path: Path, root: Path) -> None:
    with _CutsTheSecond(root) as server:
        connector = Visitor(tmp_path, Notes(server.password.reveal())).connector(server)
        connector.connect().close()
        with pytest.raises(NetworkError) as caught:
            connector.connect()
        assert caught.value.retryable


class _CutsAtNone(NotingGate):
    def check_auth_none(self, username: str) -> int:
        self.server.drop_connections()
        return AUTH_FAILED


class _CutsBeforeAnything(ObservedServer):
    gate = _CutsAtNone


def test_line_that_ends_before_any_secret_is_tried_again(tmp_path: Path, root: Path) -> None:
    with _CutsBeforeAnything(root) as server:
        error = refused(Visitor(tmp_path, Notes("secret")), server)
        assert isinstance(error, NetworkError)
        assert error.retryable


def test_server_that_hangs_up_at_wrong_password_refused_it(tmp_path: Path, root: Path) -> None:
    with _HangsUp(root, "Too many authentication failures") as server:
        error = refused(Visitor(tmp_path, Notes("secret")), server)
        assert isinstance(error, CredentialsRefused)
        assert not error.retryable
        assert "Too many authentication failures" in error.message


class _Mute(NotingGate):
    def check_auth_password(self, username: str, password: str) -> int:
        cast(_NeverAnswers, self.server).thaw.wait(20)
        return self.noted("password", username, AUTH_FAILED)


class _NeverAnswers(ObservedServer):
    gate = _Mute

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.thaw = threading.Event()


def test_server_that_never_answers_a_password_refused_nothing(tmp_path: Path, root: Path) -> None:
    with _NeverAnswers(root) as server:
        error = refused(Visitor(tmp_path, Notes("secret")), server, silence_seconds=0.5)
        server.thaw.set()
        assert isinstance(error, NetworkError)


# questions --------------------------------------------------------------------------------------------


def test_a_one_time_code_is_asked_for_with_the_servers_words(tmp_path: Path, root: Path) -> None:
    with OneTimeCode(root) as server:
        notes = Notes(answers=[server.password.reveal(), server.code.reveal()])
        with Visitor(tmp_path, notes).connection(server) as connection:
            assert connection.facts.auth == "the server's questions"
        assert notes.asked == ["Two steps: Password: ", "Two steps: One-time code: "]


def test_the_password_then_the_code(tmp_path: Path, root: Path) -> None:
    with OneTimeCode(root, after_password=True) as server:
        notes = Notes(server.password.reveal(), answers=[server.code.reveal()])
        with Visitor(tmp_path, notes).connection(server) as connection:
            assert connection.facts.auth == "the password + the server's questions"
        assert server.tries("password") == 1
        assert notes.asked == ["Second step: One-time code: "]


def test_code_not_given_is_missing_and_wrong_one_is_refused(tmp_path: Path, root: Path) -> None:
    with OneTimeCode(root, after_password=True) as server:
        known = server.password.reveal()
        assert isinstance(refused(Visitor(tmp_path, Notes(known)), server), CredentialsMissing)
        error = refused(Visitor(tmp_path, Notes(known, answers=["000000"])), server)
        assert isinstance(error, CredentialsRefused)
        assert "000000" not in error.message


def test_a_fault_while_a_person_is_asked_comes_out_as_it_is(tmp_path: Path, root: Path) -> None:
    with OneTimeCode(root, after_password=True) as server:
        fault = Interrupted("stopped")
        error = refused(Visitor(tmp_path, Notes(server.password.reveal(), fault=fault)), server)
        assert error is fault


# keys -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSSH]:
    needs_sshd()
    with OpenSSH(tmp_path_factory.mktemp("sshd") / "server") as server:
        yield server


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
@pytest.mark.parametrize("passphrase", ["", "open sesame"])
def test_keys_of_every_type_open_with_and_without_a_passphrase(
    tmp_path: Path, full: OpenSSH, kind: str, passphrase: str
) -> None:
    key = full.identity(kind, passphrase=passphrase)
    visitor = Visitor(tmp_path, Notes(passphrases={str(key.path): passphrase}))
    with visitor.connection(full, identity_file=str(key.path)) as connection:
        assert connection.facts.auth == f"the key {key.path}"
    assert visitor.secrets.asked == ([f"passphrase {key.path}"] if passphrase else [])


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
@pytest.mark.parametrize("passphrase", ["", "open sesame"])
def test_keys_in_pem_form_open_too(tmp_path: Path, full: OpenSSH, kind: str, passphrase: str) -> None:
    key = full.identity(kind)
    change = ["ssh-keygen", "-q", "-p", "-m", "PEM", "-P", "", "-N", passphrase, "-f", str(key.path)]
    subprocess.run(change, check=True, capture_output=True)
    visitor = Visitor(tmp_path, Notes(passphrases={str(key.path): passphrase}))
    with visitor.connection(full, identity_file=str(key.path)):
        pass
    wrong = Visitor(tmp_path, Notes(passphrases={str(key.path): "wrong"}))
    if passphrase:
        assert "passphrase" in refused(wrong, full, identity_file=str(key.path)).message


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_wrong_passphrase_is_named_and_not_shown(tmp_path: Path, full: OpenSSH, kind: str) -> None:
    key = full.identity(kind, passphrase="open sesame")
    error = refused(
        Visitor(tmp_path, Notes(passphrases={str(key.path): "wrong word"})), full, identity_file=str(key.path)
    )
    assert isinstance(error, CredentialsRefused)
    assert f"the passphrase does not open the key {key.path}" in error.message
    assert "wrong word" not in f"{error.message} {error.remedy}"


def test_locked_key_without_passphrase_is_named(tmp_path: Path, full: OpenSSH) -> None:
    key = full.identity(passphrase="open sesame")
    error = refused(Visitor(tmp_path), full, identity_file=str(key.path))
    assert isinstance(error, CredentialsRefused | CredentialsMissing)
    assert f"{key.path}, which is locked by a passphrase" in error.message


def test_a_stranger_is_refused_by_name(tmp_path: Path, full: OpenSSH) -> None:
    key = full.identity(authorized=False)
    error = refused(Visitor(tmp_path), full, identity_file=str(key.path))
    assert isinstance(error, CredentialsRefused)
    assert str(key.path) in error.message


def test_the_default_keys_are_tried_when_none_is_named(tmp_path: Path, full: OpenSSH) -> None:
    visitor = Visitor(tmp_path)
    (visitor.ssh / "id_ecdsa").write_bytes(full.identity("ecdsa").path.read_bytes())
    with visitor.connection(full) as connection:
        assert connection.facts.auth == f"the key {visitor.ssh / 'id_ecdsa'}"


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_certificate_beside_its_key_gets_in(tmp_path: Path, full: OpenSSH, kind: str) -> None:
    key = full.certified_identity(kind)
    with Visitor(tmp_path).connection(full, identity_file=str(key.path)) as connection:
        assert connection.facts.auth == f"the certificate {key.path}-cert.pub"
    Path(f"{key.path}-cert.pub").unlink()
    assert isinstance(refused(Visitor(tmp_path), full, identity_file=str(key.path)), CredentialsRefused)


def test_a_certificate_named_in_the_configuration_gets_in(tmp_path: Path, full: OpenSSH) -> None:
    key = full.certified_identity()
    elsewhere = tmp_path / "elsewhere-cert.pub"
    Path(f"{key.path}-cert.pub").rename(elsewhere)
    visitor = Visitor(tmp_path)
    (visitor.ssh / "config").write_text(f"Host *\n  IdentityFile {key.path}\n  CertificateFile {elsewhere}\n")
    with visitor.connection(full) as connection:
        assert connection.facts.auth == f"the certificate {elsewhere}"


@pytest.mark.parametrize("content", [b"", b"garbage\n", b"\xff\xfe", b"ssh-ed25519 AAAA comment\n"])
def test_a_certificate_that_is_none_does_not_keep_its_key_out(tmp_path: Path, full: OpenSSH, content: bytes) -> None:
    key = full.identity()
    Path(f"{key.path}-cert.pub").write_bytes(content)
    with Visitor(tmp_path).connection(full, identity_file=str(key.path)) as connection:
        assert connection.facts.auth == f"the key {key.path}"


def test_certificate_of_another_authority_lets_its_key_in(tmp_path: Path, full: OpenSSH) -> None:
    key, stranger = full.identity(), make_key(tmp_path, "ed25519", name="stranger_ca")
    sign = ["ssh-keygen", "-q", "-s", str(stranger.path), "-I", "x", "-n", full.user, str(key.public)]
    subprocess.run(sign, check=True, capture_output=True)
    with Visitor(tmp_path).connection(full, identity_file=str(key.path)) as connection:
        assert connection.facts.auth == f"the key {key.path}"


GARBAGE = {
    "empty": b"",
    "text": b"not a key\n",
    "bytes": bytes(range(256)) * 4,
    "ppk": b"PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nComment: x\nPublic-Lines: 2\nAAAA\n",
    "header": b"-----BEGIN OPENSSH PRIVATE KEY-----\n",
    "hollow": b"-----BEGIN OPENSSH PRIVATE KEY-----\n-----END OPENSSH PRIVATE KEY-----\n",
    "no base64": b"-----BEGIN OPENSSH PRIVATE KEY-----\n!!!!\n-----END OPENSSH PRIVATE KEY-----\n",
    "cut": b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
    "cut rsa": b"-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----\n",
    "cut ec": b"-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIA==\n-----END EC PRIVATE KEY-----\n",
    "pkcs8": b"-----BEGIN PRIVATE KEY-----\nMIIEvQ==\n-----END PRIVATE KEY-----\n",
    "dsa": b"-----BEGIN DSA PRIVATE KEY-----\nMIIBuwIBAAKBgQ==\n-----END DSA PRIVATE KEY-----\n",
    "public": b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA me\n",
}


@pytest.mark.parametrize("what", GARBAGE)
def test_a_file_that_is_no_private_key_is_named(tmp_path: Path, full: OpenSSH, what: str) -> None:
    file = tmp_path / "key"
    file.write_bytes(GARBAGE[what])
    error = refused(Visitor(tmp_path, Notes(passphrases={str(file): "x"})), full, identity_file=str(file))
    assert isinstance(error, ConfigurationError)
    assert str(file) in error.message
    assert error.remedy


def test_every_cut_of_a_key_file_has_a_name(tmp_path: Path, full: OpenSSH) -> None:
    key = full.identity(passphrase="open sesame").path.read_bytes()
    visitor = Visitor(tmp_path, Notes(passphrases={str(tmp_path / "key"): "open sesame"}))
    for at in range(0, len(key) - 40, 61):
        (tmp_path / "key").write_bytes(key[:at] + b"\n-----END OPENSSH PRIVATE KEY-----\n")
        assert isinstance(
            refused(visitor, full, identity_file=str(tmp_path / "key")), ConfigurationError | CredentialsRefused
        )


def test_a_key_file_that_is_not_there_is_named(tmp_path: Path, full: OpenSSH) -> None:
    error = refused(Visitor(tmp_path), full, identity_file=str(tmp_path / "nothing"))
    assert isinstance(error, ConfigurationError)
    assert str(tmp_path / "nothing") in error.message
    assert isinstance(refused(Visitor(tmp_path), full, identity_file=str(tmp_path)), ConfigurationError)


def test_key_files_of_the_configuration_that_exist_are_tried(tmp_path: Path, full: OpenSSH) -> None:
    visitor = Visitor(tmp_path)
    (visitor.ssh / "config").write_text(f"IdentityFile {tmp_path}/nothing\nIdentityFile {full.identity_file}\n")
    with visitor.connection(full) as connection:
        assert connection.facts.auth == f"the key {full.identity_file}"


@pytest.fixture
def by_both(tmp_path: Path, root: Path) -> Iterator[ObservedServer]:
    """Takes a password, and a key that no one here has."""
    needs_sshd()
    with ObservedServer(root, authorized_key=make_key(tmp_path, "ecdsa", name="unknown").public.read_text()) as server:
        yield server


def test_missing_configured_key_file_lets_the_password_in(tmp_path: Path, by_both: ObservedServer) -> None:
    visitor = Visitor(tmp_path, Notes(typed=by_both.password.reveal()))
    (visitor.ssh / "config").write_text(f"Host *\n  IdentityFile {tmp_path}/nothing\n")
    with visitor.connection(by_both) as connection:
        assert connection.facts.auth == "the password"
    said = [event.text for event in visitor.events if isinstance(event, Message) and event.level == "debug"]
    assert f"the key file {tmp_path}/nothing is not there; passed over" in said


@pytest.mark.parametrize("what", GARBAGE)
def test_unusable_default_key_lets_the_password_in(tmp_path: Path, by_both: ObservedServer, what: str) -> None:
    visitor = Visitor(tmp_path, Notes(typed=by_both.password.reveal()))
    (visitor.ssh / "id_rsa").write_bytes(GARBAGE[what])
    with visitor.connection(by_both) as connection:
        assert connection.facts.auth == "the password"


def test_wrong_passphrase_of_default_key_lets_the_password_in(tmp_path: Path, by_both: ObservedServer) -> None:
    visitor = Visitor(tmp_path, Notes(typed=by_both.password.reveal()))
    key = make_key(visitor.ssh, "ed25519", name="id_ed25519", passphrase="open sesame")
    visitor.secrets.passphrases[str(key.path)] = "wrong"
    with visitor.connection(by_both) as connection:
        assert connection.facts.auth == "the password"


def test_failed_login_tells_the_keys_that_were_skipped(tmp_path: Path, by_both: ObservedServer) -> None:
    visitor = Visitor(tmp_path)
    (visitor.ssh / "id_rsa").write_bytes(b"not a key")
    error = refused(visitor, by_both)
    assert isinstance(error, CredentialsMissing)
    assert f"{visitor.ssh / 'id_rsa'} is not a private key" in error.message


# the agent --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_the_agents_key_gets_in(tmp_path: Path, full: OpenSSH, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    key = full.identity(kind)
    with agent(tmp_path / "a", monkeypatch, key.path), Visitor(tmp_path).connection(full) as connection:
        assert connection.facts.auth.startswith("the agent's key SHA256:")


@pytest.mark.parametrize("named", ["private", "public alone"])
def test_a_named_key_that_the_agent_holds_needs_no_passphrase(
    tmp_path: Path, full: OpenSSH, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    key = full.identity()
    others = [full.identity(authorized=False).path for _ in range(6)]
    with agent(tmp_path / "a", monkeypatch, *others, key.path):
        lock = ["ssh-keygen", "-q", "-p", "-P", "", "-N", "open sesame", "-f", str(key.path)]
        subprocess.run(lock, check=True, capture_output=True)
        file = key.path
        if named == "public alone":
            file = tmp_path / "mine.pub"
            file.write_bytes(key.public.read_bytes())
        visitor = Visitor(tmp_path)
        with visitor.connection(full, identity_file=str(file)) as connection:
            assert connection.facts.auth == f"the agent's key for {file}"
        assert visitor.secrets.asked == []


def test_too_many_agent_keys_are_named_and_a_named_key_gets_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_sshd()
    with OpenSSH(tmp_path / "server", max_auth_tries=2) as server:
        strangers = [server.identity(authorized=False).path for _ in range(4)]
        with agent(tmp_path / "a", monkeypatch, *strangers, server.identity_file):
            error = refused(Visitor(tmp_path), server)
            assert isinstance(error, CredentialsRefused)
            assert "too many authentication failures" in error.message.lower()
            assert "--identity-file" in (error.remedy or "")
            assert "IdentitiesOnly" in (error.remedy or "")
            with Visitor(tmp_path).connection(server, identity_file=str(server.identity_file)):
                pass
            visitor = Visitor(tmp_path)
            (visitor.ssh / "config").write_text(
                f"Host 127.0.0.*\n  IdentityFile {server.identity_file}\n  IdentitiesOnly yes\n"
            )
            with visitor.connection(server):
                pass


@pytest.mark.parametrize("what", ["nothing", "file"])
def test_an_agent_that_is_gone_is_no_hindrance(
    tmp_path: Path, full: OpenSSH, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    if what == "file":
        (tmp_path / "file").write_text("")
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / what))
    with Visitor(tmp_path).connection(full, identity_file=str(full.identity_file)):
        pass


# the direct way ---------------------------------------------------------------------------------------


@contextmanager
def knowing(root: Path, public: str) -> Iterator[ObservedServer]:
    with ObservedServer(root, authorized_key=public) as server:
        yield server


def test_only_key_named_for_a_target_is_shown_unasked(tmp_path: Path, root: Path) -> None:
    needs_sshd()
    key = make_key(tmp_path, "ecdsa")
    with knowing(root, key.public.read_text()) as server:
        connector = Visitor(tmp_path).connector(server, identity_file=str(key.path))
        for _ in range(2):
            connection = connector.connect()
            assert connection.facts.auth == f"the key {key.path}"
            connection.close()
        assert server.tries("none") == 0


@pytest.mark.parametrize("why", ["a password goes before it", "locked", "certified", "not this target's"])
def test_server_is_asked_first_where_another_proof_is_possible(tmp_path: Path, root: Path, why: str) -> None:
    needs_sshd()
    key = make_key(tmp_path, "ecdsa", "open sesame" if why == "locked" else "")
    notes = Notes(passphrases={str(key.path): "open sesame"})
    visitor = Visitor(tmp_path, notes)
    facts = {"identity_file": str(key.path)}
    with knowing(root, key.public.read_text()) as server:
        if why == "a password goes before it":
            notes.known = server.password.reveal()
        elif why == "certified":
            Path(f"{key.path}-cert.pub").write_text("none")
        elif why == "not this target's":
            (visitor.ssh / "config").write_text(f"IdentityFile {key.path}\n")
            facts = {}
        with visitor.connection(server, **facts):
            assert server.tries("none") == 1


def test_key_shown_first_and_refused_is_followed_by_the_password(tmp_path: Path, root: Path) -> None:
    needs_sshd()
    stranger, known = make_key(tmp_path, "ecdsa"), make_key(tmp_path, "ecdsa")
    notes = Notes()
    with knowing(root, known.public.read_text()) as server:
        notes.typed = server.password.reveal()
        with Visitor(tmp_path, notes).connection(server, identity_file=str(stranger.path)) as connection:
            assert connection.facts.auth == "the password"
        assert server.tries("publickey") == 1
        assert len(notes.asked) == 1


def test_password_of_the_first_connection_opens_the_next(tmp_path: Path, root: Path) -> None:
    notes = Notes()
    with ObservedServer(root) as server:
        notes.typed = server.password.reveal()
        connector = Visitor(tmp_path, notes).connector(server)
        for _ in range(3):
            connector.connect().close()
        assert (server.tries("none"), server.tries("password"), len(notes.asked)) == (1, 3, 1)


def test_password_refused_later_is_offered_once(tmp_path: Path, root: Path) -> None:
    notes = Notes()
    with ObservedServer(root) as server:
        notes.known = server.password.reveal()
        connector = Visitor(tmp_path, notes).connector(server)
        connector.connect().close()
        server.password = Secret("changed meanwhile")
        with pytest.raises(CredentialsRefused):
            connector.connect()
        assert server.tries("password") == 2
