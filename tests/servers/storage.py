"""A store with signed links, as the services' files lie in: it takes no Authorization, and its links run out.

with Storage() as storage:
    link = storage.link(content)        # good until `storage.expire()`
    storage.life = 1                    # links made from now on serve one request
"""

from __future__ import annotations

import hashlib
import threading
from urllib.parse import parse_qs, urlsplit

from tests.servers.http_origin import Origin, Request, Resource

DENIED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
MALFORMED = (
    b"<?xml version='1.0'?><Error><Code>InvalidArgument</Code><Message>Only one auth mechanism</Message></Error>"
)


class Storage(Origin):
    """`life` is how many requests a link made from now on is good for, None for any number. `resources` are the
    stored files by their path, to let one of them misbehave; `etags` and `ranges` hold for those stored from now on."""

    def __init__(self) -> None:
        super().__init__()
        self._guard = threading.Lock()
        self._left: dict[str, int | None] = {}
        self.life: int | None = None
        self.etags = True
        self.ranges = True
        self.resources: dict[str, Resource] = {}

    def link(self, content: bytes, disposition: str | None = None) -> str:
        """A new signed link to some bytes, at another host than the one that hands it out."""
        path = f"/xet/{hashlib.sha256(content).hexdigest()}"
        with self._guard:
            if path not in self.resources:
                etag = f'"{hashlib.md5(content).hexdigest()}"' if self.etags else None
                self.resources[path] = Resource(content, etag=etag, ranges=self.ranges)
            self.resources[path].disposition = disposition
            signature = f"signature-{len(self._left)}"
            self._left[signature] = self.life
        return self.url(f"{path}?X-Amz-Expires=3600&Signature={signature}", "localhost")

    def expire(self) -> None:
        """Every link made so far has run out."""
        with self._guard:
            self._left = dict.fromkeys(self._left, 0)

    def choose(self, request: Request) -> Resource | None:
        parts = urlsplit(request.path)
        signature = parse_qs(parts.query).get("Signature", [""])[0]
        if "authorization" in request.headers:
            return Resource(MALFORMED, status=400, content_type="application/xml")
        with self._guard:
            left = self._left.get(signature, 0)
            if left == 0:
                return Resource(DENIED, status=403, content_type="application/xml")
            self._left[signature] = None if left is None else left - 1
            return self.resources.get(parts.path)
