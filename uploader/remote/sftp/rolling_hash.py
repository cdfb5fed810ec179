"""A hash taken on the server while the file still grows: the proof is there moments after the last byte."""

from __future__ import annotations

import contextlib
import hashlib
import shlex
import threading

import paramiko

from uploader.errors import NetworkError, RemoteRefused, UploaderError
from uploader.remote.interface import RangeLimiter
from uploader.remote.sftp.errors import mapped
from uploader.remote.sftp.files import SftpFiles
from uploader.remote.sftp.shell import PYTHON_START
from uploader.remote.sftp.transport import close_channel, end_input

_SILENCE_SECONDS = 30.0
_AT_ONCE = 4 << 20

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
    "if f.read(1): sys.exit(4)\n"
    "print(h.hexdigest())\n"
)


class SftpRollingDigest:
    """A program on the server that hashes the first bytes of one file, as far as `reached` says.

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
                end_input(self._channel)
                out = bytearray()
                while got := self._channel.recv(4096):
                    out += got
        except (NetworkError, RemoteRefused):
            return None
        last = bytes(out).split()[-1:]
        return last[0].decode("ascii", "replace") if last and len(last[0]) == 64 else None

    def close(self) -> None:
        """Ends the program, done or not."""
        close_channel(self._channel)


class SftpReadBackDigest:
    """Reads back the first bytes of one file, as far as `reached` says, and hashes them here.

    It has an SFTP session of its own."""

    def __init__(self, files: SftpFiles, path: str, limited: RangeLimiter) -> None:
        self._files = files
        self._path = path
        self._paced = limited
        self._digest = hashlib.sha256()
        self._told = 0
        self._over = self._ends = False
        self._whole = True
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="read-along", daemon=True)
        self._thread.start()

    def reached(self, size: int) -> None:
        """Says that the first `size` bytes are on the server."""
        with self._changed:
            self._told = max(self._told, size)
            self._changed.notify_all()

    def finish(self) -> str | None:
        """Waits until all that was reached is read back; its sha256 (hex), None when it could not be read or the file
        does not end there."""
        with self._changed:
            self._over = self._ends = True
            self._changed.notify_all()
        self._thread.join()
        return self._digest.hexdigest() if self._whole else None

    def close(self) -> None:
        """Ends it, done or not."""
        with self._changed:
            self._over, self._told = True, 0
            self._changed.notify_all()
        with contextlib.suppress(EOFError, OSError, paramiko.SSHException):  # the line may be lost already
            self._files.protocol.close()
        self._thread.join()

    def _run(self) -> None:
        at = 0
        try:
            while (end := self._next(at)) is not None:
                before, at = at, end
                size = 0
                for data in self._files.read(self._path, self._paced([(before, end - before)])):
                    self._digest.update(data)
                    size += len(data)
                self._whole &= size == end - before
            if self._whole and self._ends:
                self._whole = not any(self._files.read(self._path, [(at, 1)]))
        except UploaderError:  # `finish` then tells that there is no hash
            self._whole = False

    def _next(self, at: int) -> int | None:
        """Return how far to read from `at`, at most `_AT_ONCE` bytes further; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._told > at or self._over)
            return min(self._told, at + _AT_ONCE) if self._told > at else None
