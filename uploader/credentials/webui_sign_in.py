"""The sign-in at a target's WebUI: from the environment, or from the keyring for that one address."""

from __future__ import annotations

from collections.abc import Mapping

from uploader.credentials.keyring import Keyring, webui_account
from uploader.secret import Secret

VARIABLE = "UPLOADER_WEBUI_AUTH"


def find_sign_in(account: str | None, address: str, keyring: Keyring, environ: Mapping[str, str]) -> Secret | None:
    """Return `user:password`, a token or a header, as it was given. $UPLOADER_WEBUI_AUTH > keyring.

    `account` is the saved target's name, None for an address. A sign-in that was kept for another `address` of a WebUI
    is not returned."""
    if environ.get(VARIABLE):
        return Secret(environ[VARIABLE])
    kept = None if account is None else keyring.get(webui_account(account))
    if kept is None:
        return None
    given_for, _, value = kept.reveal().partition("\n")
    return Secret(value) if value and given_for == address else None


def keep_sign_in(account: str, address: str, secret: Secret, keyring: Keyring) -> None:
    """Store the sign-in for the WebUI at `address`. Raises KeyringUnavailable."""
    keyring.set(webui_account(account), Secret(f"{address}\n{secret.reveal()}"))
