"""The errors of a download on a server: what happened, and what the user can do."""

from __future__ import annotations

from collections.abc import Mapping

from uploader.errors import (
    NetworkError,
    NoPermission,
    NoSpace,
    NotAModel,
    RateLimited,
    RemoteRefused,
    SourceChanged,
    SourceMissing,
    SourceRefused,
    UploaderError,
)
from uploader.server_download.downloaders import DOWNLOADERS, Trouble
from uploader.server_download.job import Findings, JobStatus

_RELAY = "Use --via relay: the bytes then pass through this machine's memory."
_AGAIN = "Run the same command again: it goes on where it stopped."
_DAY = 86_400

_NAMED: Mapping[Trouble | None, tuple[type[UploaderError], str, str]] = {
    Trouble.NAME: (NetworkError, "the server finds no machine called {host}", _RELAY),
    Trouble.CONNECT: (NetworkError, "the server cannot reach {host}: its network does not let it", _RELAY),
    Trouble.TIMEOUT: (NetworkError, "{host} does not answer the server in time", _AGAIN),
    Trouble.CUT: (NetworkError, "the line between the server and {host} was cut, again and again", _AGAIN),
    Trouble.TLS: (SourceRefused, "the server and {host} do not agree on an encrypted line", _RELAY),
    Trouble.CERTIFICATE: (SourceRefused, "the server does not trust the certificate of {host}", _RELAY),
    Trouble.CHANGED: (SourceChanged, "the file at {host} changed while the server downloaded it", _AGAIN),
    Trouble.GONE: (RemoteRefused, "{by} on the server does not do what it is asked for", _RELAY),
}

FULL_BYTES = 1024 * 1024
"""A disk with less left than that is full."""

EXPIRED = frozenset({400, 401, 403, 404, 410})
"""What stores answer to a signed link whose time is over."""


def trouble_of(job: JobStatus) -> Trouble | None:
    """Return why a job ended; None when it succeeded."""
    if job.code == 0:
        return None
    codes = next((one.troubles for one in DOWNLOADERS if one.name == job.by), {})
    return codes.get(job.code, Trouble.OTHER)


def fault_of(job: JobStatus, host: str, *, free: int | None = None) -> UploaderError:
    """Return the error for a job that failed.

    `host` is the source's host. `free` is the free space on the disk in bytes, None when unknown.
    """
    trouble = trouble_of(job)
    if trouble is Trouble.STATUS:
        return _refused(job.status, host)
    if trouble is Trouble.DISK:
        return disk_fault(free)
    if trouble in _NAMED:
        kind, message, remedy = _NAMED[trouble]
        return kind(message.format(host=host, by=job.by), remedy=remedy)
    if job.code > 128:
        return RemoteRefused(
            f"{job.by} was killed on the server (signal {job.code - 128}), perhaps for want of memory",
            remedy=_AGAIN,
        )
    return RemoteRefused(f"{job.by} on the server failed (exit code {job.code})", remedy=_RELAY)


def certificate_fault(host: str, found: Findings, now: float) -> UploaderError:
    """Return the error for a certificate that this machine accepts and the server does not.

    `now` is in seconds since 1970.
    """
    if found.clock is not None and abs(found.clock - now) > _DAY:
        days = round(abs(found.clock - now) / _DAY)
        side = "behind" if found.clock < now else "ahead"
        return SourceRefused(
            f"the server's clock is {days} day(s) {side}, so that no certificate holds there",
            remedy=f"Set its clock. Or: {_RELAY}",
        )
    if not found.certificates:
        return SourceRefused(
            f"the server has no certificates to check https://{host} by",
            remedy=f"Install ca-certificates there. Or: {_RELAY}",
        )
    return SourceRefused(f"the server does not trust the certificate of {host}", remedy=_RELAY)


def other_answer(host: str, error: NotAModel) -> NotAModel:
    """Return the error for a host that gives the server another answer, such as a page with a challenge.

    `error` says what the bytes are. Another link does not help: the host blocks the server's address.
    """
    return NotAModel(
        f"{host} gives this file to us and not to the server, which got something else: {error.message}", remedy=_RELAY
    )


def _refused(status: int, host: str) -> UploaderError:
    if status in (404, 410):
        return SourceMissing(f"{host} has no such file for the server ({status})", remedy=_RELAY)
    if status == 429:
        return RateLimited(f"{host} asks the server to slow down ({status})", remedy="Try again in a few minutes.")
    if status >= 500 or status == 408:
        return NetworkError(f"{host} has trouble of its own ({status})", remedy="Try again in a few minutes.")
    shown = f" ({status})" if status else ""
    return SourceRefused(f"{host} gives this file to us and not to the server{shown}", remedy=_RELAY)


def disk_fault(free: int | None) -> UploaderError:
    """Return the error for a server that could not write. `free` is the free space in bytes, None when unknown."""
    if free is None:
        return NoPermission(
            "the server could not write to its disk", remedy="Is it full, or the quota of this account used up?"
        )
    if free < FULL_BYTES:
        return NoSpace(
            "the server's disk is full", remedy="Remove a model you do not need there, or rent a larger disk."
        )
    return NoSpace(
        f"the server could not write, though its disk has {free:,} bytes left: the account's quota is used up",
        remedy="Remove a model you do not need there, or ask for a larger quota.",
    )
