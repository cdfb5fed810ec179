from __future__ import annotations

import inspect
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import keyring
import pytest
from keyring import errors as keyring_errors
from keyring.backend import KeyringBackend
from keyring.backends import chainer, fail, null

from tests.servers import keyring_daemon
from uploader.credentials import (
    Keyring,
    TargetSecrets,
    find_sign_in,
    keep_sign_in,
    passphrase_account,
    password_account,
    webui_account,
)
from uploader.errors import KeyringUnavailable
from uploader.events import Event, Message
from uploader.remote.interface import Question, Secrets
from uploader.secret import Secret

NOTHING: list[KeyringBackend] = [fail.Keyring(), null.Keyring()]  # type: ignore[no-untyped-call]
WAYS_OUT = ("--identity-file", "ssh-agent", "$UPLOADER_PASSWORD")


class MemoryKeyring(KeyringBackend):
    """A keyring in memory. With priority 0 the keyring package never chooses it."""

    priority = 0

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.entries: dict[tuple[str, str], str] = {}
        self.lookups = 0

    def get_password(self, service: str, username: str) -> str | None:
        self.lookups += 1
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username]


class PlaintextKeyring(MemoryKeyring):
    """A keyring with the class name of keyrings.alt."""


class ReadOnlyKeyring(MemoryKeyring):
    def set_password(self, service: str, username: str, password: str) -> None:
        raise NotImplementedError


class ForgetfulKeyring(MemoryKeyring):
    def set_password(self, service: str, username: str, password: str) -> None:
        pass


class FailingKeyring(MemoryKeyring):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def get_password(self, service: str, username: str) -> str | None:
        raise self.error

    def set_password(self, service: str, username: str, password: str) -> None:
        raise self.error


class HangingKeyring(MemoryKeyring):
    """A keyring that does not answer before the test ends."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()

    def get_password(self, service: str, username: str) -> str | None:
        self.lookups += 1
        self.released.wait()
        return None

    def set_password(self, service: str, username: str, password: str) -> None:
        self.released.wait()


Use = Callable[[KeyringBackend], None]


@pytest.fixture
def use() -> Iterator[Use]:
    """Replace the user's keyring during the test."""
    before = keyring.core._keyring_backend  # get_keyring would look for the user's own
    keyring.set_keyring(NOTHING[0])
    yield keyring.set_keyring
    keyring.core._keyring_backend = before


@pytest.fixture
def memory(use: Use) -> MemoryKeyring:
    backend = MemoryKeyring()
    use(backend)
    return backend


@pytest.fixture
def hanging(use: Use) -> Iterator[HangingKeyring]:
    backend = HangingKeyring()
    use(backend)
    yield backend
    backend.released.set()


@pytest.fixture
def chain(use: Use) -> Callable[..., None]:
    def set_up(*members: KeyringBackend) -> None:
        class Chain(chainer.ChainerBackend):
            backends = members
            priority = 0

        use(Chain())  # type: ignore[no-untyped-call]

    return set_up


def helps(error: KeyringUnavailable) -> bool:
    return all(way in (error.remedy or "") for way in WAYS_OUT)


# the keyring -----------------------------------------------------------------------------------------


def test_keyring_stored_secret_is_found_and_removed(memory: MemoryKeyring) -> None:
    keyring = Keyring()
    assert keyring.get("target:a") is None
    keyring.set("target:a", Secret("hunter2"))
    assert keyring.get("target:a") == Secret("hunter2")
    assert memory.entries == {("uploader", "target:a"): "hunter2"}
    assert keyring.delete("target:a")
    assert not keyring.delete("target:a")
    assert keyring.get("target:a") is None


def test_keyring_has_two_entries_for_each_target() -> None:
    assert password_account("pod") == "target:pod"
    assert passphrase_account("pod") == "target:pod:passphrase"


@pytest.mark.parametrize("backend", NOTHING)
def test_set_without_a_keyring_tells_the_alternatives(use: Use, backend: KeyringBackend) -> None:
    use(backend)
    with pytest.raises(KeyringUnavailable, match="no keyring works") as caught:
        Keyring().set("target:a", Secret("hunter2"))
    assert helps(caught.value)
    assert "hunter2" not in repr(caught.value)


@pytest.mark.parametrize("backend", NOTHING)
def test_get_without_a_keyring_is_silent(use: Use, backend: KeyringBackend) -> None:
    use(backend)
    heard: list[Event] = []
    keyring = Keyring(observer=heard.append)
    assert keyring.get("target:a") is None
    assert not keyring.delete("target:a")
    assert heard == []


def test_set_refuses_a_plain_text_keyring(use: Use) -> None:
    backend = PlaintextKeyring()
    use(backend)
    with pytest.raises(KeyringUnavailable, match="plain text") as caught:
        Keyring().set("target:a", Secret("hunter2"))
    assert helps(caught.value)
    assert backend.entries == {}


def test_set_writes_only_the_safe_keyrings_of_a_chain(chain: Callable[..., None]) -> None:
    plain, read_only, safe = PlaintextKeyring(), ReadOnlyKeyring(), MemoryKeyring()
    chain(plain, read_only, safe)
    keyring = Keyring()
    keyring.set("target:a", Secret("hunter2"))
    assert plain.entries == read_only.entries == {}
    assert keyring.get("target:a") == Secret("hunter2")
    assert keyring.delete("target:a")
    assert safe.entries == {}


def test_set_with_an_empty_chain_finds_no_keyring(chain: Callable[..., None]) -> None:
    chain()
    with pytest.raises(KeyringUnavailable, match="no keyring works"):
        Keyring().set("target:a", Secret("hunter2"))


def test_set_notices_a_keyring_that_keeps_nothing(use: Use) -> None:
    use(ForgetfulKeyring())
    with pytest.raises(KeyringUnavailable, match="did not keep"):
        Keyring().set("target:a", Secret("hunter2"))


_KEYRING_ERRORS = [
    kind
    for _, kind in inspect.getmembers(keyring_errors, inspect.isclass)
    if issubclass(kind, keyring_errors.KeyringError)
]


@pytest.mark.parametrize("kind", [*_KEYRING_ERRORS, OSError, RuntimeError, ValueError, ModuleNotFoundError])
def test_keyring_error_becomes_one_of_ours(use: Use, kind: type[Exception]) -> None:
    use(FailingKeyring(kind("could not store hunter2")))
    for call in (lambda: Keyring().set("target:a", Secret("hunter2")), lambda: Keyring().delete("target:a")):
        with pytest.raises(KeyringUnavailable) as caught:
            call()
        assert caught.value.remedy
        assert "hunter2" not in caught.value.message + caught.value.remedy


def test_keyring_package_has_no_error_unknown_here() -> None:
    assert {kind.__name__ for kind in _KEYRING_ERRORS} == {
        "KeyringError",
        "PasswordSetError",
        "PasswordDeleteError",
        "InitError",
        "KeyringLocked",
        "NoKeyringError",
    }


def test_keyring_that_fails_is_told_once(use: Use) -> None:
    use(FailingKeyring(keyring_errors.KeyringLocked("no")))
    heard: list[Event] = []
    keyring = Keyring(observer=heard.append)
    assert keyring.get("target:a") is None
    assert keyring.get("target:b") is None
    assert heard == [Message("the keyring is locked; going on without it", "note")]


def test_keyring_that_hangs_is_unavailable(hanging: HangingKeyring) -> None:
    began = time.monotonic()
    with pytest.raises(KeyringUnavailable, match="did not answer") as caught:
        Keyring(limit=0.05).set("target:a", Secret("hunter2"))
    assert time.monotonic() - began < 5
    assert helps(caught.value)


def test_keyring_that_hangs_costs_its_time_limit_once(hanging: HangingKeyring) -> None:
    heard: list[Event] = []
    keyring = Keyring(limit=0.05, observer=heard.append)
    assert keyring.get("target:a") is None
    assert keyring.get("target:b") is None
    with pytest.raises(KeyringUnavailable, match="did not answer"):
        keyring.delete("target:a")
    assert hanging.lookups == 1
    assert len(heard) == 1
    assert isinstance(heard[0], Message)
    assert "did not answer" in heard[0].text


def test_keyring_that_hangs_lets_the_program_end() -> None:
    code = """
import keyring, threading
from keyring.backend import KeyringBackend
class Hanging(KeyringBackend):
    priority = 0
    def get_password(self, service, username): threading.Event().wait()
    set_password = delete_password = get_password
keyring.set_keyring(Hanging())
from uploader.credentials import Keyring
print(Keyring(limit=0.05).get("target:a"))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "None\n", "")


def test_keyring_package_is_imported_at_its_first_use() -> None:
    code = "import sys, uploader.credentials; sys.exit('keyring' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3]).returncode == 0


# a real keyring ---------------------------------------------------------------------------------------


def test_real_keyring_keeps_a_secret_encrypted(tmp_path: Path) -> None:
    done = keyring_daemon.run(
        """
from uploader.credentials import Keyring
from uploader.secret import Secret
vault = Keyring(limit=30)
assert vault.get("target:a") is None
vault.set("target:a", Secret("hunter2-日本"))
vault.set("target:b", Secret("other-secret"))
assert Keyring(limit=30).get("target:a") == Secret("hunter2-日本")
assert vault.delete("target:a") and not vault.delete("target:a")
assert vault.get("target:a") is None
vault.set("target:a", Secret("hunter2-日本"))
""",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if b"hunter2" in path.read_bytes() or b"other-secret" in path.read_bytes()]


def test_real_keyring_that_hangs_is_unavailable(tmp_path: Path) -> None:
    done = keyring_daemon.run(
        """
import os, signal, time
import keyring
from uploader.credentials import Keyring
from uploader.errors import KeyringUnavailable
from uploader.secret import Secret
Keyring(limit=30).set("target:a", Secret("hunter2"))
os.kill(int(os.environ["KEYRING_DAEMON_PID"]), signal.SIGSTOP)
began = time.monotonic()
try:
    Keyring(limit=0.5).set("target:a", Secret("hunter3"))
except KeyringUnavailable as error:
    assert "did not answer" in error.message
    assert time.monotonic() - began < 5
    print("given up")
assert Keyring(limit=0.5).get("target:a") is None
""",
        tmp_path,
    )
    assert (done.returncode, done.stdout) == (0, "given up\n"), done.stderr


# a target's secrets -----------------------------------------------------------------------------------


class Person:
    """A person at a terminal who answers from a list; fulfils Prompter."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.shown: list[str] = []

    def ask(self, text: str) -> str:
        self.asked.append(f"visibly: {text}")
        return self.answers.pop(0)

    def ask_secret(self, text: str) -> Secret:
        self.asked.append(text)
        return Secret(self.answers.pop(0))

    def confirm(self, text: str) -> bool:
        raise AssertionError("nothing to confirm here")

    def show(self, text: str) -> None:
        self.shown.append(text)


def secrets_of(
    person: Person | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    stdin: str | None = None,
    account: str | None = "pod",
    renew: bool = False,
) -> TargetSecrets:
    return TargetSecrets(
        account=account,
        keyring=Keyring(),
        environ=environ or {},
        stdin_password=Secret(stdin) if stdin is not None else None,
        prompter=person,
        renew=renew,
    )


def revealed(answers: list[Secret] | None) -> list[str] | None:
    return None if answers is None else [answer.reveal() for answer in answers]


PASSWORD = Question("Password: ", echo=False)
CODE = Question("Verification code: ", echo=False)


def test_target_secrets_fulfil_the_interface_of_remote(memory: MemoryKeyring) -> None:
    secrets: Secrets = secrets_of()
    assert secrets.password() is None


def test_password_comes_from_the_first_place_that_has_one(memory: MemoryKeyring) -> None:
    memory.entries["uploader", "target:pod"] = "from-keyring"
    environ = {"UPLOADER_PASSWORD": "from-environment"}
    for secrets, value, origin in (
        (secrets_of(Person(), environ=environ, stdin="from-stdin"), "from-stdin", "stdin"),
        (secrets_of(Person(), environ=environ), "from-environment", "environment"),
        (secrets_of(Person(), environ={"UPLOADER_PASSWORD": ""}), "from-keyring", "keyring"),
    ):
        assert not secrets.used_password
        assert secrets.password() == secrets.used_password == Secret(value)
        assert secrets.password_origin == origin
        assert secrets.ask_password("me@host") == Secret(value)


def test_password_of_the_keyring_when_refused_is_asked_for(
    memory: MemoryKeyring,
) -> None:
    memory.entries["uploader", "target:pod"] = "old"
    person = Person("new")
    secrets = secrets_of(person, renew=True)
    assert secrets.password() == Secret("old")
    assert secrets.ask_password("me@host") == secrets.ask_password("me@host") == secrets.password() == Secret("new")
    assert person.asked == ["The saved password was refused. Password for me@host"]
    assert (secrets.used_password, secrets.password_origin) == (Secret("new"), "prompt")
    assert secrets_of(Person()).ask_password("me@host") == Secret("old")
    assert secrets_of(renew=True).ask_password("me@host") == Secret("old")


def test_password_of_another_place_is_not_renewed(memory: MemoryKeyring) -> None:
    memory.entries["uploader", "target:pod"] = "old"
    secrets = secrets_of(Person(), stdin="given", renew=True)
    assert secrets.ask_password("me@host") == Secret("given")
    secrets = secrets_of(Person(), environ={"UPLOADER_PASSWORD": "set"}, renew=True)
    assert secrets.ask_password("me@host") == Secret("set")


def test_answer_after_a_refused_password_is_a_new_one(memory: MemoryKeyring) -> None:
    memory.entries["uploader", "target:pod"] = "old"
    person = Person("new")
    secrets = secrets_of(person, renew=True)

    def dialogue() -> list[list[str] | None]:
        return [revealed(secrets.answer("", "", [PASSWORD])) for _ in range(2)]

    assert in_a_connection(dialogue) == [["old"], ["new"]]
    assert (secrets.used_password, secrets.password_origin) == (Secret("new"), "prompt")


def test_password_of_an_address_is_not_in_the_keyring(memory: MemoryKeyring) -> None:
    secrets = secrets_of(account=None)
    assert secrets.password() is None
    assert secrets.passphrase("key") is None
    assert memory.lookups == 0


def test_password_known_elsewhere_does_not_ask_the_keyring(memory: MemoryKeyring) -> None:
    secrets_of(environ={"UPLOADER_PASSWORD": "x"}).password()
    assert memory.lookups == 0


def test_password_asks_the_keyring_once_a_run(memory: MemoryKeyring) -> None:
    secrets = secrets_of()
    for _ in range(3):
        assert secrets.password() is None
        assert secrets.passphrase("key") is None
    assert memory.lookups == 2


def test_password_typed_once_serves_every_connection(memory: MemoryKeyring) -> None:
    person = Person("typed")
    secrets = secrets_of(person)
    assert secrets.password() is None
    assert secrets.ask_password("me@host") == Secret("typed")
    assert secrets.ask_password("me@host") == secrets.password() == Secret("typed")
    assert person.asked == ["Password for me@host"]
    assert (secrets.used_password, secrets.password_origin) == (Secret("typed"), "prompt")


def test_password_for_connections_at_once_is_asked_once(memory: MemoryKeyring) -> None:
    person = Person("typed")
    secrets = secrets_of(person)
    together = threading.Barrier(4)
    got: list[Secret | None] = []

    def connect() -> None:
        together.wait()
        got.append(secrets.ask_password("me@host"))

    threads = [threading.Thread(target=connect) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [Secret("typed")] * 4
    assert len(person.asked) == 1


def test_password_left_empty_is_not_asked_again(memory: MemoryKeyring) -> None:
    person = Person("", "")
    secrets = secrets_of(person)
    assert secrets.ask_password("me@host") is None
    assert secrets.ask_password("me@host") is None
    assert secrets.passphrase("key") is None
    assert secrets.passphrase("key") is None
    assert len(person.asked) == 2
    assert secrets.used_password is None


def test_secrets_without_a_prompter_are_none(memory: MemoryKeyring) -> None:
    secrets = secrets_of()
    assert secrets.ask_password("me@host") is None
    assert secrets.passphrase("key") is None
    assert secrets.answer("", "", [PASSWORD]) is None
    assert secrets.answer("", "", [CODE]) is None
    assert secrets.answer("", "Welcome", []) == []


def test_passphrase_comes_from_the_first_place_that_has_one(memory: MemoryKeyring) -> None:
    memory.entries["uploader", "target:pod:passphrase"] = "from-keyring"
    person = Person("typed for a", "typed for b")
    assert secrets_of(person, environ={"UPLOADER_PASSPHRASE": "x"}).passphrase("a") == Secret("x")
    assert secrets_of(person).passphrase("a") == Secret("from-keyring")
    memory.entries.clear()
    secrets = secrets_of(person)
    assert secrets.used_passphrase is None
    assert secrets.passphrase("a") == secrets.passphrase("a") == Secret("typed for a")
    assert secrets.passphrase("b") == Secret("typed for b")
    assert person.asked == ["Passphrase for the key a", "Passphrase for the key b"]
    assert secrets.used_passphrase == Secret("typed for b")


def test_passphrase_origin_is_known(memory: MemoryKeyring) -> None:
    secrets = secrets_of(Person("typed"), environ={"UPLOADER_PASSPHRASE": "x"})
    assert secrets.passphrase("a") == Secret("x")
    assert secrets.passphrase_origin == "environment"
    secrets = secrets_of(Person("typed"), environ={"UPLOADER_PASSPHRASE": "x"})
    assert secrets.passphrase("a", wrong=Secret("x")) == Secret("typed")
    assert (secrets.used_passphrase, secrets.passphrase_origin) == (Secret("typed"), "prompt")
    memory.entries["uploader", "target:pod:passphrase"] = "from-keyring"
    secrets = secrets_of(Person())
    secrets.passphrase("a")
    assert secrets.passphrase_origin == "keyring"


def test_passphrase_that_is_wrong_is_never_given_again(memory: MemoryKeyring) -> None:
    person = Person("wrong")
    secrets = secrets_of(person)
    assert secrets.passphrase("a") == Secret("wrong")
    assert secrets.passphrase("a", wrong=Secret("wrong")) is None
    assert (secrets.used_passphrase, secrets.passphrase_origin) == (None, None)
    assert len(person.asked) == 1


def test_jump_host_has_the_passphrase_and_no_password(memory: MemoryKeyring) -> None:
    memory.entries["uploader", "target:pod"] = "from-keyring"
    memory.entries["uploader", "target:pod:passphrase"] = "of the key"
    secrets = secrets_of(environ={"UPLOADER_PASSWORD": "x"}, stdin="y")
    hop: Secrets = secrets.for_hop("[hop]:22")
    assert hop.passphrase("key") == Secret("of the key")
    assert hop.password() is None
    assert hop.ask_password("me@hop") is None
    assert hop.answer("", "", [PASSWORD]) is None


def test_jump_host_password_typed_once_serves_the_run(memory: MemoryKeyring) -> None:
    person = Person("for one", "phrase", "for two")
    secrets = secrets_of(person)
    for _ in range(2):
        assert secrets.for_hop("one").ask_password("me@one") == Secret("for one")
        assert secrets.for_hop("one").passphrase("key") == Secret("phrase")
    assert secrets.for_hop("two").ask_password("me@two") == Secret("for two")
    assert secrets.password() is None
    assert person.asked == ["Password for me@one", "Passphrase for the key key", "Password for me@two"]


def test_secrets_do_not_show_in_repr(memory: MemoryKeyring) -> None:
    secrets = secrets_of(stdin="hunter2")
    secrets.password()
    assert "hunter2" not in repr(secrets) + repr(secrets.used_password)


# a server's questions ---------------------------------------------------------------------------------


def in_a_connection(work: Callable[[], list[list[str] | None]]) -> list[list[str] | None]:
    """Run a dialogue in a thread of its own, as each connection does."""
    got: list[list[str] | None] = []
    thread = threading.Thread(target=lambda: got.extend(work()))
    thread.start()
    thread.join()
    return got


@pytest.mark.parametrize(
    "text", ["Password:", "me@host's password: ", "(me@host) PASSWORD", "パスワード:", "Passwort:"]
)
def test_answer_to_a_password_question_is_the_known_one(memory: MemoryKeyring, text: str) -> None:
    person = Person()
    secrets = secrets_of(person, stdin="known")
    assert revealed(secrets.answer("", "", [Question(text, echo=False)])) == ["known"]
    assert person.asked == person.shown == []


@pytest.mark.parametrize(
    "question",
    [
        CODE,
        Question("One-time password (OATH) for `me': ", echo=False),
        Question("New password: ", echo=False),
        Question("Retype new password: ", echo=False),
        Question("OTP Password:", echo=False),
        Question("Password:", echo=True),
        Question("PIN", echo=False),
    ],
)
def test_answer_to_another_question_comes_from_the_person(memory: MemoryKeyring, question: Question) -> None:
    person = Person("typed")
    assert revealed(secrets_of(person, stdin="known").answer("", "", [question])) == ["typed"]
    assert secrets_of(stdin="known").answer("", "", [question]) is None


def test_answer_is_never_the_same_password_twice(memory: MemoryKeyring) -> None:
    person = Person("typed")
    secrets = secrets_of(person, stdin="known")

    def dialogue() -> list[list[str] | None]:
        return [revealed(secrets.answer("", "", [PASSWORD])) for _ in range(2)]

    assert in_a_connection(dialogue) == [["known"], ["typed"]]


def test_answer_in_the_next_connection_is_the_password(memory: MemoryKeyring) -> None:
    person = Person("typed")
    secrets = secrets_of(person)
    for _ in range(3):
        assert in_a_connection(lambda: [revealed(secrets.answer("", "", [PASSWORD]))]) == [["typed"]]
    assert person.asked == ["Password:"]
    assert (secrets.used_password, secrets.password_origin) == (Secret("typed"), "prompt")


def test_one_time_code_is_asked_for_at_every_connection(memory: MemoryKeyring) -> None:
    person = Person("111111", "222222")
    secrets = secrets_of(person, stdin="known")
    for code in ("111111", "222222"):

        def dialogue() -> list[list[str] | None]:
            return [revealed(secrets.answer("", "", [question])) for question in (PASSWORD, CODE)]

        assert in_a_connection(dialogue) == [["known"], [code]]
    assert secrets.used_password == Secret("known")


def test_answer_to_several_questions_keeps_their_order(memory: MemoryKeyring) -> None:
    person = Person("blue", "hunter3")
    questions = [Question("Favourite colour?", echo=True), Question("Password:", echo=False)]
    assert revealed(secrets_of(person, stdin="known").answer("Bank", "Two things.", questions)) == ["blue", "hunter3"]
    assert person.asked == ["visibly: Favourite colour?", "Password:"]
    assert person.shown == ["The server says:\nBank\nTwo things."]


def test_answer_shows_the_server_s_text_first(memory: MemoryKeyring) -> None:
    person = Person("typed")
    secrets_of(person).answer("Cluster", "Use your lab password.", [PASSWORD])
    assert person.shown == ["The server says:\nCluster\nUse your lab password."]


def test_notice_without_a_question_is_shown_once_a_run(memory: MemoryKeyring) -> None:
    person = Person()
    secrets = secrets_of(person)
    for _ in range(3):
        assert secrets.answer("", "Maintenance on Sunday", []) == []
    assert person.shown == ["The server says:\nMaintenance on Sunday"]


def test_server_text_cannot_control_the_terminal(memory: MemoryKeyring) -> None:
    person = Person("x")
    question = Question("\x1b[2J\x1b]0;title\x07Code\r\n\x00\u202e: " + "y" * 10_000, echo=False)
    secrets_of(person).answer("\x9b31mred\x1b", "a\nb\tc\x08" + "z" * 1_000_000, [question])
    assert person.asked[0].startswith("Code : y")
    assert len(person.asked[0]) <= 200
    (shown,) = person.shown
    assert shown.startswith("The server says:\n31mred\na\nb cz")
    assert len(shown) < 3000
    assert all(char == "\n" or char.isprintable() for char in shown + person.asked[0])


def test_question_without_a_text_is_asked(memory: MemoryKeyring) -> None:
    person = Person("x")
    assert revealed(secrets_of(person).answer("", "", [Question("\x07", echo=True)])) == ["x"]
    assert person.asked == ["visibly: Answer"]


# the WebUI's sign-in ----------------------------------------------------------------------------------


def test_webui_sign_in_is_found_for_its_address_only(use: Use) -> None:
    use(MemoryKeyring())
    keyring = Keyring()
    keep_sign_in("box", "https://a", Secret("me:pass\nword"), keyring)
    assert find_sign_in("box", "https://a", keyring, {}) == Secret("me:pass\nword")
    assert find_sign_in("box", "https://b", keyring, {}) is None
    assert find_sign_in("other", "https://a", keyring, {}) is None
    assert find_sign_in(None, "https://a", keyring, {}) is None
    assert find_sign_in("box", "https://b", keyring, {"UPLOADER_WEBUI_AUTH": "tok"}) == Secret("tok")
    assert keyring.delete(webui_account("box"))
