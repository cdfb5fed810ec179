"""Downloads a link the way route `local` does, and nothing else: python -m benchmarks.fetching URL FOLDER."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from uploader.events import silence
from uploader.http import Http
from uploader.rate_limit import Pacer
from uploader.reference import UrlReference
from uploader.remote.memory import MemoryConnector, MemoryServer
from uploader.remote.pool import Pool
from uploader.retry import Patience
from uploader.sources import Sources, open_stream, resolve
from uploader.state.cache import Cache
from uploader.state.uploads import Journals
from uploader.transfer import Fetch, Means


def main() -> None:
    url, folder = sys.argv[1], Path(sys.argv[2])
    cancelled = threading.Event()
    journals = Journals(folder / "journal")
    unlimited = Pacer(None, cancelled)
    patience = Patience(cancelled, silence)
    means = Means(Pool(MemoryConnector(MemoryServer())), journals, silence, patience, cancelled, unlimited, unlimited)
    with Http(allow_http=True) as http:
        sources = Sources(http)
        (artifact,) = resolve(UrlReference(url), sources)
        cache = Cache(folder / "cache", journals, limit=1 << 40)
        with Fetch("item", artifact, open_stream(artifact, sources), cache, means).alone() as fetch:
            found = fetch.run()
    print(found.digest)


if __name__ == "__main__":
    main()
