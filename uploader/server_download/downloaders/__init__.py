"""Programs that download on the server by themselves: one file a member, in the order in which they are preferred."""

from __future__ import annotations

from collections.abc import Iterable

from uploader.server_download.downloaders.aria2 import Aria2
from uploader.server_download.downloaders.curl import Curl
from uploader.server_download.downloaders.interface import PASSING, Downloader, Order, Trouble
from uploader.server_download.downloaders.python import Python
from uploader.server_download.downloaders.wget import Wget

__all__ = ["DOWNLOADERS", "PASSING", "Downloader", "Order", "Trouble", "choose"]

DOWNLOADERS: tuple[Downloader, ...] = (Curl(), Python(), Wget(), Aria2())


def choose(names: Iterable[str], *, header: bool = False) -> Downloader | None:
    """The best of those that are there; with `header`, of those that may be given a token. None when none will do."""
    there = set(names)
    return next((one for one in DOWNLOADERS if one.name in there and (one.takes_header or not header)), None)
