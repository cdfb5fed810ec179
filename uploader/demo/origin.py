"""A web server on loopback that gives out the files of one folder, whole or in ranges."""

from __future__ import annotations

import contextlib
import email.utils
import logging
import re
import socket
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

_LOG = logging.getLogger("uploader.demo.origin")
_PIECE_BYTES = 1 << 18
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class Origin:
    """Serves `folder` as long as its `with` block; says nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve(strict=True)
        self._server = _Server(self.folder)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="http-origin", daemon=True
        )

    def url(self, name: str) -> str:
        """Returns the address of a file of the folder."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}/{urllib.parse.quote(name)}"

    def close(self) -> None:
        """Drops every connection and joins every thread."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.drop_connections()
        self._server.server_close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that server_close joins them

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own asks the name service for the host's name, which can take seconds.
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def drop_connections(self) -> None:
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the signature of socketserver
        _LOG.debug("a request of %s ended early", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, format: str, *args: Any) -> None:
        _LOG.debug(format, *args)

    def _answer(self, *, body: bool) -> None:
        path = self._path()
        if path is None:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        with path.open("rb") as file:
            status = path.stat()
            etag = f'"{status.st_size:x}-{status.st_mtime_ns:x}"'
            start, end = self._begin(etag, status.st_size)
            self.send_header("ETag", etag)
            self.send_header("Last-Modified", email.utils.formatdate(status.st_mtime, usegmt=True))
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(end - start))
            self.end_headers()
            if body:
                self._send(file, start, end)

    def _path(self) -> Path | None:
        folder = cast(_Server, self.server).folder
        name = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path).lstrip("/")
        try:
            path = (folder / name).resolve()
            return path if path.is_relative_to(folder) and path.is_file() else None
        except (OSError, ValueError):  # a NUL, a name that is too long
            return None

    def _begin(self, etag: str, size: int) -> tuple[int, int]:
        """Sends the status and, of a range, its place; returns which bytes are to follow (RFC 9110, 14)."""
        wanted = _RANGE.fullmatch(self.headers.get("Range", "").strip())
        unchanged = self.headers.get("If-Range", etag) == etag
        if wanted is None or not any(wanted.groups()) or not unchanged:
            self.send_response(200)
            return 0, size
        first, last = wanted.groups()
        start = int(first) if first else max(0, size - int(last))
        end = min(size, int(last) + 1) if first and last else size
        if start >= end:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{size}")
            return 0, 0
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        return start, end

    def _send(self, file: BinaryIO, start: int, end: int) -> None:
        file.seek(start)
        while start < end and (chunk := file.read(min(_PIECE_BYTES, end - start))):
            self.wfile.write(chunk)
            start += len(chunk)
        self.close_connection = self.close_connection or start < end
