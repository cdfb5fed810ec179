"""Proving who we are: each secret is offered once, in the README's order, through every stage a server asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import paramiko

from uploader.errors import (
    ConfigurationError,
    CredentialsMissing,
    CredentialsRefused,
    NetworkError,
    UploaderError,
)
from uploader.events import Message, Observer
from uploader.remote.interface import Question, Secrets
from uploader.remote.sftp.errors import mapped
from uploader.remote.sftp.private_keys import agent_listens, agents, blob, is_file, read_key
from uploader.remote.sftp.ssh_config import Address
from uploader.remote.sftp.transport import Transport
from uploader.secret import Secret

_DEFAULT_FILES = ("id_ed25519", "id_ecdsa", "id_rsa")
_MOST_STAGES = 5
_ANSWERING_SECONDS = 600.0  # a person looks for the telephone that shows the code
_Attempt = Callable[[], Sequence[str] | None]
_REFUSED = (
    "Check the user name and the password or key. For a saved target `uploader login` asks for a new password on a "
    "terminal, and takes one by --password-stdin anywhere; one in $UPLOADER_PASSWORD goes before a saved one."
)


@dataclass(frozen=True)
class SignInMethod:
    """How a login was done that took one proof: `name` in words, and the proof. The same opens the next one."""

    name: str
    proof: paramiko.PKey | Secret


class Login:
    """One authentication on one transport. `run` returns a word for how it was done; `way` is then how to do it
    again, if that is known."""

    def __init__(
        self,
        transport: Transport,
        address: Address,
        secrets: Secrets,
        observer: Observer,
        ssh_folder: Path,
    ) -> None:
        self._transport = transport
        self._address = address
        self._secrets = secrets
        self._observer = observer
        self._ssh_folder = ssh_folder
        self._where = f"{address.user}@{address.known_as}"
        self._used: list[str] = []
        self._refused: list[str] = []
        self._asking: UploaderError | None = None
        self._agent: paramiko.Agent | None = None
        self._offered_passwords: list[Secret] = []
        self._offered_keys: set[bytes] = set()
        self._passed_over: list[str] = []
        self._secret_sent = False
        self.way: SignInMethod | None = None
        self._last_way: SignInMethod | None = None

    def run(self, *, proven: bool = False, way: SignInMethod | None = None) -> str:
        """Sign in and return the method's name; try `way` first, in the fewest round trips, if one is given.

        Raises CredentialsMissing, CredentialsRefused, NetworkError. A line that ends after a secret was sent is not
        tried again: that may have been a refusal. `proven`: these secrets were accepted here before."""
        try:
            with mapped(self._where):
                first = way or self._own_way()
                return self._run() if first is None else self._run_by(first)
        except NetworkError as error:
            if self._secret_sent and not proven:
                error.retryable = False
            raise
        finally:
            if self._agent is not None:
                self._agent.close()

    def _own_way(self) -> SignInMethod | None:
        """Return the one key file that was named for this target, where it needs no password and no question.

        It is offered without asking the server first what it accepts: each question is a round trip or two."""
        files = self._address.identity_files
        if not self._address.own_key or len(files) != 1 or self._secrets.password() is not None:
            return None
        (path,) = files
        if not is_file(path) or is_file(Path(f"{path}-cert.pub")) or self._address.certificates:
            return None
        if agents(path, self._agent_keys()) is not None:
            return None
        try:
            return SignInMethod(f"the key {path}", read_key(path, None))
        except (paramiko.PasswordRequiredException, ConfigurationError):  # told when its turn comes
            return None

    def _run_by(self, way: SignInMethod) -> str:
        """Shows a proof without asking first which ones are wanted."""
        user = self._address.user
        try:
            if isinstance(way.proof, Secret):
                self._offered_passwords.append(way.proof)
                self._send_password(way.proof)
            else:
                self._offered_keys.add(blob(way.proof))
                self._transport.auth_publickey(user, way.proof)
        except paramiko.AuthenticationException:
            if not self._transport.is_active():
                raise
            self._refused.append(way.name)
        if self._transport.is_authenticated():
            self.way = way
            return way.name
        return self._run()

    def _run(self) -> str:
        try:
            allowed: Sequence[str] = self._transport.auth_none(self._address.user)
        except paramiko.BadAuthenticationType as error:
            allowed = error.allowed_types
        for _ in range(_MOST_STAGES):
            if self._transport.is_authenticated():
                self.way = self._last_way if len(self._used) == 1 else None
                return " + ".join(self._used) or "none"
            allowed = self._stage(allowed)
        raise CredentialsRefused(f"{self._where} asks for more proofs than it should ever need")

    def _stage(self, allowed: Sequence[str]) -> Sequence[str]:
        """Takes one step; returns the methods that the server wants next, none when it is content."""
        for method, attempt in self._attempts(allowed):
            if not self._transport.is_active():
                raise self._hung_up(None)
            try:
                rest: Sequence[str] | None = attempt()
            except paramiko.BadAuthenticationType:
                continue
            except paramiko.AuthenticationException as error:
                if self._asking is not None:
                    raise self._asking from error
                if not self._transport.is_active():
                    raise self._hung_up(method) from error
                if "timeout" in str(error).lower():  # paramiko's only sign that no answer came
                    raise NetworkError(
                        f"{self._where} does not answer while we sign in", remedy="Try again in a minute."
                    ) from error
                self._refused.append(method)
                self._observer(Message(f"{self._where} refused {method}", "debug"))
                continue
            if rest is None:
                continue
            self._used.append(method)
            return rest
        raise self._nothing_left(allowed)

    def _attempts(self, allowed: Sequence[str]) -> Iterator[tuple[str, _Attempt]]:
        password, asked_for = self._secrets.password(), allowed
        if "password" in allowed and password is not None:
            yield from self._by_password(password)
        elif "keyboard-interactive" in allowed and password is not None:
            yield "the server's questions", self._questions
            allowed = [method for method in allowed if method != "keyboard-interactive"]
        if "publickey" in allowed:
            for name, key in self._keys():
                yield name, partial(self._send_key, name, key)
        if password is not None and "the password" not in self._used:  # it was refused by now
            yield from self._by_another_password(asked_for, password)
        if "keyboard-interactive" in allowed:
            yield "the server's questions", self._questions
        if "password" in allowed and password is None:
            asked = self._secrets.ask_password(self._where)
            if asked is not None:
                yield from self._by_password(asked)

    def _by_password(self, password: Secret) -> Iterator[tuple[str, _Attempt]]:
        if password not in self._offered_passwords:
            self._offered_passwords.append(password)
            yield "the password", partial(self._send_password, password)

    def _by_another_password(self, allowed: Sequence[str], refused: Secret) -> Iterator[tuple[str, _Attempt]]:
        """The one that a person gives in the place of a refused one, where that may be asked for."""
        if "password" not in allowed and "keyboard-interactive" not in allowed:
            return
        another = self._secrets.ask_password(self._where)
        if another is None or another == refused:
            return
        if "password" in allowed:
            yield from self._by_password(another)
        else:
            yield "the server's questions", self._questions

    def _send_key(self, name: str, key: paramiko.PKey) -> Sequence[str]:
        # An agent's key is the agent connection's; a certificate leaves its key again.
        kept = isinstance(key, paramiko.AgentKey) or key.public_blob is not None
        self._last_way = None if kept else SignInMethod(name, key)
        return self._transport.auth_publickey(self._address.user, key)

    def _send_password(self, password: Secret) -> Sequence[str]:
        self._secret_sent = True
        self._last_way = SignInMethod("the password", password)
        return self._transport.auth_password(self._address.user, password.reveal(), fallback=False)

    # keyboard-interactive -----------------------------------------------------------------------------

    def _questions(self) -> Sequence[str] | None:
        unanswered = False

        def handler(title: str, instructions: str, fields: list[tuple[str, bool]]) -> list[str]:
            nonlocal unanswered
            questions = [Question(text, echo) for text, echo in fields]
            try:
                answers = self._secrets.answer(title, instructions, questions)
            except UploaderError as error:  # raised in paramiko's thread: carried over to ours
                self._asking, answers = error, None
            # A password that this server has seen is not offered again by another method.
            if answers is None or any(answer in self._offered_passwords for answer in answers):
                unanswered = True
                return [""] * len(fields)
            self._secret_sent = self._secret_sent or bool(answers)
            return [answer.reveal() for answer in answers]

        self._last_way = None
        before, self._transport.auth_timeout = self._transport.auth_timeout, _ANSWERING_SECONDS
        try:
            return self._transport.auth_interactive(self._address.user, handler)
        except paramiko.AuthenticationException:
            if unanswered and self._asking is None:
                return None
            raise
        finally:
            self._transport.auth_timeout = before

    # keys ---------------------------------------------------------------------------------------------

    def _keys(self) -> Iterator[tuple[str, paramiko.PKey]]:
        """Each key that was not offered yet, with what to call it."""
        for name, key in self._candidates():
            known_by = blob(key)
            if known_by not in self._offered_keys:
                self._offered_keys.add(known_by)
                yield name, key

    def _candidates(self) -> Iterator[tuple[str, paramiko.PKey]]:
        """Named files first; the agent's keys unless IdentitiesOnly; default files when none was named."""
        named = self._address.identity_files
        agent = self._agent_keys()
        for path in named:
            if is_file(path) or agents(path, agent):
                yield from self._from_file(path, agent)
            else:
                self._pass_over(
                    ConfigurationError(
                        f"the key file {path} is not there",
                        remedy="Give the private key's own path to --identity-file.",
                    )
                )
        if not self._address.identities_only:
            for key in agent:
                yield f"the agent's key {key.fingerprint}", key
        if not named:
            for default in _DEFAULT_FILES:
                if is_file(path := self._ssh_folder / default):
                    yield from self._from_file(path, agent, asking=not agent)

    def _pass_over(self, fault: ConfigurationError | CredentialsRefused) -> None:
        """A key that was given for this target and cannot be used is a fault; any other is passed over, as ssh does:
        there are other ways in."""
        if self._address.own_key:
            raise fault
        self._passed_over.append(fault.message)
        self._observer(Message(f"{fault.message}; passed over", "debug"))

    def _agent_keys(self) -> list[paramiko.AgentKey]:
        if not agent_listens():
            return []
        try:
            self._agent = self._agent or paramiko.Agent()
            return list(self._agent.get_keys())
        except paramiko.SSHException as error:
            self._observer(Message(f"the ssh-agent does not answer: {error}", "debug"))
            return []

    def _from_file(
        self, path: Path, agent: Sequence[paramiko.AgentKey], *, asking: bool = True
    ) -> Iterator[tuple[str, paramiko.PKey]]:
        held = agents(path, agent)
        if held is not None:
            yield f"the agent's key for {path}", held
            return
        try:
            key = self._load(path, asking)
        except (ConfigurationError, CredentialsRefused) as fault:
            self._pass_over(fault)
            return
        if key is None:
            return
        for certificate in (Path(f"{path}-cert.pub"), *self._address.certificates):
            if is_file(certificate) and self._certify(key, certificate):
                yield f"the certificate {certificate}", key
                key.public_blob = None  # what follows is the key by itself
        yield f"the key {path}", key

    def _certify(self, key: paramiko.PKey, certificate: Path) -> bool:
        """Puts a certificate to a key; one that cannot be read, or is another key's, is passed over as ssh does."""
        try:
            key.load_certificate(str(certificate))
        except (OSError, ValueError, paramiko.SSHException) as error:
            self._observer(Message(f"The certificate {certificate} cannot be used: {error}", "debug"))
            return False
        return True

    def _load(self, path: Path, asking: bool) -> paramiko.PKey | None:
        try:
            return read_key(path, None)
        except paramiko.PasswordRequiredException:
            if not asking:
                return None
        wrong: Secret | None = None
        while (passphrase := self._secrets.passphrase(str(path), wrong=wrong)) not in (None, wrong):
            try:
                return read_key(path, passphrase.reveal())
            except paramiko.PasswordRequiredException:
                wrong = passphrase
        if wrong is None:
            self._refused.append(f"the key {path}, which is locked by a passphrase nobody gave")
            return None
        raise CredentialsRefused(
            f"the passphrase does not open the key {path}", remedy="Try again, or load the key into ssh-agent."
        )

    # what to say --------------------------------------------------------------------------------------

    def _hung_up(self, method: str | None) -> UploaderError:
        """Names the end of the line while `method` was tried. A server that refused or took its leave meant us."""
        goodbye = self._transport.goodbye
        if goodbye is None and not self._refused:
            return NetworkError(f"{self._where} hung up while we signed in", remedy="Try again in a minute.")
        tried = [*self._refused, *([method] if method else [])]
        said = f" ({goodbye})" if goodbye else ""
        if len(tried) < 2:
            return CredentialsRefused(
                f"{self._where} refused {' and '.join(tried) or 'us'} and hung up{said}",
                remedy=_REFUSED,
            )
        return CredentialsRefused(
            f"{self._where} hung up after {len(tried)} proofs: too many authentication failures{said}",
            remedy="Name the one key it knows: `uploader login ... --identity-file FILE`, or IdentityFile with "
            "`IdentitiesOnly yes` in ~/.ssh/config.",
        )

    def _nothing_left(self, allowed: Sequence[str]) -> UploaderError:
        wants = ", ".join(allowed) or "nothing we know"
        unused = f" ({'; '.join(self._passed_over)})" if self._passed_over else ""
        if self._refused:
            refused = " and ".join(dict.fromkeys(self._refused))
            return CredentialsRefused(
                f"{self._where} refused {refused}{unused}", remedy=f"{_REFUSED} (The server takes: {wants}.)"
            )
        return CredentialsMissing(
            f"{self._where} wants {wants}, and there is nothing to show it{unused}",
            remedy="Put the password into $UPLOADER_PASSWORD, save it with `uploader login ... --password-stdin`, give "
            "a key by --identity-file at login, or run on a terminal, where it can be asked for.",
        )
