"""The verbs login and logout for a source: its token is shown to that source alone, then kept in the keyring."""

from __future__ import annotations

from uploader.artifact import Service
from uploader.commands.login.request import TokenRequest, TokenResult
from uploader.credentials import VARIABLES, checked, token_account
from uploader.errors import CredentialsMissing, KeyringUnavailable, UsageError
from uploader.http import Http
from uploader.secret import Secret, Token
from uploader.session.session import Session
from uploader.sources import Sources
from uploader.sources.token_owner import ACCOUNTS, owner


def login_source(request: TokenRequest, session: Session) -> TokenResult:
    """Keep a token.

    Raises CredentialsMissing when there is none, CredentialsRefused when the source does not take it,
    KeyringUnavailable, and what the network raises. Nothing is kept then.
    """
    service = request.service
    account, variable = ACCOUNTS[service], VARIABLES[service]
    token = checked(request.token or _typed(service, session), "what was given")
    user = None
    if request.check:
        with Http() as http:
            user = owner(service, _showing(token, service, http, session))
    try:
        session.keyring.set(token_account(service), token)
    except KeyringUnavailable as error:
        raise KeyringUnavailable(
            f"{account.title} takes the token, and it cannot be kept: {error.message}"
            if request.check
            else f"the token cannot be kept: {error.message}",
            remedy=f"Put it into ${variable} instead, where you run uploader.",
        ) from error
    return TokenResult(service, account.title, user, request.check, overruled=bool(session.environ.get(variable)))


def logout_source(service: Service, session: Session) -> list[str]:
    """Forget a source's token. Returns in sentences what was removed and what is left.

    Raises UsageError where the keyring holds none, and KeyringUnavailable.
    """
    title, variable = ACCOUNTS[service].title, VARIABLES[service]
    if not session.keyring.delete(token_account(service)):
        raise UsageError(
            f"the keyring holds no token of {title}",
            remedy=f"A token in ${variable}, or one that other tools saved, is theirs to remove.",
        )
    left = [f"${variable} is still set, and is used."] if session.environ.get(variable) else []
    return [f"The token of {title} was removed from the keyring.", *left]


def _typed(service: Service, session: Session) -> Secret:
    account = ACCOUNTS[service]
    typed = None
    if session.prompter is not None:
        session.prompter.show(f"Tokens (API keys) of {account.title} are made on {account.page}")
        typed = session.prompter.ask_secret(f"Token for {account.title} (it is not shown)")
    if not typed:
        raise CredentialsMissing(
            f"no token of {account.title} was given",
            remedy=f"Make one on {account.page}; run this on a terminal, or pipe it in with --token-stdin.",
        )
    return typed


def _showing(token: Secret, service: Service, http: Http, session: Session) -> Sources:
    """Return the sources with this token, for the service itself: a mirror must not see a token that is to be kept."""
    known = Token(token, explicit=False)
    sources = Sources(http, environ=session.environ, tokens=lambda _: known)
    return sources if sources.endpoint(service).scope.token is not None else Sources(http, tokens=lambda _: known)
