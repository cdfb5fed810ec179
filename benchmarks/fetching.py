"""Download a link as route `local` does, and do nothing else: python -m benchmarks.fetching URL FOLDER."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from tests.remote_memory import MemoryConnector, MemoryServer
from uploader.events import silence
from uploader.http import Http
from uploader.rate_limit import RateLimiter
from uploader.reference import UrlReference
from uploader.remote.pool import ConnectionPool
from uploader.retry import Retry
from uploader.sources import Sources, open_stream, resolve
from uploader.state.cache import Cache
from uploader.state.database import Database
from uploader.state.uploads import UploadRecords
from uploader.transfer import CachedDownload, TransferContext


def main() -> None:
    url, folder = sys.argv[1], Path(sys.argv[2])
    cancelled = threading.Event()
    uploads = UploadRecords(Database(folder))
    unlimited = RateLimiter(None, cancelled)
    retry = Retry(cancelled, silence)
    context = TransferContext(
        ConnectionPool(MemoryConnector(MemoryServer())), uploads, silence, retry, cancelled, unlimited
    )
    with Http(allow_http=True) as http:
        sources = Sources(http)
        (artifact,) = resolve(UrlReference(url), sources)
        cache = Cache(folder / "cache", uploads, limit=1 << 40)
        with CachedDownload("item", artifact, open_stream(artifact, sources), cache, context).alone() as fetch:
            found = fetch.run()
    print(found.digest)


if __name__ == "__main__":
    main()
