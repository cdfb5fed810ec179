"""Login's look at the WebUI: it pins the certificate, asks for the sign-in, offers the folders. It stops no login."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from uploader.commands.login.request import WebUISeen
from uploader.errors import CertificateUnknown, CredentialsRefused, UploaderError
from uploader.http.tls import fetch_fingerprint
from uploader.placement import folder_fault
from uploader.profile import Target
from uploader.remote.interface import Connection
from uploader.secret import Secret
from uploader.session.session import WEBUI_SECONDS, Session
from uploader.webui.connect import address_of, reached
from uploader.webui.inspect import FolderDifference, facts_of

_QUESTIONS = 3


def look_at_webui(target: Target, session: Session, connection: Connection) -> tuple[Target, WebUISeen | None]:
    """Look at a target's WebUI. Returns the target with the certificate and folders that a person agreed to.

    The second value is None where no address is known.
    """
    if address_of(target) is None:
        return target, None
    visitor = _Visitor(target, session, connection)
    seen = visitor.look()
    if seen.facts is not None and seen.facts.differences and session.prompter is not None:
        visitor.offer_folders(seen.facts.differences)
    return visitor.target, seen


class _Visitor:
    """One look at a WebUI, with the questions that it leads to."""

    def __init__(self, target: Target, session: Session, connection: Connection) -> None:
        self.target = target
        self._session = session
        self._connection = connection
        self._typed: Secret | None = None

    def look(self) -> WebUISeen:
        fault: UploaderError | None = None
        for _ in range(_QUESTIONS):
            try:
                with reached(self.target, self._session, self._connection, secret=self._typed) as (_, member):
                    facts = facts_of(member, self.target, self._session, self._connection, files=False)
                    return WebUISeen(facts, typed=self._typed)
            except CredentialsRefused as error:
                fault = error
                if not self._ask_sign_in(error):
                    break
            except CertificateUnknown as error:
                fault = error
                if not self._offer_pin(error):
                    break
            except UploaderError as error:
                fault = error
                break
        return WebUISeen(None, fault)

    def _ask_sign_in(self, error: CredentialsRefused) -> bool:
        prompter = self._session.prompter
        if prompter is None:
            return False
        prompter.show(f"{error.message}.")
        self._typed = prompter.ask_secret("Sign-in for the WebUI: user:password, or a token (Enter: none)") or None
        return self._typed is not None

    def _offer_pin(self, error: CertificateUnknown) -> bool:
        """Show the certificate's fingerprint and pin it on a yes. From then on only that certificate is trusted."""
        prompter, address = self._session.prompter, address_of(self.target) or ""
        if prompter is None:
            return False
        try:
            fingerprint = fetch_fingerprint(address, WEBUI_SECONDS)
        except UploaderError:
            return False
        prompter.show(f"{error.message}.\nIts fingerprint is {fingerprint}\nCompare it with what its owner shows.")
        if not prompter.confirm(f"Trust this certificate for the WebUI of {self.target.name}?"):
            return False
        self.target = replace(self.target, webui_ca=fingerprint)
        return True

    def offer_folders(self, differences: Sequence[FolderDifference]) -> None:
        """Use the folders that the WebUI reads, where SFTP sees them, on a yes."""
        prompter = self._session.prompter
        corrected = corrected_target(self.target, differences, self._session, self._connection)
        if prompter is None or corrected == self.target:
            return
        lines = [f"  {one.kind}: {', '.join(one.there or one.theirs)}" for one in differences]
        prompter.show("The WebUI reads models from other folders than its profile names:\n" + "\n".join(lines))
        if prompter.confirm(f"Use these folders for {self.target.name}?"):
            self.target = corrected


def corrected_target(
    target: Target, differences: Sequence[FolderDifference], session: Session, connection: Connection
) -> Target:
    """Return the target with the WebUI's own folders.

    That is another root, if it puts all of them right; else folders of its own below its root. Folders elsewhere stay
    as they are.
    """
    folders = session.folders_of(target)
    roots = {
        path.removesuffix(f"/{folders[one.kind]}")
        for one in differences
        for path in one.there
        if path.endswith(f"/{folders[one.kind]}")
    }
    if len(roots) == 1 and all(
        any(path.endswith(f"/{folders[one.kind]}") for path in one.there) for one in differences
    ):
        return replace(target, root=roots.pop() or "/")
    root = connection.files.resolve(target.root).rstrip("/")
    below = {
        one.kind: path.removeprefix(f"{root}/")
        for one in differences
        for path in reversed(one.there)
        if path.startswith(f"{root}/") and folder_fault(path.removeprefix(f"{root}/")) is None
    }
    return replace(target, folders={**target.folders, **below}) if below else target
