"""A hash taken on the server while the file still grows: the proof is there moments after the last byte."""

from __future__ import annotations

import contextlib
import shlex
import threading

import paramiko

from uploader.errors import NetworkError, RemoteRefused
from uploader.remote.sftp.faults import mapped
from uploader.remote.sftp.shell import PYTHON_START

_SILENCE_SECONDS = 30.0

# Reads a path, then sizes: the file holds what was sent up to there. Without a buffer of its own, or it would read
# ahead into bytes that have not arrived. A dot every two seconds says that the hashing goes on.
_PROGRAM = (
    "import sys,hashlib,time\n"
    "i=sys.stdin.buffer\n"
    "f=open(i.readline()[:-1],'rb',buffering=0)\n"
    "h=hashlib.sha256(); at=0; t=time.monotonic()\n"
    "for l in i:\n"
    "    end=int(l)\n"
    "    while at<end:\n"
    "        b=f.read(min(end-at,1<<20))\n"
    "        if not b: sys.exit(3)\n"
    "        h.update(b); at+=len(b)\n"
    "        if time.monotonic()-t>2: t=time.monotonic(); print('.',flush=True)\n"
    "print(h.hexdigest())\n"
)


class SftpAlong:
    """A program on the server that hashes the first bytes of one file, as far as it is told that they are there.

    `reached` may be called from any thread. When the program or its line dies, `finish` says so by None: the hash can
    still be taken afterwards."""

    def __init__(self, transport: paramiko.Transport, where: str, path: str) -> None:
        self._where = where
        self._lock = threading.Lock()
        self._told = 0
        self._dead = False
        with mapped(where):
            self._channel = transport.open_session(timeout=_SILENCE_SECONDS)
            try:
                self._channel.settimeout(_SILENCE_SECONDS)
                self._channel.exec_command(shlex.join(["python3", "-I", "-c", PYTHON_START]))
                self._channel.sendall(f"{_PROGRAM!r}\n".encode() + path.encode("utf-8", "surrogateescape") + b"\n")
            except BaseException:
                self._channel.close()
                raise

    def reached(self, size: int) -> None:
        """Says that the first `size` bytes are on the server."""
        with self._lock:
            if size <= self._told or self._dead:
                return
            self._told = size
            try:
                self._channel.sendall(b"%d\n" % size)
            except (EOFError, OSError, paramiko.SSHException):
                self._dead = True

    def finish(self) -> str | None:
        """Waits for the sha256 (hex) of all that was reached; None when it cannot be had this way."""
        try:
            with self._lock, mapped(self._where):
                if self._dead:
                    return None
                self._channel.shutdown_write()
                out = bytearray()
                while got := self._channel.recv(4096):
                    out += got
        except (NetworkError, RemoteRefused):
            return None
        last = bytes(out).split()[-1:]
        return last[0].decode("ascii", "replace") if last and len(last[0]) == 64 else None

    def close(self) -> None:
        """Ends the program, done or not."""
        with contextlib.suppress(EOFError, OSError, paramiko.SSHException):  # the line may be lost already
            self._channel.close()
