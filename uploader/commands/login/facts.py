"""The facts of a target: asked for, checked, put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from uploader.commands.login.request import LoginRequest, WebUISeen
from uploader.credentials import Prompter, TargetSecrets
from uploader.errors import UsageError
from uploader.http.tls import CertificatePin
from uploader.placement import root_fault
from uploader.profile import Provider, Target
from uploader.remote.interface import ConnectionInfo
from uploader.session.session import Session
from uploader.state.targets import normal_root


@dataclass(frozen=True)
class _Found:
    """What a look at the server showed."""

    facts: ConnectionInfo
    root: str
    free: int | None
    secrets: TargetSecrets
    target: Target
    webui: WebUISeen | None


def _target(request: LoginRequest, provider: Provider, name: str, before: Target | None, session: Session) -> Target:
    """Return the target. Each fact comes from the flags, the saved target, the profile, or a person, in that order."""
    facts = _Facts(session.prompter)
    old = before or Target(name, provider.id, "", "", "")
    webuis = ", ".join(session.profiles.webuis)
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
    session.profiles.webui(webui)
    if (fault := root_fault(root)) is not None:
        raise UsageError(f"the root {root!r} cannot be used: {fault}", remedy="Give it by --root.")
    root = normal_root(root)
    identity_file, jump = request.identity_file or old.identity_file, request.jump or old.jump
    target = Target(name, provider.id, webui, host, root, port, user or None, identity_file, jump)
    # Folders that were agreed on hold for the WebUI and the root that they were seen at.
    folders = old.folders if (old.webui, old.root) == (webui, root) else {}
    return replace(_with_webui(target, request, old), folders=folders)


def _with_webui(target: Target, request: LoginRequest, old: Target) -> Target:
    """Return the target with the WebUI's address from the flags, else as it was. An empty address removes it."""
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
    if trusted is not None and CertificatePin.parse(trusted).ca is not None:
        trusted = str(Path(trusted).expanduser().absolute())
    return replace(target, webui_url=url, webui_tunnel=tunnel, webui_ca=trusted)


class _Facts:
    """Questions for what no flag gave. Without a prompter, the missing facts are named in one error."""

    def __init__(self, prompter: Prompter | None) -> None:
        self._prompter = prompter

    def text(self, *known: str | None, question: str) -> str:
        """Return the first value that is known. Asks only when there is none."""
        for value in known:
            if value:
                return value
        return "" if self._prompter is None else self._prompter.ask(question).strip()

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
