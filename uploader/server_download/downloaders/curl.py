"""curl, with its whole configuration on standard input (curl(1), -K)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from uploader.server_download.downloaders.interface import (
    AGENT,
    CONNECT_SECONDS,
    REDIRECTS,
    STALL_SECONDS,
    Order,
    Trouble,
)

_OLDEST = (7, 58)
"""Older versions send our header also to the host that a redirect names (CVE-2018-1000007)."""


class Curl:
    """The downloader curl. `-q` ignores the user's ~/.curlrc.

    The last line of the configuration is If-Range. `attempt` cuts it off when a download starts at the first byte.
    """

    name = "curl"
    version = "curl --version"
    attempt = (
        'c=$order; [ "$at" -gt 0 ] && [ -n "$mark" ] || c=${order%header = \\"If-Range:*}; '
        'st=$(printf "%s\\n" "$c" | curl -q -K - 2>/dev/null); rc=$?; st=${st:-000}'
    )
    troubles: Mapping[int, Trouble] = {
        5: Trouble.NAME,
        6: Trouble.NAME,
        7: Trouble.CONNECT,
        16: Trouble.CUT,
        18: Trouble.CUT,
        22: Trouble.STATUS,
        23: Trouble.DISK,
        28: Trouble.TIMEOUT,
        33: Trouble.CHANGED,
        35: Trouble.TLS,
        47: Trouble.STATUS,
        51: Trouble.CERTIFICATE,
        52: Trouble.CUT,
        55: Trouble.CUT,
        56: Trouble.CUT,
        60: Trouble.CERTIFICATE,
        63: Trouble.CHANGED,
        77: Trouble.CERTIFICATE,
        92: Trouble.CUT,
        2: Trouble.GONE,
        126: Trouble.GONE,
        127: Trouble.GONE,
    }

    def usable(self, version_line: str) -> bool:
        found = re.match(r"curl (\d+)\.(\d+)", version_line)
        return found is not None and (int(found[1]), int(found[2])) >= _OLDEST

    def lines(self, order: Order) -> list[str]:
        # With a header curl follows no redirect: up to 7.83 it sent the header to another port, too (CVE-2022-27776).
        schemes = "=http,https" if order.plain else "=https"
        settings = [
            ("url", order.link.reveal()),
            ("output", order.part),
            ("continue-at", "-"),
            ("proto", schemes),
            ("proto-redir", schemes),
            ("max-redirs", str(REDIRECTS if order.header is None else 0)),
            ("max-filesize", str(order.size)),
            ("connect-timeout", str(CONNECT_SECONDS)),
            ("speed-limit", "1"),
            ("speed-time", str(STALL_SECONDS)),
            ("user-agent", AGENT),
            ("write-out", "%{http_code}"),
        ]
        if order.header is not None:
            settings.append(("header", order.header.reveal()))
        flags = ["fail", "globoff", "location", "silent"]
        validator = [] if order.validator is None else [_line("header", f"If-Range: {order.validator}")]
        return flags + [_line(key, value) for key, value in settings] + validator


def _line(key: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{key} = "{escaped}"'
