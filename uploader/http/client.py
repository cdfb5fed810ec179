"""The HTTP client: requests, redirects, token scopes, and whether an answer is about the file that was asked for."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from uploader import __version__
from uploader.errors import NetworkError, NoRanges, SourceRefused, UsageError
from uploader.http.address import host_of, is_loopback, shown, split, with_query
from uploader.http.errors import AGAIN, OTHER_LINK, named_faults, not_encoded, refusal, refused
from uploader.http.json_fields import Json
from uploader.http.redirects import RedirectMemory
from uploader.http.responses import (
    HEAD_BYTES,
    REDIRECTS,
    Answer,
    Reply,
    answer,
    begin,
    content_length,
    content_range,
    following,
    json_of,
)
from uploader.http.token_scope import TokenScope

if TYPE_CHECKING:
    import httpx

_AGENT = f"webui-uploader/{__version__} (+https://github.com/webui-uploader/webui-uploader)"
_MAX_REDIRECTS = 8
_RUN_OUT = (400, 401, 403, 404, 410)
"""Status codes of stores for an address whose signature is no longer valid."""
_LOOPBACK_NAMES = ("all://localhost", "all://*.localhost", "all://127.0.0.1", "all://[::1]")

# These libraries log whole addresses, and an address may hold a signed secret.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpcore").setLevel(logging.WARNING)


class Http:
    """An HTTP client over https alone. Plain http is for this machine, or for any host with `allow_http`. Times are in
    seconds.

    Threads may share it. Another thread than the reader may call `close()`: the reader then gets NetworkError at once.
    """

    def __init__(self, *, allow_http: bool = False, connect_timeout: float = 15.0, read_timeout: float = 30.0) -> None:
        self._allow_http = allow_http
        self._timeouts = (connect_timeout, read_timeout)
        self._client: httpx.Client | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._live: set[httpx.Response] = set()
        self._redirects = RedirectMemory()
        self._moves: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections. A read in progress raises NetworkError."""
        with self._lock:
            self._closed = True
            client, self._client = self._client, None
            for response in self._live:
                _hang_up(response)
        if client is not None:
            client.close()

    def probe(self, url: str, *, scope: TokenScope | None = None) -> Answer:
        """Ask for the first bytes of a file and return what the answer says of it.

        Sends GET with Range, never HEAD: many stores sign their links for GET alone. Raises UsageError (plain http),
        CredentialsRefused, SourceMissing, SourceRefused, RateLimited, NetworkError, and the error that `scope.explain`
        returns for a refusal.
        """
        with self._get(url, {"Range": f"bytes=0-{HEAD_BYTES - 1}"}, scope, passes=(416,)) as response:
            if response.status_code == 206 and content_range(response.headers)[0] == 0:
                return answer(url, response, content_range(response.headers)[1], ranges=True)
            if response.status_code == 200:
                return answer(url, response, content_length(response.headers), ranges=False)
            if response.status_code == 416 and content_range(response.headers)[1] == 0:
                return answer(url, response, 0, ranges=False)
        # A range that was refused or came from elsewhere: this server cannot do ranges.
        with self._get(url, {}, scope) as response:
            return answer(url, response, content_length(response.headers), ranges=False)

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
        scope: TokenScope | None = None,
    ) -> Iterator[bytes]:
        """Yield the bytes from `offset`, to the end or `length` of them, in chunks of any size.

        `validator`, `size` and `ranges` are what `probe` returned. From a server without ranges, the bytes before
        `offset` are read and dropped. The same holds for a server that broke its promise of ranges, unless `strict`.
        `strict` is for one range of many: it raises NoRanges, and begins at the address that the link led to before.

        Raises SourceChanged when the file is another one now. Raises NetworkError when the connection is cut, also when
        fewer bytes came than announced. Raises what `probe` raises.
        """
        end = size if length is None else offset + length if size is None else min(offset + length, size)
        if end is not None and offset >= end:
            return
        headers: dict[str, str] = {}
        if ranges and (offset or length is not None):
            headers["Range"] = f"bytes={offset}-" + ("" if length is None or end is None else str(end - 1))
            if validator is not None:
                headers["If-Range"] = validator
        with self._get(url, headers, scope, passes=(416,), straight=strict) as response:
            at = begin(response, offset, validator, size, asked="Range" in headers)
            if at is None:
                return
            if strict and at < offset:
                raise NoRanges(f"{host_of(url)} gives no parts of this file any more", remedy=AGAIN)
            for chunk in response.iter_raw():
                first, at = at, at + len(chunk)
                wanted = chunk[max(offset - first, 0) : None if end is None else max(end - first, 0)]
                if wanted:
                    yield wanted
                if end is not None and (at > end or (at == end and response.status_code == 200)):
                    break
            # Where no length is announced a cut looks like an end; the size that was told before says which it is.
            missing = (offset if size is None or end is None else end) - at
            if missing > 0:
                raise NetworkError(f"{host_of(url)} ended the download {missing} bytes early", remedy=AGAIN)

    def json(
        self,
        url: str,
        *,
        params: Mapping[str, str | Sequence[str]] | None = None,
        scope: TokenScope | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Json:
        """Return a service's answer in JSON, at most 16 MiB. `params` are added to the query.

        Raises NetworkError for an answer that is no JSON, such as a proxy's page. Raises what `probe` raises.
        """
        return self.page(url, params=params, scope=scope, headers=headers)[0]

    def page(
        self,
        url: str,
        *,
        params: Mapping[str, str | Sequence[str]] | None = None,
        scope: TokenScope | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[Json, str | None]:
        """Do as `json`, for one page of a list. Also return the address of the next page (RFC 8288), as sent."""
        asked = {"Accept": "application/json", **(headers or {})}
        with self._get(with_query(url, params or {}), asked, scope, service=True) as response:
            return json_of(response), response.links.get("next", {}).get("url")

    def moved_to(self, url: str) -> str | None:
        """Return the host that the service at this address redirects its API to; None if it answers itself."""
        return self._moves.get(split(url).netloc)

    def note_move(self, url: str, to: str) -> None:
        """Remember that the service at `url` redirects to `to`, if that is another host."""
        if split(to).netloc != split(url).netloc:
            self._moves[split(url).netloc] = host_of(to)

    def ask(
        self,
        url: str,
        *,
        method: Literal["GET", "HEAD"] = "GET",
        headers: Mapping[str, str] | None = None,
        scope: TokenScope | None = None,
        origin: str | None = None,
    ) -> Reply:
        """Return the head of the first answer. Follows no redirect and reads no body. `origin` redirected here.

        Raises what `probe` raises for an answer of 400 and above.
        """
        self._permit(url, origin=origin or url)
        with self._send(method, url, headers or {}, scope, inside=True) as (response, in_scope):
            if response.status_code >= 400:
                refused(response, scope, in_scope)
            names = {name.lower(): value for name, value in response.headers.items()}
            location = following(response) if response.status_code in REDIRECTS and "location" in names else None
            return Reply(response.status_code, names, location)

    @contextlib.contextmanager
    def _get(
        self,
        url: str,
        headers: Mapping[str, str],
        scope: TokenScope | None,
        passes: tuple[int, ...] = (),
        *,
        straight: bool = False,
        service: bool = False,
    ) -> Iterator[httpx.Response]:
        """Follow redirects to an answer of 200, 206 or one of `passes`. Raises an error for any other answer.

        With `straight`, or a scope that remembers, it begins at the other host that the link led to last. So a service
        is not asked again for each range of a file. `service`: it is an API that is asked, not a file's link.
        """
        remembers = straight or (scope is not None and scope.remembers)
        known = self._redirects.get(url) if remembers else None
        at, inside = (url, True) if known is None else (known, False)
        answered = False
        try:
            for _ in range(_MAX_REDIRECTS + 1):
                self._permit(at, origin=url)
                answered = False
                with self._send("GET", at, headers, scope, inside=inside) as (response, inside):
                    answered = True
                    if response.status_code in REDIRECTS:
                        at = following(response)
                        if service:
                            self.note_move(url, at)
                        if scope is not None and (error := scope.explain(refusal(response, inside, at))) is not None:
                            raise error
                    elif response.status_code in (200, 206, *passes):
                        not_encoded(response)
                        if remembers and not inside and split(at).netloc != split(url).netloc:
                            self._redirects.keep(url, at)
                        yield response
                        return
                    elif at == known and response.status_code in _RUN_OUT:  # the link itself makes a new one
                        self._redirects.forget(url)
                        at, inside, known = url, True, None
                    else:
                        refused(response, scope, inside)
        except NetworkError as error:
            self._redirects.forget(url)
            if answered or service or host_of(at) == host_of(url):
                raise
            raise NetworkError(f"{error.message}; {host_of(url)} led there", remedy=error.remedy) from error
        raise SourceRefused(
            f"{host_of(url)} redirects more than {_MAX_REDIRECTS} times", remedy="Copy the download link once more."
        )

    @contextlib.contextmanager
    def _send(
        self, method: str, url: str, headers: Mapping[str, str], scope: TokenScope | None, *, inside: bool
    ) -> Iterator[tuple[httpx.Response, bool]]:
        """Send one request. Yields the answer and whether this address is in the scope, which decides about the token.

        `inside`: every earlier address was in the scope. Once a redirect left the scope, no other one leads back in.
        """
        with named_faults(host_of(url)):
            client = self._opened()
            request = client.build_request(method, url, headers=dict(headers))
            # Of the address as it will be dialled: no second reading of it can disagree.
            there = request.url
            in_scope = inside and scope is not None and scope.admits(there.scheme, there.host, there.port)
            if in_scope and scope is not None and scope.token:
                request.headers["Authorization"] = f"Bearer {scope.token.reveal()}"
            response = client.send(request, stream=True)
            with self._lock:
                closed = self._closed
                self._live.add(response)
            try:
                if closed:
                    raise NetworkError(f"the connection to {host_of(url)} was closed", remedy=AGAIN)
                yield response, in_scope
            finally:
                with self._lock:
                    self._live.discard(response)
                response.close()

    def _opened(self) -> httpx.Client:
        """Return httpx's client, made when first needed: a push of local files loads neither it nor any certificate."""
        from http.cookiejar import CookieJar, DefaultCookiePolicy

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
                    # A session's cookie is a token as well, and would go to sub-domains.
                    cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
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


def _hang_up(response: httpx.Response) -> None:
    """Shut down the socket itself: only that wakes a thread that waits in a read."""
    stream = response.extensions.get("network_stream")
    line = stream.get_extra_info("socket") if stream is not None else None
    if isinstance(line, socket.socket):
        with contextlib.suppress(OSError):
            # The class's own method: an SSLSocket's would take the TLS state from under the reader.
            socket.socket.shutdown(line, socket.SHUT_RDWR)
