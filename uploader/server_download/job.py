"""One download on a server: start it detached, read its status, stop it, remove its state."""

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
"""How many bytes of a part to fetch again after the server restarted: its last writes may be lost."""

_SILENCE_SECONDS = 20.0
_BREAK = re.compile(r"[\r\n\0]")


@dataclass(frozen=True)
class JobStatus:
    """The status of a job. The fields after `state` count only when it is `ended`.

    `code` is the exit code, `status` the HTTP status, `size` in bytes, `by` the name of the downloader. `dead` means
    that the process has gone without a result. `reset` means that it is dead because the server restarted.
    """

    state: Literal["none", "running", "ended", "dead", "reset"]
    code: int = 0
    status: int = 0
    size: int = 0
    by: str = ""


def key_of(part: str) -> str:
    """Return the key of the job for a part file. Every machine computes the same one."""
    return hashlib.sha256(part.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def survey(shell: Shell) -> ServerTools:
    """Ask the server for its downloaders, and return those that are new enough."""
    commands = "".join(f"{one.version}\n" for one in DOWNLOADERS)
    out = shell.run(programs.SURVEY, commands.encode(), silence_seconds=_SILENCE_SECONDS)
    starters, _, versions = out.partition(".\n")
    lines = versions.splitlines()
    names = [one.name for one, line in zip(DOWNLOADERS, lines, strict=False) if one.usable(line.strip())]
    return ServerTools(next(iter(starters.split()), None), tuple(names))


def look(shell: Shell, key: str) -> JobStatus:
    """Return the status of a job. Raises RemoteRefused when the answer makes no sense."""
    words = shell.run(programs.LOOK, _lines(key), silence_seconds=_SILENCE_SECONDS).split()
    match words:
        case ["none" | "running" | "dead" | "reset" as state]:
            return JobStatus(state)
        case ["ended", code, status, size, by] if code.isdigit() and size.isdigit():
            return JobStatus("ended", int(code), int(status) if status.isdigit() else 0, int(size), by)
    raise RemoteRefused("the server tells nothing sensible of its download", remedy="Use --via relay.")


def start(shell: Shell, key: str, order: Order, by: Downloader, tools: ServerTools, *, cut: int = 0) -> None:
    """Start a job that appends to an existing part file, after cutting `cut` bytes off its end.

    A job that runs already keeps running. Raises RouteUnavailable when the server cannot do it. Raises NoPermission
    when the shell may not write the part. Raises RemoteRefused when the job does not start.
    """
    if _BREAK.search(order.part):
        raise RouteUnavailable("a path with a line break in it is given to no server", remedy="Use another --name.")
    header = "" if order.header is None else order.header.reveal()
    if _BREAK.search(f"{order.link.reveal()}{header}{order.validator}"):  # it would start another line of the order
        raise RouteUnavailable("a link with a line break in it is given to no server", remedy="Use --via relay.")
    if tools.starter is None:
        raise _no_starter()
    again = " ".join(str(code) for code, trouble in by.troubles.items() if trouble in PASSING)
    order_lines = _lines(
        *(key, str(cut), order.part, tools.starter, programs.RUN, by.name, str(order.size)),
        *("yes" if order.ranges else "no", order.validator or "", again, by.attempt, *by.lines(order)),
    )
    match shell.run(programs.START, order_lines, silence_seconds=_SILENCE_SECONDS).strip():
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


def stop(shell: Shell, key: str, *, silence_seconds: float = _SILENCE_SECONDS) -> None:
    """Kill a job's processes. Its part and its state stay. Raises Busy when they do not end."""
    if shell.run(programs.STOP, _lines(key), silence_seconds=silence_seconds).strip() != "stopped":
        raise Busy("the download on the server does not end", remedy="Restart the instance.")


def clear(shell: Shell, key: str) -> None:
    """Remove the state of a job that does not run. Raises RemoteRefused when that fails."""
    shell.run(programs.CLEAR, _lines(key), silence_seconds=_SILENCE_SECONDS)


@dataclass(frozen=True)
class Findings:
    """What `diagnose` found.

    `clock` is the server's time in seconds since 1970, None when unknown. `certificates` is True if the server has
    certificates of authorities.
    """

    clock: int | None
    certificates: bool


def diagnose(shell: Shell) -> Findings:
    """Read the server's clock and look for its certificates: the causes when it trusts no certificate."""
    words = shell.run(programs.DIAGNOSE, silence_seconds=_SILENCE_SECONDS).split()
    return Findings(int(words[0]) if words and words[0].isdigit() else None, "certificates" in words)


def why_unable(tools: ServerTools) -> str | None:
    """Return why a server with a shell cannot download; None when it can."""
    if not tools.downloaders:
        return "it has none of " + ", ".join(one.name for one in DOWNLOADERS) + " in a version that will do"
    return None if tools.starter else _no_starter().message


def _no_starter() -> RouteUnavailable:
    return RouteUnavailable(
        "it has neither setsid nor python3 to start what goes on alone", remedy="Install util-linux there."
    )


def _lines(*lines: str) -> bytes:
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")
