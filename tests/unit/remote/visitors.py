"""The clients of the servers: targets, connectors, and secrets that note what they were asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from uploader.errors import UploaderError
from uploader.events import Event
from uploader.profile import Quirks, Target
from uploader.remote.interface import OfferedKey, Question, Secrets
from uploader.remote.sftp import KnownHosts, SftpConnection, SftpConnector, SshEnvironment
from uploader.secret import Secret


class Somewhere(Protocol):
    """A server that can be visited."""

    host: str
    port: int
    user: str


@dataclass
class Notes:
    """Secrets from a list; `asked` holds what was asked for. `answers` are given in order, then no user is there."""

    known: str | None = None
    typed: str | None = None
    passphrases: dict[str, str] = field(default_factory=dict)
    answers: list[str] = field(default_factory=list)
    fault: UploaderError | None = None
    asked: list[str] = field(default_factory=list)

    def password(self) -> Secret | None:
        return Secret(self.known) if self.known is not None else None

    def passphrase(self, key_file: str, *, wrong: Secret | None = None) -> Secret | None:
        self.asked.append(f"passphrase {key_file}")
        found = self.passphrases.get(key_file)
        return Secret(found) if found is not None else None

    def ask_password(self, account: str) -> Secret | None:
        self.asked.append(f"password {account}")
        return Secret(self.typed) if self.typed is not None else self.password()

    def answer(self, title: str, instructions: str, questions: Sequence[Question]) -> list[Secret] | None:
        self.asked += [f"{title}: {question.text}" for question in questions]
        if self.fault is not None:
            raise self.fault
        if len(self.answers) < len(questions):
            return None
        given, self.answers = self.answers[: len(questions)], self.answers[len(questions) :]
        return [Secret(text) for text in given]


@dataclass
class Doorman:
    """Trusts new keys or not, and remembers which it was shown."""

    trusts: bool = True
    shown: list[OfferedKey] = field(default_factory=list)

    def __call__(self, key: OfferedKey) -> bool:
        self.shown.append(key)
        return self.trusts


@dataclass
class Visitor:
    """One user's machine: `folder` holds its known_hosts and its .ssh."""

    folder: Path
    secrets: Notes = field(default_factory=Notes)
    hop_secrets: Callable[[str], Secrets] = field(default=lambda _address: Notes())
    trust: Doorman = field(default_factory=Doorman)
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ssh = self.folder / "dot-ssh"
        self.ssh.mkdir(parents=True, exist_ok=True)
        self.known_hosts = KnownHosts(self.folder / "state" / "known_hosts", ssh_folder=self.ssh)

    def surroundings(self, **changes: Any) -> SshEnvironment:
        around = SshEnvironment(
            self.known_hosts,
            self.secrets,
            self.hop_secrets,
            self.trust,
            observer=self.events.append,
            ssh_folder=self.ssh,
        )
        return replace(around, **changes)

    def connector(
        self,
        server: Somewhere | None = None,
        *,
        target: Target | None = None,
        around: SshEnvironment | None = None,
        quirks: Quirks | None = None,
        dial_seconds: float = 10,
        silence_seconds: float = 20,
        **facts: Any,
    ) -> SftpConnector:
        if target is None:
            assert server is not None
            target = target_on(server, **facts)
        return SftpConnector(
            target,
            around or self.surroundings(),
            quirks=quirks,
            dial_seconds=dial_seconds,
            silence_seconds=silence_seconds,
        )

    @contextmanager
    def connection(self, server: Somewhere, **options: Any) -> Iterator[SftpConnection]:
        """Connects and closes again."""
        connection = self.connector(server, **options).connect()
        try:
            yield connection
        finally:
            connection.close()


def target_on(server: Somewhere, **facts: Any) -> Target:
    """A target called `box`; `facts` are more of its fields, or others."""
    plain = Target("box", "generic", "a1111", server.host, ".", port=server.port, user=server.user)
    return replace(plain, **facts)
