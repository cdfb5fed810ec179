"""Where a verb finds what it works with: state, profiles, secrets, the person to ask, connections."""

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
"""What all requests of one service may take together, unless it is told otherwise."""


@dataclass(frozen=True)
class KeyRule:
    """What to do about the target's host key: `expected` is the one fingerprint it may have; `accept_new` takes
    a new one unseen; `remember` writes an accepted one down at once."""

    expected: str | None = None
    accept_new: bool = False
    remember: bool = True


class Session:
    """What the verbs work with: state, profiles, secrets, the person to ask, and connections to targets.

    `environ` is the process's environment unless given. `prompter` asks a person; with None no question is asked.
    `observer` receives progress and messages. `state` is the folder of all state; the environment and the platform
    name it unless given. `ssh_folder` is ~/.ssh unless given. `wait` replaces the waits between two tries: it takes
    seconds and returns True to stop. `silence_seconds` is how long a server may be silent; `webui_seconds` bounds all
    requests to a WebUI after a push. `config` holds the tuning numbers of transfers.
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
        """The targets that were named, those of groups (`@name`) included, each once; or the only one there is.

        Raises UsageError."""
        named = to or [name for name in [self.environ.get("UPLOADER_TARGET", "")] if name]
        if not named:
            return [self._only_target()]
        found = [target for name in named for target in self._named(name)]
        return list({target.name: target for target in found}.values())

    def sources(self, http: Http) -> Sources:
        """The sources, with the addresses that the environment gives them and the tokens that are known."""
        from uploader.sources import Sources

        return Sources(http, environ=self.environ, tokens=self.tokens.get)

    def choose_target(self, to: str | None) -> Target:
        """As `choose_targets`, for what is about one. Raises UsageError."""
        found = self.choose_targets([to] if to else [])
        if len(found) > 1:
            raise UsageError(f"{to} names {len(found)} targets, and this is about one", remedy="Name one of them.")
        return found[0]

    def observed_by(self, observer: Observer) -> Session:
        """The same, talking to another observer."""
        _ = self.profiles, self.known_hosts, self.cache  # shared from here on
        other = copy(self)
        other.observer = observer
        return other

    def without(self, variable: str) -> Session:
        """The same, in an environment that lacks a variable."""
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
        """The folder of each kind, below the target's root: the target's own over its provider's over its WebUI's."""
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
        """What opens connections to a target, and the secrets it used once it has. `renew`: a password of the keyring
        that is refused may be asked for again."""
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
