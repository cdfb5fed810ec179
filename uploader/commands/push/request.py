"""The request of `push`: its references, targets and options."""

from __future__ import annotations

from dataclasses import dataclass

from uploader.artifact import Digest, Kind
from uploader.transfer import Verify


@dataclass(frozen=True)
class PushRequest:
    """The references, targets and options of one push.

    `sources` are references as typed, including those of `--from-file`. `to` are targets, addresses and groups
    (`@name`). `prefer` and `file` choose a file where a source has several. `limit` is in bytes per second.
    `connections` None: the program chooses the number. `detach`: return while the server downloads.
    `token_on_server`: the token of a source may go to the server. `notify`: tell the WebUI, where its address is
    known. `select`: switch it to the new checkpoint.
    """

    sources: tuple[str, ...]
    to: tuple[str, ...] = ()
    kind: Kind | None = None
    name: str | None = None
    via: str = "auto"
    prefer: tuple[str, ...] = ()
    file: str | None = None
    sha256: Digest | None = None
    verify: Verify = "auto"
    limit: float | None = None
    connections: int | None = None
    dry_run: bool = False
    replace: bool = False
    mkdir: bool = False
    allow_pickle: bool = False
    allow_http: bool = False
    notify: bool = True
    select: bool = False
    detach: bool = False
    token_on_server: bool = False
    sidecars: bool = False
