"""A ProxyCommand of ~/.ssh/config as a socket: what the command reads and writes is the line to the server."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
from typing import IO, cast

from uploader.errors import NetworkError

_READ_BYTES = 64 * 1024
_GRACE_SECONDS = 2.0


class ProxySocket(socket.socket):
    """Our end of the line; closing it ends the command.

    A pair of threads carries the bytes, since a command's pipes are no sockets on every system. paramiko's own
    ProxyCommand waits on `select`, does not notice that the command ended, and does not reap it.
    """

    def __init__(self, command: str) -> None:
        ours, self._theirs = socket.socketpair()
        super().__init__(fileno=ours.detach())
        self._words = ""
        with tempfile.TemporaryFile() as complaints:
            try:
                self._process = subprocess.Popen(
                    command if sys.platform == "win32" else ["/bin/sh", "-c", f"exec {command}"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=complaints,
                    bufsize=0,
                )
            except BaseException:
                self._theirs.close()
                super().close()
                raise
            self._complaints = os.fdopen(os.dup(complaints.fileno()), "rb")
        self._down = threading.Thread(target=self._carry_down, name="proxy-down", daemon=True)
        self._up = threading.Thread(target=self._carry_up, name="proxy-up", daemon=True)
        self._down.start()
        self._up.start()

    def close(self) -> None:
        """Ends the line and the command, and waits for both."""
        with contextlib.suppress(OSError):  # wakes the thread that reads the other end, on every system
            self.shutdown(socket.SHUT_RDWR)
        super().close()
        self._up.join(2 * _GRACE_SECONDS)

    def explained(self, error: NetworkError, where: str) -> NetworkError:
        """Says of a line that was lost what the command said of it. Call it after `close`."""
        said = f" It said: {self._words}" if self._words else ""
        told = NetworkError(
            f"{error.message}. The line went through the ProxyCommand for {where}.{said}",
            remedy="Try that command by itself; see ProxyCommand in ~/.ssh/config.",
        )
        told.retryable = error.retryable
        return told

    def _carry_up(self) -> None:
        stdin, stdout = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)
        with contextlib.suppress(OSError):
            while chunk := self._theirs.recv(_READ_BYTES):
                rest = memoryview(chunk)
                while rest:  # a raw pipe may take less than it is given
                    rest = rest[stdin.write(rest) :]
        with contextlib.suppress(OSError):
            stdin.close()
        self._end()
        self._down.join()
        stdout.close()
        self._theirs.close()
        with self._complaints as file:
            file.seek(0)
            lines = file.read(4096).decode("utf-8", "replace").split("\n")
        self._words = " ".join("".join(c for c in line if c.isprintable()) for line in lines).strip()[:200]

    def _carry_down(self) -> None:
        stdout = cast(IO[bytes], self._process.stdout)
        with contextlib.suppress(OSError):
            while chunk := stdout.read(_READ_BYTES):
                self._theirs.sendall(chunk)
        with contextlib.suppress(OSError):  # paramiko then sees the end of the line, and closes ours
            self._theirs.shutdown(socket.SHUT_WR)

    def _end(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.1)  # most commands end when their input does
            return
        self._process.terminate()
        try:
            self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
