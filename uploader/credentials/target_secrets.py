"""The secrets of a target: found in a fixed order of places, or asked of a person."""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, TypeAlias

from uploader.credentials.keyring import Keyring, passphrase_account, password_account
from uploader.secret import Secret

PasswordOrigin: TypeAlias = Literal["stdin", "environment", "keyring", "prompt"]
PassphraseOrigin: TypeAlias = Literal["environment", "keyring", "prompt"]

_PASSWORD = re.compile(r"passwor[dt]|mot de passe|contraseña|パスワード|密码|密碼|암호|비밀번호", re.IGNORECASE)
_NOT_THE_PASSWORD = re.compile(
    r"one.?time|\botp\b|token|verif|\bnew\b|retype|again|change|\bcurrent\b|ワンタイム|新",
    re.IGNORECASE,
)
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?", re.DOTALL)
_LONGEST_PROMPT = 200
_LONGEST_TEXT = 2000


class Prompter(Protocol):
    """A person at a terminal. Any thread may call it, one call at a time."""

    def ask(self, text: str) -> str:
        """Show the text and return what was typed, visibly."""

    def ask_secret(self, text: str) -> Secret:
        """Show the text and return what was typed, invisibly."""

    def confirm(self, text: str) -> bool:
        """Ask a yes-or-no question. Return False when in doubt."""

    def show(self, text: str) -> None:
        """Show a text of several lines."""


class Question(Protocol):
    """One prompt of a server's dialogue. `echo`: the answer may be shown."""

    @property
    def text(self) -> str: ...

    @property
    def echo(self) -> bool: ...


class TargetSecrets:
    """The secrets of one target for one run; fulfils `remote.interface.Secrets`. Thread-safe.

    The order of places for the password: `stdin_password`, $UPLOADER_PASSWORD, the keyring, a prompt. For the
    passphrase: $UPLOADER_PASSPHRASE, the keyring, a prompt. What a person typed once serves all later connections of
    the run.

    `account` is the saved target's name, None for an address, which has no entry in the keyring. Without a `prompter`
    no question is asked. `renew`: when the server refuses the keyring's password, the person is asked for a new one.
    A passphrase that does not open its key is always asked for again: the server does not notice that.
    """

    def __init__(
        self,
        *,
        account: str | None,
        keyring: Keyring,
        environ: Mapping[str, str],
        stdin_password: Secret | None = None,
        prompter: Prompter | None = None,
        renew: bool = False,
    ) -> None:
        self._account = account
        self._keyring = keyring
        self._environ = environ
        self._stdin_password = stdin_password
        self._prompter = prompter
        self._renew = renew
        self._lock = threading.RLock()
        self._looked_up = False
        self._password: Secret | None = None
        self._origin: PasswordOrigin | None = None
        self._declined = False
        self._known_passphrase: Secret | None = None
        self._known_passphrase_origin: PassphraseOrigin | None = None
        self._passphrase_looked_up = False
        self._typed_passphrases: dict[str, Secret | None] = {}
        self._used_passphrase: Secret | None = None
        self._used_passphrase_origin: PassphraseOrigin | None = None
        self._hops: dict[str, TargetSecrets] = {}
        self._shown: set[str] = set()
        self._dialogue = threading.local()

    @property
    def used_password(self) -> Secret | None:
        """The password that was used last, for `login` to keep."""
        return self._password

    @property
    def password_origin(self) -> PasswordOrigin | None:
        """Where that password came from."""
        return self._origin

    @property
    def used_passphrase(self) -> Secret | None:
        """The passphrase that was used last and opened its key, for `login` to keep."""
        return self._used_passphrase

    @property
    def passphrase_origin(self) -> PassphraseOrigin | None:
        """Where that passphrase came from."""
        return self._used_passphrase_origin

    def for_hop(self, address: str) -> TargetSecrets:
        """Return the secrets of a jump host, the same ones for every connection of the run.

        It has the target's passphrases, which stay on this machine. It never has the target's password."""
        with self._lock:
            if address not in self._hops:
                self._hops[address] = _HopSecrets(self, self._keyring, self._prompter)
            return self._hops[address]

    def password(self) -> Secret | None:
        """Return the password that is known without a question, or was typed earlier in this run."""
        with self._lock:
            if not self._looked_up:
                self._looked_up = True
                self._password, self._origin = self._find_password()
            return self._password

    def ask_password(self, account: str) -> Secret | None:
        """Ask for the password of `account` (user and host), once a run. Return None without a prompter."""
        refused = self.password()
        told = "The saved password was refused. " if refused is not None and self._may_renew() else ""
        return self._typed_password(f"{told}Password for {_line(account)}", refused=refused)

    def passphrase(self, key_file: str, *, wrong: Secret | None = None) -> Secret | None:
        """Return the passphrase of a key file: typed earlier in this run, known, or asked for. Never return `wrong`."""
        with self._lock:
            if wrong is not None and wrong == self._used_passphrase:
                self._used_passphrase = self._used_passphrase_origin = None
            found, origin = self._passphrase_without_asking(key_file)
            if (found is None or found == wrong) and self._prompter is not None:
                if key_file not in self._typed_passphrases:
                    typed = self._prompter.ask_secret(f"Passphrase for the key {_line(key_file)}")
                    self._typed_passphrases[key_file] = typed or None
                found, origin = self._typed_passphrases[key_file], "prompt"
            if found is None or found == wrong:
                return None
            self._used_passphrase, self._used_passphrase_origin = found, origin
            return found

    def _passphrase_without_asking(self, key_file: str) -> tuple[Secret | None, PassphraseOrigin | None]:
        if typed := self._typed_passphrases.get(key_file):
            return typed, "prompt"
        if not self._passphrase_looked_up:
            self._passphrase_looked_up = True
            self._known_passphrase, self._known_passphrase_origin = self._find_passphrase()
        return self._known_passphrase, self._known_passphrase_origin

    def answer(self, title: str, instructions: str, questions: Sequence[Question]) -> list[Secret] | None:
        """Answer one round of a server's dialogue (RFC 4256). Return None when that needs a person and there is none.

        A single question for the password gets the password, once in each thread. Each connection has a thread of its
        own, and a server that asks again has refused the answer. The person answers everything else, each time again,
        since a one-time code is valid once."""
        if len(questions) == 1 and _wants_password(questions[0]):
            given: Secret | None = getattr(self._dialogue, "given", None)
            secret = self._typed_password(_line(questions[0].text), said=_said(title, instructions), refused=given)
            if secret is None:
                return None
            if secret != given:
                self._dialogue.given = secret
                return [secret]
        with self._lock:
            if self._prompter is not None:
                self._show(self._prompter, _said(title, instructions), again=bool(questions))
                return [_asked(self._prompter, question) for question in questions]
        return None if questions else []

    def _typed_password(self, prompt: str, said: str = "", *, refused: Secret | None) -> Secret | None:
        """Return the known password, else ask for it. Later callers get the first caller's answer.

        A password that was refused and may be renewed is asked for, too."""
        with self._lock:
            known = self.password()
            if known == refused and self._may_renew():
                known = None
            if known is None and self._prompter is not None and not self._declined:
                self._show(self._prompter, said, again=True)
                typed = self._prompter.ask_secret(prompt)
                if typed:
                    self._password, self._origin = typed, "prompt"
                self._declined = not typed
            return self._password

    def _may_renew(self) -> bool:
        return self._renew and self._origin == "keyring"

    def _find_password(self) -> tuple[Secret | None, PasswordOrigin | None]:
        if self._stdin_password:
            return self._stdin_password, "stdin"
        if self._environ.get("UPLOADER_PASSWORD"):
            return Secret(self._environ["UPLOADER_PASSWORD"]), "environment"
        if self._account is not None and (kept := self._keyring.get(password_account(self._account))):
            return kept, "keyring"
        return None, None

    def _find_passphrase(self) -> tuple[Secret | None, PassphraseOrigin | None]:
        if self._environ.get("UPLOADER_PASSPHRASE"):
            return Secret(self._environ["UPLOADER_PASSPHRASE"]), "environment"
        if self._account is not None and (kept := self._keyring.get(passphrase_account(self._account))):
            return kept, "keyring"
        return None, None

    def _show(self, prompter: Prompter, text: str, *, again: bool) -> None:
        """Show what the server wrote. Show a text without a question only once a run."""
        if text and (again or text not in self._shown):
            self._shown.add(text)
            prompter.show(f"The server says:\n{text}")


class _HopSecrets(TargetSecrets):
    """The secrets of a jump host: a typed password and the target's passphrases."""

    def __init__(self, target: TargetSecrets, keyring: Keyring, prompter: Prompter | None) -> None:
        super().__init__(account=None, keyring=keyring, environ={}, prompter=prompter)
        self._target = target

    def passphrase(self, key_file: str, *, wrong: Secret | None = None) -> Secret | None:
        return self._target.passphrase(key_file, wrong=wrong)


def _said(title: str, instructions: str) -> str:
    return "\n".join(filter(None, (_line(title), _paragraph(instructions))))


def _asked(prompter: Prompter, question: Question) -> Secret:
    prompt = _line(question.text) or "Answer"
    return Secret(prompter.ask(prompt)) if question.echo else prompter.ask_secret(prompt)


def _wants_password(question: Question) -> bool:
    text = question.text
    return not question.echo and bool(_PASSWORD.search(text)) and not _NOT_THE_PASSWORD.search(text)


def _line(text: str) -> str:
    """Return a server's text as one line of limited length that cannot control a terminal."""
    return " ".join(_paragraph(text).split())[:_LONGEST_PROMPT]


def _paragraph(text: str) -> str:
    plain = _ESCAPE.sub("", text[: 4 * _LONGEST_TEXT]).replace("\r\n", "\n").replace("\t", " ")
    shown = (char for char in plain if char == "\n" or not unicodedata.category(char).startswith("C"))
    return "".join(shown).strip()[:_LONGEST_TEXT]
