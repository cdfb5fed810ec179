"""GNU wget, which reads the link from its standard input (wget(1), -i)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from uploader.server_download.downloaders.interface import AGENT, CONNECT_SECONDS, STALL_SECONDS, Order, Trouble

# The link is the end of all redirects already. One that leads on may lead from https to http, which it would follow.
# What it says holds the link, so it is kept from every file; the last status line in it is all that is wanted.
_OPTIONS = (
    "--no-config --no-netrc --no-hsts --no-cookies -q -S -c -t 1 "
    f"--connect-timeout={CONNECT_SECONDS} --dns-timeout={CONNECT_SECONDS} --read-timeout={STALL_SECONDS} "
    f"--max-redirect=0 -U {AGENT}"
)
_STATUS = (
    'st=$(printf "%s\\n" "$said" | while read -r a b c; do case $a in HTTP/*) echo "$b";; esac; done); '
    'st=${st##*[!0-9]}; [ -n "$st" ] || st=000'
)


class Wget:
    """It sends a header on to wherever a redirect leads, so it is given none that holds a token."""

    name = "wget"
    version = "wget --version"
    takes_header = False
    attempt = (
        'set --; [ "$at" -gt 0 ] && [ -n "$mark" ] && set -- --header="If-Range: $mark"; '
        f'said=$(printf "%s\\n" "$order" | wget {_OPTIONS} "$@" -O "$part" -i - 2>&1); rc=$?; {_STATUS}; '
        '[ "$at" -gt 0 ] && [ "$st" = 200 ] && rc=33'  # it took the rest of another file for the rest of this one
    )
    troubles: Mapping[int, Trouble] = {
        2: Trouble.GONE,
        3: Trouble.DISK,
        4: Trouble.CONNECT,
        5: Trouble.CERTIFICATE,
        6: Trouble.STATUS,
        8: Trouble.STATUS,
        33: Trouble.CHANGED,
        126: Trouble.GONE,
        127: Trouble.GONE,
    }

    def usable(self, told: str) -> bool:
        """busybox has a command of that name too, which takes links as arguments alone."""
        found = re.match(r"GNU Wget 1\.(\d+)", told)
        return found is not None and int(found[1]) >= 17

    def lines(self, order: Order) -> list[str]:
        return [order.link.reveal()]
