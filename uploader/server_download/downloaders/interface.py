"""The interface of a program that downloads on the server."""

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
    """The reason why a download on a server ended before the file was complete."""

    NAME = "name"
    """The server finds no address for the source's host name."""
    CONNECT = "connect"
    """The source's address does not answer, or the server's network blocks the connection."""
    TIMEOUT = "timeout"
    CUT = "cut"
    CERTIFICATE = "certificate"
    """The server cannot verify the source's certificate."""
    TLS = "tls"
    STATUS = "status"
    """The source answered with an HTTP status other than success."""
    CHANGED = "changed"
    """The source does not send the rest of the file: the file has changed."""
    DISK = "disk"
    """The server could not write the file."""
    GONE = "gone"
    """The program is missing, or too old for the options that it got."""
    OTHER = "other"


@dataclass(frozen=True)
class Order:
    """What to download. `part` is the absolute path of an existing file; `size` is in bytes.

    `validator` is for If-Range (RFC 9110, 13.1.5). Without `ranges` every attempt starts at the first byte. `plain`
    allows http. `header` is one more request header, with a token in it.
    """

    link: Secret
    part: str
    size: int
    validator: str | None
    ranges: bool
    plain: bool
    header: Secret | None = field(default=None)


class Downloader(Protocol):
    """One program. It gets the order from `lines`, only on standard input.

    The link is a secret, and other users can read arguments, environments and files.

    `attempt` is one line of POSIX sh that downloads once. Its variables:

        $part   the file to write               $at   the bytes of it that exist
        $mark   the validator                   $order   what `lines` returned
        $rc     returned: the exit code         $st   returned: the HTTP status, 000 when unknown

    `size FILE` sets `$n` to the size of a file in bytes. An attempt ignores the user's configuration files and leaves
    no file except the part. It never sends the header to a host that a redirect names.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str:
        """A shell command that prints the program's version in one line."""

    @property
    def attempt(self) -> str: ...

    @property
    def troubles(self) -> Mapping[int, Trouble]:
        """The meaning of the exit codes, without 0. A code that is missing here is `OTHER`."""

    def usable(self, version_line: str) -> bool:
        """Return True if the version that `version` printed is new enough."""

    def lines(self, order: Order) -> list[str]:
        """Return the lines of text that tell the program what to download."""


PASSING = frozenset({Trouble.NAME, Trouble.CONNECT, Trouble.TIMEOUT, Trouble.CUT})
"""Trouble that may be over at the next attempt."""
