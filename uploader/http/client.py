"""The client: what is asked, where redirects may lead, whether the answer is about the file that was asked for."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Self

from uploader import __version__
from uploader.errors import (
    CredentialsRefused,
    NetworkError,
    NoRanges,
    SourceChanged,
    SourceMissing,
    SourceRefused,
    UsageError,
)
from uploader.http.address import host_of, is_loopback, shown, split
from uploader.http.faults import AGAIN, OTHER_LINK, named_faults, not_encoded, refused
from uploader.http.headers import content_length, content_range, etag, filename, modified, same_file

if TYPE_CHECKING:
    import httpx

HEAD_BYTES = 1024
"""How much of a file `probe` asks for."""

_AGENT = f"webui-uploader/{__version__} (+https://github.com/webui-uploader/webui-uploader)"
_MAX_REDIRECTS = 8
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_LOOPBACK_NAMES = ("all://localhost", "all://*.localhost", "all://127.0.0.1", "all://[::1]")

# These libraries log whole addresses, and an address may hold a signed secret.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpcore").setLevel(logging.WARNING)


@dataclass(frozen=True)
class Answer:
    """What a server says of a file. `size` is in bytes, None if it does not tell. `validator` is a strong ETag,
    else a Last-Modified date. `ranges`: a part of the file was asked for and came. `filename` is the one of
    Content-Disposition, as sent: not safe to use as it is. `head` are the first bytes, at most HEAD_BYTES."""

    url: str = field(repr=False)
    final_url: str = field(repr=False)
    status: int
    size: int | None
    validator: str | None
    ranges: bool
    content_type: str | None
    filename: str | None
    head: bytes = field(repr=False)


class Http:
    """Asks and reads, over https alone (loopback apart, unless `allow_http`). Times are in seconds.

    May be shared by threads. `close()` may be called from another thread than the one that reads: the reader
    then gets NetworkError at once.
    """

    def __init__(self, *, allow_http: bool = False, connect_timeout: float = 15.0, read_timeout: float = 30.0) -> None:
        self._allow_http = allow_http
        self._timeouts = (connect_timeout, read_timeout)
        self._client: httpx.Client | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._live: set[httpx.Response] = set()
        self._led: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends all lines. What is being read ends with NetworkError."""
        with self._lock:
            self._closed = True
            client, self._client = self._client, None
            for response in self._live:
                _hang_up(response)
        if client is not None:
            client.close()

    def probe(self, url: str) -> Answer:
        """Asks for the first bytes of a file and returns what the answer tells.

        A GET with Range, never a HEAD: many stores sign their links for GET alone. Raises UsageError (plain http),
        CredentialsRefused, SourceMissing, SourceRefused, RateLimited, NetworkError.
        """
        with self._get(url, {"Range": f"bytes=0-{HEAD_BYTES - 1}"}, passes=(416,)) as response:
            if response.status_code == 206 and content_range(response.headers)[0] == 0:
                return _answer(url, response, content_range(response.headers)[1], ranges=True)
            if response.status_code == 200:
                return _answer(url, response, content_length(response.headers), ranges=False)
            if response.status_code == 416 and content_range(response.headers)[1] == 0:
                return _answer(url, response, 0, ranges=False)
        # A range that was refused or came from elsewhere: this server cannot do ranges.
        with self._get(url, {}) as response:
            return _answer(url, response, content_length(response.headers), ranges=False)

    def stream(
        self,
        url: str,
        *,
        offset: int = 0,
        length: int | None = None,
        validator: str | None = None,
        size: int | None = None,
        ranges: bool = True,
        strict: bool = False,
    ) -> Iterator[bytes]:
        """Yields the bytes from `offset`, to the end or `length` of them, in pieces of any size.

        `validator`, `size` and `ranges` are what `probe` said. A server that cannot do ranges is read from the
        start, and what lies before `offset` is let go; one that said it can and does not is read that way too, unless
        `strict`, which raises NoRanges: it is for one range of many, and begins where the link led the one before.
        Raises SourceChanged when it can be seen that the file is another one by now, NetworkError when the line is cut
        (also when less came than was announced), and what `probe` raises.
        """
        end = size if length is None else offset + length if size is None else min(offset + length, size)
        if end is not None and offset >= end:
            return
        headers: dict[str, str] = {}
        if ranges and (offset or length is not None):
            headers["Range"] = f"bytes={offset}-" + ("" if length is None or end is None else str(end - 1))
            if validator is not None:
                headers["If-Range"] = validator
        get = self._get_one_of_many if strict else self._get
        with get(url, headers, passes=(416,)) as response:
            at = _begin(response, offset, validator, size, asked="Range" in headers)
            if at is None:
                return
            if strict and at < offset:
                raise NoRanges(f"{host_of(url)} gives no parts of this file any more", remedy=AGAIN)
            for piece in response.iter_raw():
                first, at = at, at + len(piece)
                wanted = piece[max(offset - first, 0) : None if end is None else max(end - first, 0)]
                if wanted:
                    yield wanted
                if end is not None and (at > end or (at == end and response.status_code == 200)):
                    break
            # Where no length is announced a cut looks like an end; the size that was told before says which it is.
            missing = (offset if size is None or end is None else end) - at
            if missing > 0:
                raise NetworkError(f"{host_of(url)} ended the download {missing} bytes early", remedy=AGAIN)

    @contextlib.contextmanager
    def _get_one_of_many(
        self, url: str, headers: Mapping[str, str], passes: tuple[int, ...] = ()
    ) -> Iterator[httpx.Response]:
        """As `_get`, but begun at the other host that the link led to last: a service is not asked again for each of
        a file's many ranges. A signed address that has run out there is asked for anew."""
        with contextlib.ExitStack() as stack:
            response = None
            if (led := self._led.get(url)) is not None:
                try:
                    response = stack.enter_context(self._get(led, headers, passes))
                except (CredentialsRefused, SourceMissing, SourceRefused):
                    self._led.pop(url, None)
                except NetworkError:  # another try may be led to another host
                    self._led.pop(url, None)
                    raise
            if response is None:
                response = stack.enter_context(self._get(url, headers, passes))
                if response.url.host != host_of(url):
                    self._led[url] = str(response.url)
            yield response

    @contextlib.contextmanager
    def _get(self, url: str, headers: Mapping[str, str], passes: tuple[int, ...] = ()) -> Iterator[httpx.Response]:
        """Follows redirects to an answer of 200, 206 or one of `passes`; anything else is raised by its name."""
        at = url
        for _ in range(_MAX_REDIRECTS + 1):
            self._permit(at, origin=url)
            with self._send(at, headers) as response:
                if response.status_code not in _REDIRECTS:
                    if response.status_code not in (200, 206, *passes):
                        refused(response)
                    not_encoded(response)
                    yield response
                    return
                at = _next(response)
        raise SourceRefused(
            f"{host_of(url)} redirects more than {_MAX_REDIRECTS} times", remedy="Copy the download link once more."
        )

    @contextlib.contextmanager
    def _send(self, url: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        with named_faults(host_of(url)), self._opened().stream("GET", url, headers=dict(headers)) as response:
            with self._lock:
                if self._closed:
                    raise NetworkError(f"the line to {host_of(url)} was closed", remedy=AGAIN)
                self._live.add(response)
            try:
                yield response
            finally:
                with self._lock:
                    self._live.discard(response)

    def _opened(self) -> httpx.Client:
        """The client, made when it is first needed: a push of local files loads neither it nor any certificate."""
        import httpx

        with self._lock:
            if self._closed:
                raise NetworkError("the HTTP client was closed", remedy=AGAIN)
            if self._client is None:
                self._client = httpx.Client(
                    headers={"User-Agent": _AGENT, "Accept": "*/*", "Accept-Encoding": "identity"},
                    timeout=httpx.Timeout(self._timeouts[1], connect=self._timeouts[0]),
                    follow_redirects=False,
                    mounts=dict.fromkeys(_LOOPBACK_NAMES),  # no proxy stands between us and ourselves
                )
            return self._client

    def _permit(self, url: str, *, origin: str) -> None:
        parts = split(url)
        scheme, host, loopback = parts.scheme, parts.hostname or "", is_loopback(parts.hostname or "")
        first = split(origin)
        moved = url != origin
        if scheme not in ("http", "https") or not host:
            raise SourceRefused(f"{host_of(origin)} redirects to something that is no web address", remedy=OTHER_LINK)
        if moved and loopback and not is_loopback(first.hostname or ""):
            raise SourceRefused(f"{host_of(origin)} redirects to an address of this very machine", remedy=OTHER_LINK)
        if scheme == "https" or loopback:
            return
        if moved and first.scheme == "https":
            raise SourceRefused(
                f"{host_of(origin)} redirects from https to plain http ({host}), which anyone on the way can change",
                remedy=OTHER_LINK,
            )
        if not self._allow_http:
            raise UsageError(
                f"{shown(url)} is plain http, which anyone on the way can read and change",
                remedy="Use the https:// link, or say --allow-http.",
            )


def _next(response: httpx.Response) -> str:
    location = response.headers.get("Location")
    if location is None:
        raise SourceRefused(f"{response.url.host} redirects to nowhere", remedy=OTHER_LINK)
    return str(response.url.join(location))


def _answer(url: str, response: httpx.Response, size: int | None, *, ranges: bool) -> Answer:
    head = bytearray()
    if response.status_code != 416:
        for piece in response.iter_raw():
            head += piece
            if len(head) > HEAD_BYTES or (len(head) == HEAD_BYTES and not ranges):
                break
    return Answer(
        url=url,
        final_url=str(response.url),
        status=response.status_code,
        size=size,
        validator=etag(response.headers) or modified(response.headers),
        ranges=ranges,
        content_type=response.headers.get("Content-Type"),
        filename=filename(response.headers.get("Content-Disposition", "")),
        head=bytes(head[:HEAD_BYTES]),
    )


def _begin(
    response: httpx.Response, offset: int, validator: str | None, size: int | None, *, asked: bool
) -> int | None:
    """Where this answer's body begins in the file; None when the file ends exactly at `offset`.

    Raises SourceChanged when the answer is about another file than the one that was probed.
    """
    host = response.url.host
    changed = SourceChanged(f"the file at {host} changed while it was read", remedy="Run the same command again.")
    whole = response.status_code == 200
    start, total = (0, content_length(response.headers)) if whole else content_range(response.headers)
    if size is not None and total is not None and total != size:
        raise changed
    if response.status_code == 416:
        if total == offset:
            return None
        if total is not None and total < offset:
            raise changed
        raise NetworkError(f"{host} refuses to go on at byte {offset}", remedy=AGAIN)
    same = same_file(response.headers, validator)
    if same is False or (same is None and whole and asked and validator is not None):
        raise changed
    if whole:
        return 0
    if start != (offset if asked else 0):
        raise NetworkError(f"{host} sent another part of the file than the one it was asked for", remedy=AGAIN)
    return start


def _hang_up(response: httpx.Response) -> None:
    """Shuts the socket itself down: that alone wakes a thread which waits in a read."""
    stream = response.extensions.get("network_stream")
    line = stream.get_extra_info("socket") if stream is not None else None
    if isinstance(line, socket.socket):
        with contextlib.suppress(OSError):
            # The class's own method: an SSLSocket's would take the TLS state from under the reader.
            socket.socket.shutdown(line, socket.SHUT_RDWR)
