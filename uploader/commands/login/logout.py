"""`logout`: forget a target or a token."""

from __future__ import annotations

from uploader.commands.login.tokens import logout_source
from uploader.credentials import VARIABLES, passphrase_account, password_account, webui_account
from uploader.errors import KeyringUnavailable, UsageError
from uploader.session.session import Session
from uploader.state.targets import is_address, parse_address


def logout(name: str, session: Session) -> list[str]:
    """Forget a target, its secrets and its host key; an address's host key; or a source's token.

    Returns in sentences what was removed. Raises UsageError where there is nothing of that name.
    """
    if is_address(name):
        return [_forget_key(parse_address(name, session.environ).name, session)]
    service = next((service for service in VARIABLES if service == name), None)
    if service is not None and name not in {target.name for target in session.targets.all()}:
        return logout_source(service, session)
    session.targets.get(name)
    said = []
    try:
        for account, what in (
            (password_account(name), "password"),
            (passphrase_account(name), "passphrase"),
            (webui_account(name), "WebUI's sign-in"),
        ):
            if session.keyring.delete(account):
                said.append(f"The {what} of {name} was removed from the keyring.")
    except KeyringUnavailable as error:
        said.append(f"The keyring could not be asked ({error.message}); a password may still be in it.")
    session.known_hosts.forget(name)
    session.manifests.remove(name)
    session.targets.remove(name)
    return [*said, f"{name} was removed. Nothing on the server was touched."]


def _forget_key(address: str, session: Session) -> str:
    if not session.known_hosts.forget(address):
        raise UsageError(
            f"no host key is pinned for {address}", remedy="Type the whole address as you gave it to push --to."
        )
    return f"The host key pinned for {address} was removed. Nothing on the server was touched."
