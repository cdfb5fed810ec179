"""The part of a link that a server needs to download by itself."""

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
    """An address that a server can download from, after all redirects.

    `link` is a secret: a signed address gives the file to anyone. `host` is that address's. `header` is a line with the
    source's token, where the link alone is not enough. It may be sent only with the user's consent. `plain`: the link
    is http, which was permitted.
    """

    link: Secret
    host: str
    plain: bool
    header: Secret | None = None


def hand_over(artifact: Artifact, http: Http, scope: TokenScope | None = None) -> ServerLink:
    """Follow the link to its end and return what a server needs.

    Raises what the source raises, SourceChanged, and RouteUnavailable for a local file.
    """
    origin = artifact.origin
    if not isinstance(origin, WebFile):
        raise RouteUnavailable(f"{artifact.source} is a file of this machine: no server can download it")
    answer = http.probe(origin.url, scope=scope)
    if answer.size != artifact.size or _differ(origin.validator, answer.validator):
        raise SourceChanged(
            f"{artifact.source} is not the file any more that it was a moment ago",
            remedy="Run the same command again.",
        )
    link = answer.final_url.partition("#")[0]
    header = None if scope is None or _is_open(link, artifact, http, scope) else _line(scope)
    return ServerLink(Secret(link), host_of(link), plain=link.startswith("http:"), header=header)


def _is_open(link: str, artifact: Artifact, http: Http, scope: TokenScope) -> bool:
    """Return whether the last address gives the file without the token.

    An address outside of the scope is signed. One inside is tried without the token.
    """
    parts = urlsplit(link)
    if not scope.token or not scope.admits(parts.scheme, parts.hostname or "", parts.port):
        return True
    with suppress(UploaderError):
        return http.probe(link).size == artifact.size
    return False


def _line(scope: TokenScope) -> Secret | None:
    return Secret(f"Authorization: Bearer {scope.token.reveal()}") if scope.token else None


def _differ(before: str | None, now: str | None) -> bool:
    """Return whether two validators of one kind, ETags or dates, name two files."""
    if before is None or now is None or before.startswith('"') != now.startswith('"'):
        return False
    return before != now
