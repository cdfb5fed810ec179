"""The verbs login and logout: a target is looked at, shown, and only then saved; its secrets go to the keyring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from uploader.app.accounts import logout_source
from uploader.app.reaching import place_of
from uploader.app.requests import LoginRequest, LoginResult
from uploader.app.setting import KeyRule, Setting
from uploader.app.visiting import WebUISeen, visit
from uploader.credentials import (
    VARIABLES,
    Asker,
    TargetSecrets,
    keep_sign_in,
    passphrase_account,
    password_account,
    webui_account,
)
from uploader.errors import (
    KeyringUnavailable,
    NoSuchRoot,
    RouteUnavailable,
    UploaderError,
    UsageError,
)
from uploader.http.lines import Trust
from uploader.manifest import fetched
from uploader.placement import root_fault
from uploader.profile import Provider, Target
from uploader.remote.interface import ServerFacts
from uploader.secret import Secret
from uploader.targets import check_name, check_values, is_address, normal_root, parse_address


@dataclass(frozen=True)
class _Found:
    """What a look at the server told."""

    facts: ServerFacts
    root: str
    free: int | None
    secrets: TargetSecrets
    target: Target
    webui: WebUISeen | None


def login(request: LoginRequest, setting: Setting) -> LoginResult:
    """Saves a target. Raises UsageError for what is missing, RouteUnavailable for a provider without SFTP, and
    what a connection raises; nothing is saved then."""
    if not request.check and (request.host_key or request.accept_new_host_key):
        raise UsageError(
            "a host key can only be checked by connecting",
            remedy="Leave out --no-check, or --host-key and --accept-new-host-key.",
        )
    provider = setting.catalog.provider(request.provider)
    if not provider.sftp:
        raise RouteUnavailable(f"{provider.name} cannot be reached by SFTP: {provider.reason}", remedy=provider.instead)
    saved = {target.name: target for target in setting.targets.all()}
    name = check_name(request.name or provider.id)
    if name in set(VARIABLES) and name not in saved:
        raise UsageError(f"{name} is a source of models, not a name for a target", remedy="Choose another --name.")
    before = saved.get(name)
    if before is not None and before.provider != provider.id:
        raise UsageError(
            f"the target {name} is saved for {before.provider}",
            remedy=f"Choose another --name, or `uploader logout {name}` first.",
        )
    target = _target(request, provider, name, before, setting)
    check_values(target)  # before anything is dialled: a ProxyCommand sees them
    found = _look(target, request, setting) if request.check else None
    target = found.target if found else target
    setting.targets.save(target)
    if found is not None:
        setting.known_hosts.keep(target.name)
    kept, fault = _keep_secrets(target, request, found, setting)
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


def logout(name: str, setting: Setting) -> list[str]:
    """Forgets a target, its secrets and its host key; of an address, which has nothing else, its host key; of a source
    its token. Says in sentences what was removed. Raises UsageError where there is nothing of that name."""
    if is_address(name):
        return [_forget_key(parse_address(name, setting.environ).name, setting)]
    service = next((service for service in VARIABLES if service == name), None)
    if service is not None and name not in {target.name for target in setting.targets.all()}:
        return logout_source(service, setting)
    setting.targets.get(name)
    said = []
    try:
        for account, what in (
            (password_account(name), "password"),
            (passphrase_account(name), "passphrase"),
            (webui_account(name), "WebUI's sign-in"),
        ):
            if setting.vault.delete(account):
                said.append(f"The {what} of {name} was removed from the keyring.")
    except KeyringUnavailable as error:
        said.append(f"The keyring could not be asked ({error.message}); a password may still be in it.")
    setting.known_hosts.forget(name)
    setting.manifests.remove(name)
    setting.manifests.remove(fetched(name))
    setting.targets.remove(name)
    return [*said, f"{name} was removed. Nothing on the server was touched."]


def _forget_key(address: str, setting: Setting) -> str:
    if not setting.known_hosts.forget(address):
        raise UsageError(
            f"no host key is pinned for {address}", remedy="Type the whole address as you gave it to push --to."
        )
    return f"The host key pinned for {address} was removed. Nothing on the server was touched."


# the target's facts -----------------------------------------------------------------------------------


def _target(request: LoginRequest, provider: Provider, name: str, before: Target | None, setting: Setting) -> Target:
    """Takes each fact from the flags, the saved target, the profile, or a person, in that order."""
    facts = _Facts(setting.asker)
    old = before or Target(name, provider.id, "", "", "")
    webuis = ", ".join(setting.catalog.webuis)
    ssh = provider.ssh_defaults
    left = " (Enter: as in ssh)" if ssh else ""
    host = facts.text(request.host, old.host, question=_host_question(provider))
    port = facts.port(request.port, old.port, provider.port, question=f"Port{left}")
    user = facts.text(request.user, old.user, provider.user, question=f"User name{left}")
    root = facts.text(
        request.root, old.root, provider.root, question="Root: the WebUI's folder, the one that holds models/"
    )
    webui = facts.text(request.webui, old.webui, provider.webui, question=f"WebUI, one of {webuis}")
    required = {"--host": host, "--root": root, "--webui": webui}
    facts.refuse_missing(name, required if ssh else {**required, "--port": port, "--user": user})
    setting.catalog.webui(webui)
    if (fault := root_fault(root)) is not None:
        raise UsageError(f"the root {root!r} cannot be used: {fault}", remedy="Give it by --root.")
    root = normal_root(root)
    identity_file, jump = request.identity_file or old.identity_file, request.jump or old.jump
    target = Target(name, provider.id, webui, host, root, port, user or None, identity_file, jump)
    # Folders that were agreed on hold for the WebUI and the root that they were seen at.
    folders = old.folders if (old.webui, old.root) == (webui, root) else {}
    return replace(_with_webui(target, request, old), folders=folders)


def _with_webui(target: Target, request: LoginRequest, old: Target) -> Target:
    """Where the WebUI is: as the flags say, else as it was. An empty address takes it out."""
    given = request.webui_url is not None or request.webui_tunnel is not None
    if request.webui_url and request.webui_tunnel is not None:
        raise UsageError("--webui-url and --webui-tunnel do not go together", remedy="Leave one of them out.")
    url = (request.webui_url or None) if given else old.webui_url
    tunnel = request.webui_tunnel if given else old.webui_tunnel
    same = (url, tunnel) == (old.webui_url, old.webui_tunnel)
    trusted = request.webui_ca or (old.webui_ca if same else None)
    if trusted is not None and not (url or "").startswith("https://"):
        if request.webui_ca:
            raise UsageError("--webui-ca is for a WebUI with an https:// address", remedy="Give it by --webui-url.")
        trusted = None
    if trusted is not None and Trust.parse(trusted).ca is not None:
        trusted = str(Path(trusted).expanduser().absolute())
    return replace(target, webui_url=url, webui_tunnel=tunnel, webui_ca=trusted)


class _Facts:
    """Asks for what no flag gave, if there is somebody; remembers what is missing otherwise."""

    def __init__(self, asker: Asker | None) -> None:
        self._asker = asker

    def text(self, *known: str | None, question: str) -> str:
        """The first that is known; asks only when nothing is."""
        for value in known:
            if value:
                return value
        return "" if self._asker is None else self._asker.ask(question).strip()

    def port(self, *known: int | None, question: str) -> int | None:
        text = self.text(*(str(value) for value in known if value), question=question)
        if not text:
            return None
        if not (text.isascii() and text.isdigit()) or not 0 < int(text) < 65536:
            raise UsageError(f"{text!r} is not a port", remedy="Give a number from 1 to 65535 by --port.")
        return int(text)

    def refuse_missing(self, name: str, required: Mapping[str, object]) -> None:
        missing = [flag for flag, value in required.items() if not value]
        if missing:
            raise UsageError(
                f"{name} cannot be saved without {', '.join(missing)}",
                remedy="Give these flags, or run on a terminal, where they are asked for.",
            )


def _host_question(provider: Provider) -> str:
    return f"Host ({provider.host_hint})" if provider.host_hint else "Host, as the provider's page shows it"


# a look at the server ---------------------------------------------------------------------------------


def _look(target: Target, request: LoginRequest, setting: Setting) -> _Found:
    """Connects once: what is saved is known to work."""
    rule = KeyRule(expected=request.host_key, accept_new=request.accept_new_host_key, remember=False)
    connector, secrets = setting.connector(target, rule, request.password, renew=True)
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
        target, webui = visit(target, setting, connection)
        return _Found(connection.facts, root, free, secrets, target, webui)
    finally:
        connection.close()


# secrets ----------------------------------------------------------------------------------------------


def _keep_secrets(
    target: Target, request: LoginRequest, found: _Found | None, setting: Setting
) -> tuple[tuple[str, ...], UploaderError | None]:
    """Puts into the keyring what a person typed or gave by --password-stdin; the environment's stays there."""
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
            setting.vault.set(password_account(target.name), password)
            kept.append("password")
        if passphrase is not None:
            setting.vault.set(passphrase_account(target.name), passphrase)
            kept.append("passphrase")
        if found is not None and found.webui is not None and found.webui.typed is not None:
            keep_sign_in(target.name, place_of(target) or "", found.webui.typed, setting.vault)
            kept.append("the WebUI's sign-in")
    except KeyringUnavailable as error:
        return tuple(kept), error
    return tuple(kept), None
