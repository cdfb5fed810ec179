"""What a program that downloads on the server must do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from uploader import __version__
from uploader.secret import Secret

AGENT = f"webui-uploader/{__version__}"
REDIRECTS = 5
CONNECT_SECONDS = 20
STALL_SECONDS = 60


class Trouble(StrEnum):
    """Why a download on a server ended before it was whole."""

    NAME = "name"
    """The source's name leads to no address there."""
    CONNECT = "connect"
    """No answer comes from the source's address, or the server's network lets nothing out."""
    TIMEOUT = "timeout"
    CUT = "cut"
    CERTIFICATE = "certificate"
    """The source's certificate cannot be checked there."""
    TLS = "tls"
    STATUS = "status"
    """The source answered with an HTTP status that is no file."""
    CHANGED = "changed"
    """The source gives no rest of the file that was begun: it is another one by now."""
    DISK = "disk"
    """The file could not be written."""
    GONE = "gone"
    """The program is not there, or too old to understand what it was asked for."""
    OTHER = "other"


@dataclass(frozen=True)
class Order:
    """What to download. `part` is the absolute path of a file that is there; `size` is in bytes.

    `validator` is for If-Range (RFC 9110, 13.1.5). Without `ranges` every attempt starts at the first byte. `plain`
    allows http. `header` is one more line for the request's head, with a token in it.
    """

    link: Secret
    part: str
    size: int
    validator: str | None
    ranges: bool
    plain: bool
    header: Secret | None = field(default=None)


class Downloader(Protocol):
    """One program. It gets the order through `lines` alone, over a standard input: the link is a secret, and others
    can read arguments, environments and files.

    `attempt` is one line of POSIX sh that downloads once. `$part` is the file to write, and `$at` how many bytes of
    it are there. `$mark` is the validator, `$order` what `lines` returned. `size FILE` puts a file's bytes into `$n`.
    It leaves the exit code in `$rc` and the HTTP status in `$st`, 000 when unknown. It reads no settings of the user
    and leaves no file but the part. It keeps a header from the hosts that a redirect leads to.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str:
        """A command that says in one line which version is there."""

    @property
    def attempt(self) -> str: ...

    @property
    def troubles(self) -> Mapping[int, Trouble]:
        """What its exit codes mean. 0 is not in it; a code that is not in it is `OTHER`."""

    def usable(self, told: str) -> bool:
        """Whether the version that `version` told does what this member needs."""

    def lines(self, order: Order) -> list[str]: ...


PASSING = frozenset({Trouble.NAME, Trouble.CONNECT, Trouble.TIMEOUT, Trouble.CUT})
"""Trouble that may pass before the next attempt."""
