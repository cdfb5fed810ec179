"""The verb login: look at a target, show it, and only then save it. Its secrets go to the keyring."""

from __future__ import annotations

from uploader.commands.login.facts import _Found, _target
from uploader.commands.login.request import LoginRequest, LoginResult
from uploader.commands.login.webui import look_at_webui
from uploader.credentials import (
    VARIABLES,
    keep_sign_in,
    passphrase_account,
    password_account,
)
from uploader.errors import (
    KeyringUnavailable,
    NoSuchRoot,
    RouteUnavailable,
    UploaderError,
    UsageError,
)
from uploader.profile import Target
from uploader.secret import Secret
from uploader.session.session import KeyRule, Session
from uploader.state.targets import check_name, check_values
from uploader.webui.connect import place_of


def login(request: LoginRequest, session: Session) -> LoginResult:
    """Save a target.

    Raises UsageError for what is missing, RouteUnavailable for a provider without SFTP, and what a connection raises.
    Nothing is saved then.
    """
    if not request.check and (request.host_key or request.accept_new_host_key):
        raise UsageError(
            "a host key can only be checked by connecting",
            remedy="Leave out --no-check, or --host-key and --accept-new-host-key.",
        )
    provider = session.profiles.provider(request.provider)
    if not provider.sftp:
        raise RouteUnavailable(f"{provider.name} cannot be reached by SFTP: {provider.reason}", remedy=provider.instead)
    saved = {target.name: target for target in session.targets.all()}
    name = check_name(request.name or provider.id)
    if name in set(VARIABLES) and name not in saved:
        raise UsageError(f"{name} is a source of models, not a name for a target", remedy="Choose another --name.")
    before = saved.get(name)
    if before is not None and before.provider != provider.id:
        raise UsageError(
            f"the target {name} is saved for {before.provider}",
            remedy=f"Choose another --name, or `uploader logout {name}` first.",
        )
    target = _target(request, provider, name, before, session)
    check_values(target)  # before anything is dialled: a ProxyCommand sees them
    found = _look(target, request, session) if request.check else None
    target = found.target if found else target
    if before is not None:
        session.manifests.forget_evidence(name)
    session.targets.save(target)
    if found is not None:
        session.known_hosts.keep(target.name)
    kept, fault = _keep_secrets(target, request, found, session)
    return LoginResult(
        target,
        updated=before is not None,
        facts=found.facts if found else None,
        root=found.root if found else None,
        free=found.free if found else None,
        secrets=kept,
        keyring_fault=fault,
        webui=found.webui if found else None,
    )


# a look at the server ---------------------------------------------------------------------------------


def _look(target: Target, request: LoginRequest, session: Session) -> _Found:
    """Connect once, so that what is saved is known to work."""
    rule = KeyRule(expected=request.host_key, accept_new=request.accept_new_host_key, remember=False)
    connector, secrets = session.connector(target, rule, request.password, renew=True)
    connection = connector.connect()
    try:
        root = connection.files.resolve(target.root)
        there = connection.files.stat(root)
        if there is None or not there.is_folder:
            inside = ", ".join(sorted(entry.name for entry in connection.files.list_folder(connection.files.home))[:12])
            raise NoSuchRoot(
                f"the root {target.root} is not there: {root} does not exist",
                remedy=f"The login starts in {connection.files.home}, which holds: {inside or 'nothing'}. Give the "
                "WebUI's folder by --root, or save it unseen with --no-check.",
            )
        free = connection.files.free_bytes(root)
        target, webui = look_at_webui(target, session, connection)
        return _Found(connection.facts, root, free, secrets, target, webui)
    finally:
        connection.close()


# secrets ----------------------------------------------------------------------------------------------


def _keep_secrets(
    target: Target, request: LoginRequest, found: _Found | None, session: Session
) -> tuple[tuple[str, ...], UploaderError | None]:
    """Put into the keyring what a person typed or gave by --password-stdin. The environment's secrets stay there."""
    password: Secret | None = request.password
    passphrase: Secret | None = None
    if found is not None:
        typed = found.secrets.password_origin in ("stdin", "prompt")
        # A password that the server never asked for is not worth keeping, nor is one that it did not like.
        accepted = any(way in found.facts.auth for way in ("the password", "the server's questions"))
        password = found.secrets.used_password if typed and accepted else None
        typed = found.secrets.passphrase_origin == "prompt"  # noqa: S105 - a word for where it came from
        passphrase = found.secrets.used_passphrase if typed else None
    kept: list[str] = []
    try:
        if password is not None:
            session.keyring.set(password_account(target.name), password)
            kept.append("password")
        if passphrase is not None:
            session.keyring.set(passphrase_account(target.name), passphrase)
            kept.append("passphrase")
        if found is not None and found.webui is not None and found.webui.typed is not None:
            keep_sign_in(target.name, place_of(target) or "", found.webui.typed, session.keyring)
            kept.append("the WebUI's sign-in")
    except KeyringUnavailable as error:
        return tuple(kept), error
    return tuple(kept), None
