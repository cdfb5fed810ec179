"""What every command works with: state, profiles, secrets, the user to ask, connections."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from uploader import profiles as profiles
from uploader.artifact import Kind
from uploader.credentials import Keyring, Prompter, TargetSecrets, Tokens
from uploader.errors import UsageError
from uploader.events import Observer, silence
from uploader.profile import Provider, Target, WebUI
from uploader.profiles import Profiles
from uploader.secret import Secret
from uploader.state.database import Database
from uploader.state.folder import state_folder
from uploader.state.jobs import JobRecords
from uploader.state.manifest import Manifests
from uploader.state.servers import ServerFactsStore
from uploader.state.targets import Targets, is_address, parse_address
from uploader.state.uploads import UploadRecords

if TYPE_CHECKING:  # each of these loads a slow library: paramiko, httpx
    from uploader.http import Http
    from uploader.remote.interface import OfferedKey
    from uploader.remote.sftp import KnownHosts, SftpConnector
    from uploader.sources import Sources
    from uploader.state.cache import Cache
    from uploader.transfer.config import TransferConfig

WEBUI_SECONDS = 10.0
"""How long all requests to one service may take together, by default."""


@dataclass(frozen=True)
class KeyRule:
    """How to check the target's host key.

    `expected` is the only fingerprint that is allowed. `accept_new` accepts a new key without a question. `remember`
    saves an accepted key at once.
    """

    expected: str | None = None
    accept_new: bool = False
    remember: bool = True


class Session:
    """What every command works with: state, profiles, secrets, the user to ask, and connections to targets.

    `environ` is by default the environment of the process. `prompter` asks the user; None asks no question.
    `observer` receives progress and messages. `state` is the folder of all state; its default depends on the
    environment and the platform. `ssh_folder` is by default ~/.ssh. `wait` replaces the waits between two attempts: it
    takes seconds and returns True to stop. `silence_seconds` is how long a server may be silent. `webui_seconds` limits
    all requests to a WebUI after a push. `config` has the tuning numbers of transfers.
    """

    def __init__(
        self,
        *,
        environ: Mapping[str, str] | None = None,
        prompter: Prompter | None = None,
        observer: Observer = silence,
        state: Path | None = None,
        ssh_folder: Path | None = None,
        wait: Callable[[float], bool] | None = None,
        silence_seconds: float = 30.0,
        webui_seconds: float = WEBUI_SECONDS,
        config: TransferConfig | None = None,
    ) -> None:
        self.environ = os.environ if environ is None else environ
        self.prompter = prompter
        self.observer = observer
        self.state = state or state_folder(self.environ)
        self.wait = wait
        self._config = config
        self._silence_seconds = silence_seconds
        self.webui_seconds = webui_seconds
        self.ssh_folder = ssh_folder or Path.home() / ".ssh"
        self.targets = Targets(self.state)
        self.keyring = Keyring(observer=observer)
        self.tokens = Tokens(self.keyring, self.environ)
        database = Database(self.state, observer)
        self.uploads = UploadRecords(database)
        self.manifests = Manifests(database)
        self.job_records = JobRecords(database)
        self.server_facts = ServerFactsStore(database)

    @cached_property
    def config(self) -> TransferConfig:
        from uploader.transfer.config import TransferConfig

        return self._config or TransferConfig()

    @cached_property
    def cache(self) -> Cache:
        from uploader.state.cache import Cache, limit_of

        folder = self.state / "cache"
        return Cache(folder, self.uploads, limit_of(self.environ, folder))

    @cached_property
    def profiles(self) -> Profiles:
        return profiles.load(self.state / "profiles")

    @cached_property
    def known_hosts(self) -> KnownHosts:
        from uploader.remote.sftp import KnownHosts

        return KnownHosts(self.state / "known_hosts", ssh_folder=self.ssh_folder)

    def choose_targets(self, to: Sequence[str]) -> list[Target]:
        """Return the named targets and those of named groups (`@name`), each once. Without names, return the only one.

        Raises UsageError when a name is unknown, or when there is not exactly one target to choose.
        """
        named = to or [name for name in [self.environ.get("UPLOADER_TARGET", "")] if name]
        if not named:
            return [self._only_target()]
        found = [target for name in named for target in self._named(name)]
        return list({target.name: target for target in found}.values())

    def sources(self, http: Http) -> Sources:
        """Return the sources, with the addresses from the environment and the saved tokens."""
        from uploader.sources import Sources

        return Sources(http, environ=self.environ, tokens=self.tokens.get)

    def choose_target(self, to: str | None) -> Target:
        """Return the one target as `choose_targets` does. Raises UsageError when `to` names several."""
        found = self.choose_targets([to] if to else [])
        if len(found) > 1:
            raise UsageError(f"{to} names {len(found)} targets, and this is about one", remedy="Name one of them.")
        return found[0]

    def observed_by(self, observer: Observer) -> Session:
        """Return a copy of the session with another observer."""
        _ = self.profiles, self.known_hosts, self.cache  # load them now, so that the copies share them
        other = copy(self)
        other.observer = observer
        return other

    def without(self, variable: str) -> Session:
        """Return a copy of the session whose environment lacks a variable."""
        other = copy(self)
        other.environ = {name: value for name, value in self.environ.items() if name != variable}
        return other

    def _named(self, name: str) -> list[Target]:
        if name.startswith("@"):
            return self.targets.group(name.removeprefix("@"))
        return [parse_address(name, self.environ) if is_address(name) else self.targets.get(name)]

    def _only_target(self) -> Target:
        saved = self.targets.all()
        if len(saved) == 1:
            return saved[0]
        if not saved:
            raise UsageError(
                "no target is saved yet",
                remedy="`uploader login PROVIDER` saves one; `uploader providers` lists the providers; "
                "`uploader demo` shows the whole job without an account.",
            )
        raise UsageError(
            f"several targets are saved: {', '.join(target.name for target in saved)}",
            remedy="Say which with --to NAME, or set $UPLOADER_TARGET.",
        )

    def profiles_of(self, target: Target) -> tuple[Provider, WebUI]:
        return self.profiles.provider(target.provider), self.profiles.webui(target.webui)

    def folders_of(self, target: Target) -> dict[Kind, str]:
        """Return the folder of each kind below the target's root.

        The target's own folder wins over the provider's, and that over the WebUI's.
        """
        provider, webui = self.profiles_of(target)
        return {**self.profiles.folders(provider, webui), **target.folders}

    def connector(
        self,
        target: Target,
        rule: KeyRule | None = None,
        password: Secret | None = None,
        *,
        renew: bool = False,
    ) -> tuple[SftpConnector, TargetSecrets]:
        """Return a connector for a target, and the secrets that it uses.

        `renew` allows a question for a new password when the server refuses that of the keyring.
        """
        from uploader.remote.sftp import SftpConnector, SshEnvironment

        rule = rule or KeyRule()
        provider = self.profiles.provider(target.provider)
        account = None if is_address(target.name) else target.name
        secrets = TargetSecrets(
            account=account,
            keyring=self.keyring,
            environ=self.environ,
            stdin_password=password,
            prompter=self.prompter,
            renew=renew,
        )
        around = SshEnvironment(
            self.known_hosts,
            secrets,
            secrets.for_hop,
            partial(self._trusts, rule),
            observer=self.observer,
            remember=rule.remember,
            expected=rule.expected,
            ssh_folder=self.ssh_folder,
        )
        refusal = partial(profiles.refusal, provider)
        connector = SftpConnector(
            target, around, quirks=provider.quirks, refusal=refusal, silence_seconds=self._silence_seconds
        )
        return connector, secrets

    def _trusts(self, rule: KeyRule, key: OfferedKey) -> bool:
        if rule.accept_new:
            return True
        if self.prompter is None:
            return False
        self.prompter.show(
            f"The server at {key.address} shows a key that is not known yet:\n"
            f"  {key.key_type} {key.fingerprint}\n"
            "If the provider's page shows a fingerprint, compare the two."
        )
        return self.prompter.confirm(f"Trust this key for {key.target}?")
