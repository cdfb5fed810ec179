from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keyring
import pytest
from keyring.backend import KeyringBackend

from tests.contract.world import App
from tests.servers.faulty import ObservedServer
from tests.servers.openssh import OpenSSH, needs_sshd
from tests.servers.openssh_setup import make_key
from uploader.api import LoginRequest
from uploader.errors import CredentialsRefused, HostKeyUnknown, UploaderError, UsageError
from uploader.events import silence
from uploader.secret import Secret
from uploader.session.session import KeyRule, Session


class Keyring(KeyringBackend):
    """A keyring in memory for one test. Priority 0: keyring never chooses it by itself."""

    priority = 0

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.entries: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username]


class Person:
    """A user at a terminal who answers from a list. Implements Prompter."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def ask(self, text: str) -> str:
        self.asked.append(text)
        return self.answers.pop(0)

    def ask_secret(self, text: str) -> Secret:
        return Secret(self.ask(text))

    def confirm(self, text: str) -> bool:
        return True

    def show(self, text: str) -> None: ...


@pytest.fixture
def kept() -> Iterator[dict[tuple[str, str], str]]:
    """Replace the user's keyring for the test. Yield what is in it."""
    before = keyring.core._keyring_backend  # get_keyring would look for the user's own
    backend = Keyring()
    keyring.set_keyring(backend)
    yield backend.entries
    keyring.core._keyring_backend = before


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ObservedServer]:
    (tmp_path / "root" / "sd" / "models").mkdir(parents=True)
    with ObservedServer(tmp_path / "root") as running:
        yield running


@pytest.fixture
def ssh(tmp_path: Path) -> Path:
    (tmp_path / "dot-ssh").mkdir()
    return tmp_path / "dot-ssh"


def app(tmp_path: Path, person: Person | None = None, **environ: str) -> App:
    return App(environ=environ, prompter=person, state=tmp_path / "state", ssh_folder=tmp_path / "dot-ssh")


def request(server: ObservedServer | OpenSSH | None = None, **facts: Any) -> LoginRequest:
    place: dict[str, Any] = {"host": "h", "port": 1}
    if server is not None:
        place = {"host": server.host, "port": server.port, "user": server.user}
    return LoginRequest(**{"provider": "generic", "name": "box", "root": "sd", "webui": "a1111", **place, **facts})


def fault(app: App, asked: LoginRequest) -> UploaderError:
    with pytest.raises(UploaderError) as caught:
        app.login(asked)
    return caught.value


# passwords --------------------------------------------------------------------------------------------


def test_login_asks_for_a_changed_password_and_keeps_it(
    tmp_path: Path, server: ObservedServer, kept: dict[tuple[str, str], str]
) -> None:
    kept["uploader", "target:box"] = "the old one"
    person = Person(server.password.reveal())
    result = app(tmp_path, person).login(request(server))
    assert result.secrets == ("password",)
    assert kept["uploader", "target:box"] == server.password.reveal()
    assert len(person.asked) == 1
    assert "refused" in person.asked[0]
    assert server.tries("password") == 2


def test_login_wrong_new_password_keeps_the_old_one(
    tmp_path: Path, server: ObservedServer, kept: dict[tuple[str, str], str]
) -> None:
    kept["uploader", "target:box"] = "the old one"
    person = Person("wrong again")
    error = fault(app(tmp_path, person), request(server))
    assert isinstance(error, CredentialsRefused)
    assert error.message.count("the password") == 1
    assert kept["uploader", "target:box"] == "the old one"
    assert server.tries("password") == 2


def test_login_password_from_stdin_comes_first(
    tmp_path: Path, server: ObservedServer, kept: dict[tuple[str, str], str]
) -> None:
    kept["uploader", "target:box"] = "the old one"
    app(tmp_path, Person()).login(request(server, password=server.password))
    assert kept["uploader", "target:box"] == server.password.reveal()
    assert server.tries("password") == 1


def test_push_refused_password_says_how_to_renew_it(
    tmp_path: Path, server: ObservedServer, kept: dict[tuple[str, str], str]
) -> None:
    app(tmp_path, Person()).login(request(server, password=server.password))
    kept["uploader", "target:box"] = "the old one"
    person = Person()
    session = Session(
        environ={}, prompter=person, observer=silence, state=tmp_path / "state", ssh_folder=tmp_path / "x"
    )
    with pytest.raises(CredentialsRefused) as caught:
        session.connector(session.targets.get("box"))[0].connect()
    assert person.asked == []
    assert "`uploader login` asks for a new password" in (caught.value.remedy or "")


# passphrases ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", [True, False])
def test_login_keeps_only_a_typed_passphrase(
    tmp_path: Path, kept: dict[tuple[str, str], str], ssh: Path, typed: bool
) -> None:
    needs_sshd()
    with OpenSSH(tmp_path / "server") as server:
        key = server.identity(passphrase="open sesame")
        asked = request(server, root=".", identity_file=str(key.path), accept_new_host_key=True)
        if typed:
            assert app(tmp_path, Person("open sesame")).login(asked).secrets == ("passphrase",)
        else:
            result = app(tmp_path, Person(), UPLOADER_PASSPHRASE="open sesame").login(asked)
            assert result.secrets == ()
    assert list(kept.values()) == (["open sesame"] if typed else [])


def test_login_asks_once_for_a_jump_host_passphrase(
    tmp_path: Path, kept: dict[tuple[str, str], str], ssh: Path
) -> None:
    needs_sshd("jump")
    with OpenSSH(tmp_path / "target", "sftp_only") as server, OpenSSH(tmp_path / "jump", "jump") as jump:
        key = make_key(ssh, "ecdsa", "open sesame", name="hop_key")
        jump.authorize(key.public.read_text())
        (ssh / "config").write_text(
            f"Host hop\n  HostName 127.0.0.1\n  Port {jump.port}\n  User {jump.user}\n  IdentityFile {key.path}\n"
        )
        person = Person("open sesame")
        app(tmp_path).login(request(server, root=".", identity_file=str(server.identity_file), jump="hop", check=False))
        session = Session(environ={}, prompter=person, observer=silence, state=tmp_path / "state", ssh_folder=ssh)
        connector, _ = session.connector(session.targets.get("box"), KeyRule(accept_new=True))
        connector.connect().close()
        connector.connect().close()
        assert person.asked == [f"Passphrase for the key {key.path}"]


# refused before any connection -------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [{"host_key": "SHA256:x"}, {"accept_new_host_key": True}])
def test_login_host_key_without_check_is_refused(tmp_path: Path, rule: dict[str, Any]) -> None:
    error = fault(app(tmp_path), request(check=False, **rule))
    assert isinstance(error, UsageError)
    assert "--no-check" in (error.remedy or "")
    assert app(tmp_path).targets() == []


@pytest.mark.parametrize(
    "facts",
    [
        {"name": "-x"},
        {"name": "a b"},
        {"host": "-oProxyCommand=x"},
        {"host": "me@host"},
        {"user": "-l"},
        {"jump": "-x"},
        {"jump": "me@-x"},
        {"identity_file": "a\x1b"},
    ],
)
def test_login_bad_value_never_reaches_a_proxy_command(tmp_path: Path, ssh: Path, facts: dict[str, Any]) -> None:
    (ssh / "config").write_text(f"Host *\n  ProxyCommand touch '{tmp_path}/dialled'\n")
    assert isinstance(fault(app(tmp_path), request(**facts)), UsageError)
    assert not (tmp_path / "dialled").exists()


@pytest.mark.parametrize("port", ["²", "٣", "0", "65536", "-1", "x"])
def test_login_typed_port_must_be_a_number(tmp_path: Path, port: str) -> None:
    error = fault(app(tmp_path, Person(port, "me")), request(port=None, check=False))
    assert isinstance(error, UsageError)
    assert "is not a port" in error.message


def test_login_saves_the_normal_form_of_the_root(tmp_path: Path) -> None:
    assert app(tmp_path).login(request(root="./home//data/", check=False)).target.root == "home/data"
    assert app(tmp_path).login(request(root="//x/./y/", check=False)).target.root == "/x/y"
    assert isinstance(fault(app(tmp_path), request(root="a/../b", check=False)), UsageError)


# addresses --------------------------------------------------------------------------------------------


def test_logout_forgets_the_pinned_key_of_an_address(tmp_path: Path, server: ObservedServer) -> None:
    text = f"sftp://{server.user}@{server.host}:{server.port}/sd"
    environ = {"UPLOADER_PASSWORD": server.password.reveal()}

    def connect(person: Person | None) -> None:
        session = Session(
            environ=environ, prompter=person, observer=silence, state=tmp_path / "state", ssh_folder=tmp_path / "x"
        )
        session.connector(session.choose_target(text))[0].connect().close()

    connect(Person())
    connect(None)
    (said,) = app(tmp_path).logout(text.replace("sftp://", "SFTP://") + "/")
    assert text in said
    with pytest.raises(HostKeyUnknown):
        connect(None)
    with pytest.raises(UsageError, match="no host key is pinned"):
        app(tmp_path).logout(text)
