"""What a connection to a target must prove, found in the order of the contract or asked of a person."""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, TypeAlias

from uploader.credentials.vault import Vault, passphrase_account, password_account
from uploader.secret import Secret

PasswordOrigin: TypeAlias = Literal["stdin", "environment", "keyring", "prompt"]

_PASSWORD = re.compile(r"passwor[dt]|mot de passe|contraseña|パスワード|密码|密碼|암호|비밀번호", re.IGNORECASE)
_NOT_THE_PASSWORD = re.compile(
    r"one.?time|\botp\b|token|verif|\bnew\b|retype|again|change|\bcurrent\b|ワンタイム|新",
    re.IGNORECASE,
)
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?", re.DOTALL)
_LONGEST_PROMPT = 200
_LONGEST_TEXT = 2000


class Asker(Protocol):
    """A person at a terminal. May be called from any thread, one call at a time."""

    def ask(self, text: str) -> str:
        """Shows the text and returns what was typed, visibly."""

    def ask_secret(self, text: str) -> Secret:
        """Shows the text and returns what was typed, invisibly."""

    def confirm(self, text: str) -> bool:
        """Asks a yes-or-no question; no when in doubt."""

    def show(self, text: str) -> None:
        """Shows a text of several lines."""


class Question(Protocol):
    """One prompt of a server's dialogue. `echo`: the answer may be shown."""

    @property
    def text(self) -> str: ...

    @property
    def echo(self) -> bool: ...


class TargetSecrets:
    """The secrets of one target for one run; fulfils `remote.interface.Secrets`. Thread-safe.

    `account` is the saved target's name, None where the keyring has no entry for it (an address). Password:
    `stdin_password` > $UPLOADER_PASSWORD > keyring > a prompt; passphrase: $UPLOADER_PASSPHRASE > keyring > a
    prompt. What a person typed once serves all later connections of the run. `asker` None: nobody can be asked.
    """

    def __init__(
        self,
        *,
        account: str | None,
        vault: Vault,
        environ: Mapping[str, str],
        stdin_password: Secret | None = None,
        asker: Asker | None = None,
    ) -> None:
        self._account = account
        self._vault = vault
        self._environ = environ
        self._stdin_password = stdin_password
        self._asker = asker
        self._lock = threading.RLock()
        self._looked_up = False
        self._password: Secret | None = None
        self._origin: PasswordOrigin | None = None
        self._declined = False
        self._known_passphrase: Secret | None = None
        self._passphrase_looked_up = False
        self._typed_passphrases: dict[str, Secret | None] = {}
        self._used_passphrase: Secret | None = None
        self._shown: set[str] = set()
        self._dialogue = threading.local()

    @property
    def used_password(self) -> Secret | None:
        """The password that was given out last, for `login` to keep."""
        return self._password

    @property
    def password_origin(self) -> PasswordOrigin | None:
        """Where that password came from."""
        return self._origin

    @property
    def used_passphrase(self) -> Secret | None:
        """The passphrase that was given out last, for `login` to keep."""
        return self._used_passphrase

    def password(self) -> Secret | None:
        """Returns the password that is known without asking, or was typed earlier in this run."""
        with self._lock:
            if not self._looked_up:
                self._looked_up = True
                self._password, self._origin = self._find_password()
            return self._password

    def ask_password(self, account: str) -> Secret | None:
        """Asks for the password of `account` (user and host), once a run; None when nobody can be asked."""
        return self._typed_password(f"Password for {_line(account)}")

    def passphrase(self, key_file: str) -> Secret | None:
        """Returns the passphrase of a key file: known, typed earlier in this run, or asked for."""
        with self._lock:
            if not self._passphrase_looked_up:
                self._passphrase_looked_up = True
                self._known_passphrase = self._find_passphrase()
            found = self._known_passphrase
            if found is None and self._asker is not None:
                if key_file not in self._typed_passphrases:
                    typed = self._asker.ask_secret(f"Passphrase for the key {_line(key_file)}")
                    self._typed_passphrases[key_file] = typed or None
                found = self._typed_passphrases[key_file]
            self._used_passphrase = found or self._used_passphrase
            return found

    def answer(self, title: str, instructions: str, questions: Sequence[Question]) -> list[Secret] | None:
        """Answers a round of a server's dialogue (RFC 4256); None when that takes a person and there is none.

        A lone question for the password gets the password, once in each thread: each connection holds its dialogue
        in a thread of its own, and a server that asks the same again did not like it. All else is asked of the
        person, each time anew, since one-time codes are good once."""
        if len(questions) == 1 and _wants_password(questions[0]) and not getattr(self._dialogue, "given", False):
            self._dialogue.given = True
            secret = self._typed_password(_line(questions[0].text), said=_said(title, instructions))
            return None if secret is None else [secret]
        with self._lock:
            if self._asker is not None:
                self._show(self._asker, _said(title, instructions), again=bool(questions))
                return [_asked(self._asker, question) for question in questions]
        return None if questions else []

    def _typed_password(self, prompt: str, said: str = "") -> Secret | None:
        """Returns the known password, else asks for it; later callers get what the first one was told."""
        with self._lock:
            known = self.password()
            if known is None and self._asker is not None and not self._declined:
                self._show(self._asker, said, again=True)
                typed = self._asker.ask_secret(prompt)
                if typed:
                    self._password, self._origin = typed, "prompt"
                self._declined = not typed
            return self._password

    def _find_password(self) -> tuple[Secret | None, PasswordOrigin | None]:
        if self._stdin_password:
            return self._stdin_password, "stdin"
        if self._environ.get("UPLOADER_PASSWORD"):
            return Secret(self._environ["UPLOADER_PASSWORD"]), "environment"
        if self._account is not None and (kept := self._vault.get(password_account(self._account))):
            return kept, "keyring"
        return None, None

    def _find_passphrase(self) -> Secret | None:
        if self._environ.get("UPLOADER_PASSPHRASE"):
            return Secret(self._environ["UPLOADER_PASSPHRASE"])
        if self._account is not None:
            return self._vault.get(passphrase_account(self._account)) or None
        return None

    def _show(self, asker: Asker, text: str, *, again: bool) -> None:
        """Shows what the server wrote; what comes without a question only once a run."""
        if text and (again or text not in self._shown):
            self._shown.add(text)
            asker.show(f"The server says:\n{text}")


def _said(title: str, instructions: str) -> str:
    return "\n".join(filter(None, (_line(title), _paragraph(instructions))))


def _asked(asker: Asker, question: Question) -> Secret:
    prompt = _line(question.text) or "Answer"
    return Secret(asker.ask(prompt)) if question.echo else asker.ask_secret(prompt)


def _wants_password(question: Question) -> bool:
    text = question.text
    return not question.echo and bool(_PASSWORD.search(text)) and not _NOT_THE_PASSWORD.search(text)


def _line(text: str) -> str:
    """A server's text as one line that cannot steer a terminal, and not endless."""
    return " ".join(_paragraph(text).split())[:_LONGEST_PROMPT]


def _paragraph(text: str) -> str:
    plain = _ESCAPE.sub("", text[: 4 * _LONGEST_TEXT]).replace("\r\n", "\n").replace("\t", " ")
    shown = (char for char in plain if char == "\n" or not unicodedata.category(char).startswith("C"))
    return "".join(shown).strip()[:_LONGEST_TEXT]
