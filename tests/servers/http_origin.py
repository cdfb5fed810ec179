"""A real HTTP/1.1 server on loopback whose every path can behave, misbehave, or do both in turn.

    with Origin() as origin:
        model = origin.serve("/model.safetensors", content, etag='"v1"', cuts=[1000])
        url = origin.url("/model.safetensors?token=x")     # a query does not choose the path's behaviour
        ...                                                # the first answer is cut after 1000 bytes of body
        model.content = other                              # what is served changes between two requests
        assert [request.range for request in origin.requests] == ...

Leaving the block opens every gate, drops every connection and waits for every thread.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_BLOCK = 1 << 18


@dataclass(frozen=True)
class Request:
    """What a client asked. `path` has the query; `headers` has lower-case names."""

    method: str
    path: str
    headers: Mapping[str, str]

    @property
    def range(self) -> str | None:
        """The Range header, None where all was asked for."""
        return self.headers.get("range")


@dataclass
class Resource:
    """How one path answers. Every field may be set again at any time and holds from the next request on.

    content        the body; a Path is read from disk, a block at a time
    ranges         False: Range is ignored, all is answered with 200, and no Accept-Ranges is sent
    etag           as sent, with its quotes (and W/ if weak); with ranges, If-Range is honoured
    last_modified  as sent, an HTTP date; used for If-Range where there is no etag
    length         "length" sends Content-Length, "chunked" sends chunks, "close" ends by closing the connection
    cuts           each answer takes the first number off this list, sends that many bytes of body, and drops the line
    failures       each answer takes the first status off this list and answers that instead, with `failure_headers`
    status         other than 200: always answered, with `content` as body
    location       with a 3xx status: where to go
    headers        sent besides (they replace those of the same name)
    gate, gate_at  after `gate_at` bytes of body: `reached` is set, and the rest waits for `gate`
    range_shift    a liar: a range begins this many bytes later than it was asked for, and says so
    pace           bytes of body a second, at most; None for as fast as it goes
    """

    content: bytes | Path = b""
    ranges: bool = True
    etag: str | None = None
    last_modified: str | None = None
    content_type: str = "application/octet-stream"
    disposition: str | bytes | None = None
    length: str = "length"
    cuts: list[int] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    failure_headers: dict[str, str] = field(default_factory=dict)
    status: int = 200
    location: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    gate: threading.Event | None = None
    gate_at: int = 0
    range_shift: int = 0
    pace: float | None = None
    reached: threading.Event = field(default_factory=threading.Event)

    def size(self) -> int:
        return self.content.stat().st_size if isinstance(self.content, Path) else len(self.content)

    def chunks(self, begin: int, end: int) -> Iterator[bytes]:
        if isinstance(self.content, bytes):
            yield from (self.content[at : min(at + _BLOCK, end)] for at in range(begin, end, _BLOCK))
            return
        with self.content.open("rb") as file:
            file.seek(begin)
            while begin < end and (chunk := file.read(min(_BLOCK, end - begin))):
                begin += len(chunk)
                yield chunk


class Origin:
    """An HTTP server for a `with` block, safe to use from several threads. With `tls` it speaks https."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._lock = threading.Lock()
        self._resources: dict[str, Resource] = {}
        self._others: dict[str, tuple[str, Resource]] = {}
        self._requests: list[Request] = []
        self._server = _Server(self, tls)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="http origin")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        for resource in self._resources.values():
            if resource.gate is not None:
                resource.gate.set()
        self._server.drop_lines()
        self._server.server_close()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """The address of a path. `host` may be another name of loopback, such as localhost."""
        return f"{self._server.scheme}://{host}:{self._server.server_port}{path}"

    def serve(self, path: str, content: bytes | Path, **behaviour: Any) -> Resource:
        """Let `path` answer with `content`; `behaviour` is any field of Resource. Replaces what was there."""
        resource = Resource(content, **behaviour)
        with self._lock:
            self._resources[path] = resource
        return resource

    def page(self, path: str, status: int = 200) -> Resource:
        """Let `path` answer with a web page."""
        html = b"<!DOCTYPE html>\n<html><head><title>Log in</title></head><body>Please log in.</body></html>"
        return self.serve(path, html, content_type="text/html; charset=utf-8", ranges=False, status=status)

    def redirect(self, path: str, to: str, status: int = 302) -> Resource:
        """Let `path` send its visitors to `to`, a path or a URL."""
        return self.serve(path, b"moved", status=status, location=to)

    def unless(self, path: str, agent: str, other: Resource) -> None:
        """Let `path` answer with `other` to all whose User-Agent does not hold `agent`."""
        with self._lock:
            self._others[path] = (agent, other)

    def fail(self, path: str, status: int, body: bytes = b"no", **headers: str) -> Resource:
        """Let `path` answer with `status`; `headers` as keywords, with _ for -."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.serve(path, body, status=status, headers=named)

    @property
    def requests(self) -> list[Request]:
        """All requests so far, in the order of their arrival."""
        with self._lock:
            return list(self._requests)

    def forget(self) -> None:
        """Empty `requests`."""
        with self._lock:
            self._requests.clear()

    def choose(self, request: Request) -> Resource | None:
        """What a request is answered with; None is a 404. A service of its own overrides this."""
        with self._lock:
            path = request.path.partition("?")[0]
            agent, other = self._others.get(path, ("", None))
            if other is not None and agent not in request.headers.get("user-agent", ""):
                return other
            return self._resources.get(path)

    def _arrived(self, request: Request) -> Resource | None:
        with self._lock:
            self._requests.append(request)
        return self.choose(request)


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True

    def __init__(self, origin: Origin, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scheme = "http" if tls is None else "https"
        if tls is not None:
            # The handshake happens at the first read, in the line's own thread.
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.origin = origin
        self._lines: set[socket.socket] = set()
        self._lines_lock = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lines_lock:
            self._lines.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lines_lock:
            self._lines.discard(request)
        super().shutdown_request(request)

    def drop_lines(self) -> None:
        with self._lines_lock:
            for line in self._lines:
                with suppress(OSError):
                    line.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that hangs up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: `Origin.requests` has the requests."""

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        resource = self.server.origin._arrived(Request(self.command, self.path, headers))
        with suppress(ConnectionError, ssl.SSLError):
            if resource is None:
                self._plain(404, b"not found", {})
            elif resource.failures:
                self._plain(resource.failures.pop(0), b"failed", resource.failure_headers)
            else:
                self._answer(resource, headers)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _plain(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self._head(status, {"Content-Type": "text/plain", "Content-Length": str(len(body)), **headers})
        self.wfile.write(body)

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value.encode("utf-8", "surrogateescape").decode("latin-1"))
        self.end_headers()

    def _answer(self, resource: Resource, asked: Mapping[str, str]) -> None:
        size = resource.size()
        wanted = _range(asked.get("range"), size) if self._may_range(resource, asked) else None
        headers = _headers(resource)
        if wanted is None:
            status, begin, end = resource.status, 0, size
        elif wanted[0] >= size:
            self._plain(416, b"", {"Content-Range": f"bytes */{size}"})
            return
        else:
            status, (begin, end) = 206, wanted
            begin = min(begin + resource.range_shift, end - 1)
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{size}"
        match resource.length:
            case "length":
                headers["Content-Length"] = str(end - begin)
            case "chunked":
                headers["Transfer-Encoding"] = "chunked"
            case _:
                headers["Connection"] = "close"
                self.close_connection = True
        self._head(status, headers | resource.headers)
        if self.command != "HEAD":
            self._body(resource, begin, end)

    @staticmethod
    def _may_range(resource: Resource, asked: Mapping[str, str]) -> bool:
        """RFC 9110, 13.1.5: a range is given when If-Range is absent or names what is served, by strong comparison."""
        if not resource.ranges or resource.status != 200:
            return False
        condition = asked.get("if-range")
        return condition is None or (condition in (resource.etag, resource.last_modified) and condition[:2] != "W/")

    def _body(self, resource: Resource, begin: int, end: int) -> None:
        cut = resource.cuts.pop(0) if resource.cuts else None
        stop = end if cut is None else min(end, begin + cut)
        gate = resource.gate
        if gate is None or begin + resource.gate_at >= stop:
            self._send(resource, begin, stop)
        else:
            self._send(resource, begin, begin + resource.gate_at)
            resource.reached.set()
            gate.wait()
            self._send(resource, begin + resource.gate_at, stop)
        if cut is not None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif resource.length == "chunked":
            self.wfile.write(b"0\r\n\r\n")

    def _send(self, resource: Resource, begin: int, end: int) -> None:
        for chunk in resource.chunks(begin, end):
            if resource.length == "chunked":
                self.wfile.write(b"%x\r\n" % len(chunk) + chunk + b"\r\n")
            else:
                self.wfile.write(chunk)
            if resource.pace is not None:
                time.sleep(len(chunk) / resource.pace)


def _range(text: str | None, size: int) -> tuple[int, int] | None:
    """Return the half-open range of `bytes=FIRST-[LAST]`; None for any other text."""
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", text or "")
    if match is None:
        return None
    begin = int(match[1])
    return begin, min(int(match[2]) + 1, size) if match[2] else size


def _headers(resource: Resource) -> dict[str, str]:
    said = resource.disposition
    optional = {
        "Accept-Ranges": "bytes" if resource.ranges else None,
        "ETag": resource.etag,
        "Last-Modified": resource.last_modified,
        "Content-Disposition": said.decode("utf-8", "surrogateescape") if isinstance(said, bytes) else said,
        "Location": resource.location,
    }
    present = {name: value for name, value in optional.items() if value is not None}
    return {"Content-Type": resource.content_type, **present}
