"""One download on a server: started detached, looked at, ended, and its state removed."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Literal

from uploader.errors import Busy, NoPermission, RemoteRefused, RouteUnavailable
from uploader.remote.interface import Shell
from uploader.server_download import programs
from uploader.server_download.downloaders import DOWNLOADERS, PASSING, Downloader, Order
from uploader.state.servers import ServerTools

REWIND_BYTES = 64 * 1024 * 1024
"""Bytes of a part file that are fetched again after a restart of its machine: the last writes may be lost."""

_PATIENCE = 20.0
_BREAK = re.compile(r"[\r\n\0]")


@dataclass(frozen=True)
class JobStatus:
    """What a look at a job told. `code`, `status`, `size` (bytes) and `by` (the downloader) are those of one that
    `ended`. A job that is `reset` died when its machine was restarted.
    """

    state: Literal["none", "running", "ended", "dead", "reset"]
    code: int = 0
    status: int = 0
    size: int = 0
    by: str = ""


def key_of(part: str) -> str:
    """Return the name of the job that fetches this part file: the same from every machine."""
    return hashlib.sha256(part.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def survey(shell: Shell) -> ServerTools:
    """Ask which downloaders there are, and whether their versions will do."""
    commands = "".join(f"{one.version}\n" for one in DOWNLOADERS)
    out = shell.run(programs.SURVEY, commands.encode(), silence_seconds=_PATIENCE)
    starters, _, told = out.partition(".\n")
    lines = told.splitlines()
    names = [one.name for one, line in zip(DOWNLOADERS, lines, strict=False) if one.usable(line.strip())]
    return ServerTools(next(iter(starters.split()), None), tuple(names))


def look(shell: Shell, key: str) -> JobStatus:
    """Look at a job. Raises RemoteRefused when the server does not tell."""
    words = shell.run(programs.LOOK, _lines(key), silence_seconds=_PATIENCE).split()
    match words:
        case ["none" | "running" | "dead" | "reset" as state]:
            return JobStatus(state)
        case ["ended", code, status, size, by] if code.isdigit() and size.isdigit():
            return JobStatus("ended", int(code), int(status) if status.isdigit() else 0, int(size), by)
    raise RemoteRefused("the server tells nothing sensible of its download", remedy="Use --via relay.")


def start(shell: Shell, key: str, order: Order, by: Downloader, able: ServerTools, *, cut: int = 0) -> None:
    """Begin to download into a part file that is there, from its end less `cut` bytes. A job that runs already goes
    on.

    Raises RouteUnavailable where that cannot work, NoPermission, RemoteRefused.
    """
    if _BREAK.search(order.part):
        raise RouteUnavailable("a path with a line break in it is given to no server", remedy="Use another --name.")
    header = "" if order.header is None else order.header.reveal()
    if _BREAK.search(f"{order.link.reveal()}{header}{order.validator}"):  # it would begin another line of the order
        raise RouteUnavailable("a link with a line break in it is given to no server", remedy="Use --via relay.")
    if able.starter is None:
        raise _no_starter()
    again = " ".join(str(code) for code, trouble in by.troubles.items() if trouble in PASSING)
    order_lines = _lines(
        *(key, str(cut), order.part, able.starter, programs.RUN, by.name, str(order.size)),
        *("yes" if order.ranges else "no", order.validator or "", again, by.attempt, *by.lines(order)),
    )
    match shell.run(programs.START, order_lines, silence_seconds=_PATIENCE).strip():
        case "started" | "taken":
            return
        case "elsewhere":
            raise elsewhere(order.part)
        case "spoken":
            raise RouteUnavailable(
                "the server's sh would show the link to everyone who lists its processes: its printf is a program",
                remedy="Use --via relay.",
            )
        case "readonly":
            raise NoPermission(f"commands on this server may not write to {order.part}", remedy="Use --via relay.")
        case _:
            raise RemoteRefused("the server does not start a download of its own", remedy="Use --via relay.")


def elsewhere(part: str) -> RouteUnavailable:
    """Return the fault of a shell that does not see the part file that SFTP made."""
    return RouteUnavailable(
        f"commands on this server do not see {part}: its SFTP shows other folders than its shell",
        remedy="Use --via relay.",
    )


def stop(shell: Shell, key: str, *, silence_seconds: float = _PATIENCE) -> None:
    """End a job's processes; its part and its state stay. Raises Busy when they do not end."""
    if shell.run(programs.STOP, _lines(key), silence_seconds=silence_seconds).strip() != "stopped":
        raise Busy("the download on the server does not end", remedy="Restart the instance.")


def clear(shell: Shell, key: str) -> None:
    """Remove the state of a job that does not run. Raises RemoteRefused."""
    shell.run(programs.CLEAR, _lines(key), silence_seconds=_PATIENCE)


@dataclass(frozen=True)
class Findings:
    """`clock` is the server's, in seconds since 1970, None if not told. `certificates`: there are some to check by."""

    clock: int | None
    certificates: bool


def diagnose(shell: Shell) -> Findings:
    """Ask what may be wrong where no certificate is accepted."""
    words = shell.run(programs.DIAGNOSE, silence_seconds=_PATIENCE).split()
    return Findings(int(words[0]) if words and words[0].isdigit() else None, "certificates" in words)


def why_unable(able: ServerTools) -> str | None:
    """Return why a server with a shell cannot download; None when it can."""
    if not able.downloaders:
        return "it has none of " + ", ".join(one.name for one in DOWNLOADERS) + " in a version that will do"
    return None if able.starter else _no_starter().message


def _no_starter() -> RouteUnavailable:
    return RouteUnavailable(
        "it has neither setsid nor python3 to start what goes on alone", remedy="Install util-linux there."
    )


def _lines(*lines: str) -> bytes:
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")
