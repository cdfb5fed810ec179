"""aria2c, which reads the link and the options that belong to it from its standard input (aria2c(1), -i)."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from uploader.server_download.downloaders.interface import AGENT, CONNECT_SECONDS, STALL_SECONDS, Order, Trouble

# One connection that writes from the front to the back, without preallocation or a control file: the size of the part
# is then what has arrived.
_OPTIONS = (
    "--no-conf=true --no-netrc=true --console-log-level=error --summary-interval=0 --enable-color=false "
    "--file-allocation=none --auto-file-renaming=false --allow-overwrite=false "
    "-c -x1 -s1 -j1 --max-tries=1 --disk-cache=0 --auto-save-interval=0 --stream-piece-selector=inorder "
    "--enable-dht=false --follow-torrent=false --follow-metalink=false --check-certificate=true "
    f"--connect-timeout={CONNECT_SECONDS} --timeout={STALL_SECONDS} "
    f"--user-agent={AGENT}"
)


class Aria2:
    """It sends a header on to wherever a redirect leads, so it is given none that holds a token.

    The last line of the order is for a part that is gone on with."""

    name = "aria2c"
    version = "aria2c --version"
    takes_header = False
    attempt = (
        'c=$order; [ "$at" -gt 0 ] && [ -n "$mark" ] || c=${order% header=If-Range:*}; '
        f'said=$(printf "%s\\n" "$c" | aria2c {_OPTIONS} -i - 2>&1); rc=$?; rm -f "$part.aria2"; st=000; '
        "case $rc in 3) st=404;; 24) st=401;; esac; "
        "case $said in *status=[1-5]*) st=${said##*status=}; st=${st%%[!0-9]*};; esac; "
        # What it has no code for it calls 1.
        'size "$part"; [ "$rc" = 1 ] && case $said in *ertificate*|*"TLS handshake"*) rc=5;; '
        '*"establish connection"*) rc=6;; *) [ "$n" -gt "$at" ] && rc=29;; esac'
    )
    troubles: Mapping[int, Trouble] = {
        2: Trouble.TIMEOUT,
        3: Trouble.STATUS,
        5: Trouble.CERTIFICATE,
        6: Trouble.CONNECT,
        8: Trouble.CHANGED,
        9: Trouble.DISK,
        15: Trouble.DISK,
        16: Trouble.DISK,
        17: Trouble.DISK,
        19: Trouble.NAME,
        22: Trouble.STATUS,
        23: Trouble.STATUS,
        24: Trouble.STATUS,
        28: Trouble.GONE,
        29: Trouble.CUT,
        126: Trouble.GONE,
        127: Trouble.GONE,
    }

    def usable(self, told: str) -> bool:
        return told.startswith("aria2 version 1.")

    def lines(self, order: Order) -> list[str]:
        folder, name = posixpath.split(order.part)
        options = [f" dir={folder}", f" out={name}"]
        if order.validator is not None:
            options.append(f" header=If-Range: {order.validator}")
        return [order.link.reveal(), *options]
