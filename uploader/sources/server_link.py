"""What of a link may be given to a server, so that it downloads by itself."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from uploader.artifact import Artifact, WebFile
from uploader.errors import RouteUnavailable, SourceChanged, UploaderError
from uploader.http import Http, TokenScope, host_of
from uploader.secret import Secret


@dataclass(frozen=True)
class ServerLink:
    """`link` is the address that all redirects led to from here: with a signed one it is as good as the file itself,
    so it is a secret. `host` is that address's. `header` is a line with the source's token, where the link alone does
    not do; it may go over with the user's consent alone. `plain`: it is http, which was permitted."""

    link: Secret
    host: str
    plain: bool
    header: Secret | None = None


def hand_over(artifact: Artifact, http: Http, door: TokenScope | None = None) -> ServerLink:
    """Follows the link to its end and returns what a server needs. Raises what the source raises, SourceChanged, and
    RouteUnavailable for what is no link."""
    origin = artifact.origin
    if not isinstance(origin, WebFile):
        raise RouteUnavailable(f"{artifact.source} is a file of this machine: no server can download it")
    answer = http.probe(origin.url, door=door)
    if answer.size != artifact.size or _differ(origin.validator, answer.validator):
        raise SourceChanged(
            f"{artifact.source} is not the file any more that it was a moment ago",
            remedy="Run the same command again.",
        )
    link = answer.final_url.partition("#")[0]
    header = None if door is None or _is_open(link, artifact, http, door) else _line(door)
    return ServerLink(Secret(link), host_of(link), plain=link.startswith("http:"), header=header)


def _is_open(link: str, artifact: Artifact, http: Http, door: TokenScope) -> bool:
    """Whether the last address gives the file to whoever asks: one outside of the door is signed, and one inside is
    tried without the token."""
    parts = urlsplit(link)
    if not door.token or not door.admits(parts.scheme, parts.hostname or "", parts.port):
        return True
    with suppress(UploaderError):
        return http.probe(link).size == artifact.size
    return False


def _line(door: TokenScope) -> Secret | None:
    return Secret(f"Authorization: Bearer {door.token.reveal()}") if door.token else None


def _differ(before: str | None, now: str | None) -> bool:
    """Whether two validators of one kind, ETags or dates, name two files."""
    if before is None or now is None or before.startswith('"') != now.startswith('"'):
        return False
    return before != now
