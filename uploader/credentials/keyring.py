"""The system's keyring, called with a time limit and never replaced by a plain-text file."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from uploader.errors import KeyringUnavailable
from uploader.events import Message, Observer, silence
from uploader.secret import Secret
from uploader.threads import DeadlineExceeded, call_with_deadline

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

SERVICE = "uploader"
LIMIT = 8.0
"""Time for a keyring to answer, in seconds."""

WAYS_OUT = "Use a key file (--identity-file), the ssh-agent, or put the password into $UPLOADER_PASSWORD."
_NONE_HERE = "no keyring works on this machine"
_PLAIN = "the keyring set up on this machine keeps secrets in plain text, and we do not write them there"

_Result = TypeVar("_Result")


def password_account(target: str) -> str:
    """Return the keyring's name for a target's password."""
    return f"target:{target}"


def passphrase_account(target: str) -> str:
    """Return the keyring's name for the passphrase of a target's key file."""
    return f"target:{target}:passphrase"


def webui_account(target: str) -> str:
    """Return the keyring's name for the sign-in at a target's WebUI."""
    return f"target:{target}:webui"


class Keyring:
    """Secrets in the system's keyring, under one service, by account name.

    A keyring that does not answer within `limit` seconds is not asked again by this object: it may be waiting for a
    dialogue that is not visible. `observer` gets one note when secrets cannot be looked up.
    """

    def __init__(self, *, observer: Observer = silence, limit: float = LIMIT) -> None:
        self._observer = observer
        self._limit = limit
        self._hung = False
        self._told = False
        self._lock = threading.Lock()

    def get(self, account: str) -> Secret | None:
        """Return the secret, None when there is none.

        A keyring that fails or hangs counts as empty: other ways to sign in may still work. The observer is told
        once."""
        try:
            value = self._call(lambda: _look_up(account))
        except KeyringUnavailable as error:
            self._tell(error)
            return None
        return Secret(value) if value is not None else None

    def set(self, account: str, secret: Secret) -> None:
        """Store a secret. Raises KeyringUnavailable, which names the alternatives, when no safe keyring takes it."""
        self._call(lambda: _store(account, secret.reveal()))

    def delete(self, account: str) -> bool:
        """Remove a secret. Return False when there was none. Raises KeyringUnavailable."""
        return self._call(lambda: _remove(account))

    def _call(self, work: Callable[[], _Result]) -> _Result:
        """Run `work` in a thread that is abandoned when it hangs. Raises KeyringUnavailable for every error."""
        if self._hung:
            raise self._silent()
        try:
            return call_with_deadline(work, self._limit, name="keyring")
        except DeadlineExceeded:
            self._hung = True
            raise self._silent() from None
        except KeyringUnavailable:
            raise
        except Exception as error:
            raise named(error) from error

    def _silent(self) -> KeyringUnavailable:
        return KeyringUnavailable(
            f"the keyring did not answer within {self._limit:g} seconds",
            remedy=f"If it waits for you to unlock it, do that and try again. Else: {WAYS_OUT}",
        )

    def _tell(self, error: KeyringUnavailable) -> None:
        with self._lock:
            first, self._told = not self._told, True
        if first:
            self._observer(Message(f"{error.message}; going on without it", "note"))


def named(fault: BaseException) -> KeyringUnavailable:
    """Return our error for an error of the keyring. Backends are plug-ins and may raise any error.

    Of a foreign error only the class is told: its text may quote the secret."""
    from keyring import errors

    match fault:
        case errors.NoKeyringError():
            return KeyringUnavailable(_NONE_HERE, remedy=WAYS_OUT)
        case errors.KeyringLocked():
            return KeyringUnavailable("the keyring is locked", remedy=f"Unlock it and try again. Else: {WAYS_OUT}")
        case errors.InitError():
            return KeyringUnavailable("the keyring could not be opened", remedy=WAYS_OUT)
        case errors.PasswordSetError():
            return KeyringUnavailable("the keyring would not store the secret", remedy=WAYS_OUT)
        case errors.PasswordDeleteError():
            return KeyringUnavailable(
                "the keyring would not remove the secret", remedy="Remove it with the keyring's own program."
            )
        case _:
            return KeyringUnavailable(f"the keyring failed ({type(fault).__name__})", remedy=WAYS_OUT)


# in the thread ----------------------------------------------------------------------------------------


def _look_up(account: str) -> str | None:
    for member in _members():
        value = member.get_password(SERVICE, account)
        if value is not None:
            return value
    return None


def _store(account: str, value: str) -> None:
    """Store a secret and read it back: some backends accept every secret and keep none."""
    members = _members()
    safe = [member for member in members if not _in_plain_text(member)]
    if not safe:
        raise KeyringUnavailable(_PLAIN if members else _NONE_HERE, remedy=WAYS_OUT)
    for member in safe:
        try:
            member.set_password(SERVICE, account, value)
        except NotImplementedError:  # a keyring that can only be read
            continue
        if member.get_password(SERVICE, account) == value:
            return
    raise KeyringUnavailable("the keyring did not keep the secret", remedy=WAYS_OUT)


def _remove(account: str) -> bool:
    removed = False
    for member in _members():
        if member.get_password(SERVICE, account) is not None:
            member.delete_password(SERVICE, account)
            removed = True
    return removed


def _members() -> list[KeyringBackend]:
    """Return the keyrings in use: none, one, or the members of a chain. The first call may ask D-Bus."""
    import keyring
    from keyring.backends.chainer import ChainerBackend

    chosen = keyring.get_keyring()
    members: list[KeyringBackend] = list(chosen.backends) if isinstance(chosen, ChainerBackend) else [chosen]
    return [member for member in members if not _does_nothing(member)]


def _does_nothing(member: KeyringBackend) -> bool:
    from keyring.backends import fail, null

    return isinstance(member, (fail.Keyring, null.Keyring))


def _in_plain_text(member: KeyringBackend) -> bool:
    """Return True for the plain-text backends of keyrings.alt and their subclasses, without importing that package."""
    return any("plaintext" in base.__name__.lower() for base in type(member).__mro__)
