"""What of a link may be given to a server, so that it downloads by itself."""

from __future__ import annotations

from dataclasses import dataclass

from uploader.artifact import Artifact, WebFile
from uploader.errors import RouteUnavailable, SourceChanged
from uploader.http import Http, host_of
from uploader.secret import Secret


@dataclass(frozen=True)
class Handover:
    """`link` is the address that all redirects led to from here: with a signed one it is as good as the file itself,
    so it is a secret. `host` is that address's. `header` is a line with the source's token, where the link alone does
    not do; it may go over with the user's consent alone. `plain`: it is http, which was permitted."""

    link: Secret
    host: str
    plain: bool
    header: Secret | None = None


def hand_over(artifact: Artifact, http: Http) -> Handover:
    """Follows the link to its end and returns what a server needs. Raises what the source raises, SourceChanged, and
    RouteUnavailable for what is no link."""
    origin = artifact.origin
    if not isinstance(origin, WebFile):
        raise RouteUnavailable(f"{artifact.source} is a file of this machine: no server can download it")
    answer = http.probe(origin.url)
    if answer.size != artifact.size or _differ(origin.validator, answer.validator):
        raise SourceChanged(
            f"{artifact.source} is not the file any more that it was a moment ago",
            remedy="Run the same command again.",
        )
    link = answer.final_url.partition("#")[0]
    return Handover(Secret(link), host_of(link), plain=link.startswith("http:"))


def _differ(before: str | None, now: str | None) -> bool:
    """Whether two validators of one kind, ETags or dates, name two files."""
    if before is None or now is None or before.startswith('"') != now.startswith('"'):
        return False
    return before != now
