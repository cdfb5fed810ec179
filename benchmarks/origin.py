"""A web server for one file, whole or in ranges, with sendfile: python -m benchmarks.origin HOST PORT FILE."""

from __future__ import annotations

import re
import socket
import sys
import threading
from pathlib import Path

_RANGE = re.compile(rb"^range: *bytes=(\d+)-(\d*)", re.IGNORECASE | re.MULTILINE)


def main() -> None:
    host, port, path = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    with socket.create_server((host, port), backlog=64) as listener:
        while True:
            line, _ = listener.accept()
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_serve, args=(line, path), daemon=True).start()


def _serve(line: socket.socket, path: Path) -> None:
    """Answer the requests of one connection until its client closes it."""
    size = path.stat().st_size
    with line, path.open("rb") as file:
        waiting = b""
        while True:
            while b"\r\n\r\n" not in waiting:
                more = line.recv(65536)
                if not more:
                    return
                waiting += more
            request, _, waiting = waiting.partition(b"\r\n\r\n")
            match = _RANGE.search(request.replace(b"\r", b""))
            begin = int(match[1]) if match else 0
            end = min(int(match[2]) + 1, size) if match and match[2] else size
            status = "206 Partial Content" if match else "200 OK"
            place = f"Content-Range: bytes {begin}-{end - 1}/{size}\r\n" if match else ""
            head = (
                f"HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nContent-Length: {end - begin}\r\n"
                f'{place}Accept-Ranges: bytes\r\nETag: "{size:x}-{path.stat().st_mtime_ns:x}"\r\n\r\n'
            )
            try:
                line.sendall(head.encode())
                line.sendfile(file, begin, end - begin)
            except OSError:  # the client closed the connection: it has what it needs
                return


if __name__ == "__main__":
    main()
