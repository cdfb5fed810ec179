"""A process that reads a link, for tests that kill or measure it.

    python -m tests.unit.transfer.downloading HOW URL FOLDER RATE

HOW is `fetch` (into the cache below FOLDER) or `relay` (read ahead and drop). RATE is in bytes per second, 0 for
no limit. It prints the number of bytes so far, one a line, and last its peak memory in KiB.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.unit.transfer.bench import Bench
from uploader.events import Event, Progress
from uploader.http import Http
from uploader.rate_limit import RateLimiter
from uploader.reference import UrlReference
from uploader.sources import direct
from uploader.state.cache import Cache
from uploader.transfer import CachedDownload
from uploader.transfer.config import TransferConfig
from uploader.transfer.range_readers import Supply
from uploader.transfer.read_ahead import read_ahead


def main() -> None:
    how, url, folder, rate = sys.argv[1], sys.argv[2], Path(sys.argv[3]), float(sys.argv[4])
    bench = Bench(folder, config=TransferConfig())
    bench.down = RateLimiter(rate or None, bench.cancelled)
    context = bench.context()
    with Http() as http:
        artifact = direct.resolve(UrlReference(url), http)
        stream = direct.open(artifact, http)
        if how == "fetch":
            telling = type(context)(**{**vars(context), "observer": tell})
            with CachedDownload(
                "item", artifact, stream, Cache(folder / "cache", bench.uploads, 1 << 40), telling
            ).alone() as it:
                it.run()
        else:
            supply = Supply.of(context.limited(stream), context)
            say(sum(map(len, read_ahead(supply, 0, artifact.size))))
    say(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0])


def tell(event: Event) -> None:
    if isinstance(event, Progress):
        say(event.done)


def say(number: object) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
