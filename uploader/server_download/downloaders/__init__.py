"""The programs that can download on the server: one module each, the preferred one first."""

from __future__ import annotations

from collections.abc import Iterable

from uploader.server_download.downloaders.curl import Curl
from uploader.server_download.downloaders.interface import PASSING, Downloader, Order, Trouble
from uploader.server_download.downloaders.python import Python

__all__ = ["DOWNLOADERS", "PASSING", "Downloader", "Order", "Trouble", "choose"]

DOWNLOADERS: tuple[Downloader, ...] = (Curl(), Python())


def choose(names: Iterable[str]) -> Downloader | None:
    """Return the preferred downloader among `names`; None when `names` has none."""
    there = set(names)
    return next((one for one in DOWNLOADERS if one.name in there), None)
