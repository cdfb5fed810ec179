"""SFTP version 3 on an SSH channel: requests go out without waiting, answers are matched by their number.

Written on paramiko's channel rather than on its SFTPClient, which hides what a safe upload needs: status codes, the
extensions that a server announces, answers to single writes, and requests above 32 KiB.
Follows draft-ietf-secsh-filexfer-02 and the PROTOCOL file of OpenSSH.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

import paramiko

from uploader.errors import NoSftp, RemoteRefused
from uploader.remote.sftp.errors import Status, mapped, refusal
from uploader.remote.sftp.packetizer import Payload, send_all
from uploader.remote.sftp.transport import close_channel

INIT, VERSION = 1, 2
OPEN, CLOSE, READ, WRITE, LSTAT = range(3, 8)
SETSTAT, FSETSTAT = 9, 10
OPENDIR, READDIR, REMOVE, MKDIR = range(11, 15)
REALPATH, STAT, RENAME, READLINK = range(16, 20)
STATUS, HANDLE, DATA, NAME, ATTRS = range(101, 106)
EXTENDED = 200

_LARGEST_PACKET = 4 * 1024 * 1024
_NO_LOGIN = "account is currently not available"
"""What nologin(8) says, in the words of Linux and of the BSDs."""
_HEAD = struct.Struct(">IBI")


def string(value: str | bytes) -> bytes:
    """Packs a string as SSH does (RFC 4251, section 5)."""
    raw = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    return struct.pack(">I", len(raw)) + raw


class Unpacker:
    """Reads the fields of one answer in order."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self) -> int:
        """A uint32."""
        return self._take(">I", 4)

    def long(self) -> int:
        """A uint64."""
        return self._take(">Q", 8)

    def raw(self) -> bytes:
        """A string as bytes."""
        length = self.number()
        end = self._at + length
        if end > len(self._data):
            raise RemoteRefused("the server sent an SFTP answer that ends before its own length")
        value = self._data[self._at : end]
        self._at = end
        return value

    def text(self) -> str:
        """A string as text; bytes that are not UTF-8 survive a round trip."""
        return self.raw().decode("utf-8", "surrogateescape")

    def rest(self) -> bytes:
        """All that is left."""
        value, self._at = self._data[self._at :], len(self._data)
        return value

    def _take(self, form: str, size: int) -> int:
        if self._at + size > len(self._data):
            raise RemoteRefused("the server sent an SFTP answer that is too short")
        (value,) = struct.unpack_from(form, self._data, self._at)
        self._at += size
        return int(value)


Answer = tuple[int, bytes]
"""(packet type, payload after the request's number)."""


class SftpProtocol:
    """One SFTP session. Used by one thread at a time. `send` puts bytes on the channel."""

    def __init__(
        self,
        channel: paramiko.Channel,
        where: str,
        send: Callable[[paramiko.Channel, Sequence[Payload]], None] = send_all,
    ) -> None:
        self.where = where
        self._send = send
        self._channel = channel
        self._buffer = bytearray()
        self._next = 1
        self._stash: dict[int, Answer] = {}
        self._unanswered = 0
        with mapped(where):
            try:
                self._channel.sendall(struct.pack(">IBI", 5, INIT, 3))
            except TimeoutError:
                raise
            except OSError:
                pass  # the server has closed the session already; what it said before that tells why
            self.extensions = self._hello()

    @property
    def settled(self) -> bool:
        """Whether every request was answered and every answer taken."""
        return not (self._unanswered or self._stash or self._buffer)

    def post(self, kind: int, *parts: bytes | memoryview) -> int:
        """Sends one request; returns its number. The answer comes by `take` or `wait`."""
        number = self._next
        self._next = (number + 1) & 0xFFFFFFFF
        size = 5 + sum(map(len, parts))
        self._unanswered += 1
        with mapped(self.where):
            self._send(self._channel, (_HEAD.pack(size, kind, number), *parts))
        return number

    def take(self) -> tuple[int, Answer]:
        """Waits for the next answer, whichever request it belongs to."""
        if self._stash:
            number = next(iter(self._stash))
            return number, self._stash.pop(number)
        with mapped(self.where):
            return self._read()

    def ready(self) -> bool:
        """Whether `take` would not have to wait for the line."""
        return bool(self._stash) or len(self._buffer) > 4 or self._channel.recv_ready()

    def wait(self, number: int) -> Answer:
        """Waits for the answer to one request; others that come before are kept for `take`."""
        if number in self._stash:
            return self._stash.pop(number)
        with mapped(self.where):
            while True:
                got, answer = self._read()
                if got == number:
                    return answer
                self._stash[got] = answer

    def call(self, kind: int, *parts: bytes, what: str) -> tuple[int, Unpacker]:
        """Sends a request and waits for its answer. Raises the refusal that a bad status stands for."""
        return self.finish(self.post(kind, *parts), what)

    def finish(self, number: int, what: str) -> tuple[int, Unpacker]:
        """Waits for the answer to a request that was posted. Raises the refusal that a bad status stands for."""
        answer_kind, payload = self.wait(number)
        if answer_kind == STATUS:
            check(payload, what)
        return answer_kind, Unpacker(payload)

    def close(self) -> None:
        """Ends this session; others of the same line go on."""
        close_channel(self._channel)

    def _read(self) -> tuple[int, Answer]:
        size = struct.unpack(">I", self._exactly(4))[0]
        if not 5 <= size <= _LARGEST_PACKET:
            raise EOFError("an SFTP packet of impossible size")
        packet = self._exactly(size)
        self._unanswered -= 1
        return struct.unpack_from(">I", packet, 1)[0], (packet[0], packet[5:])

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            got = self._channel.recv(max(65536, size - len(self._buffer)))
            if not got:
                raise EOFError("the server closed the SFTP session")
            self._buffer += got
        value = bytes(self._buffer[:size])
        del self._buffer[:size]
        return value

    def _hello(self) -> dict[str, bytes]:
        try:
            head = self._exactly(4)
        except EOFError:
            transport = self._channel.get_transport()
            transport.join(timeout=0.2)  # a lost line closes the session a moment before the transport ends
            if not transport.is_active():
                raise
            raise NoSftp(
                f"{self.where} lets us in but has no SFTP",
                remedy="Start the instance with a full SSH server (on RunPod: SSH over exposed TCP).",
            ) from None
        size = struct.unpack(">I", head)[0]
        if size > 256 * 1024 or (head.isascii() and all(byte >= 9 for byte in head)):
            raise self._banner(head)
        packet = self._exactly(size)
        if not packet or packet[0] != VERSION:
            raise self._banner(head + packet)
        fields = Unpacker(packet[1:])
        fields.number()
        extensions: dict[str, bytes] = {}
        while rest := fields.rest():
            fields = Unpacker(rest)
            name = fields.text()
            extensions[name] = fields.raw()
        return extensions

    def _banner(self, head: bytes) -> NoSftp:
        """Names the text that a login script writes where the SFTP protocol should be."""
        self._channel.settimeout(1.0)
        text = head + bytes(self._buffer)
        try:
            while len(text) < 400 and (more := self._channel.recv(400)):
                text += more
        except OSError:
            pass
        words = text.partition(b"\0")[0].decode("utf-8", "replace").split()  # a NUL is where the protocol begins
        line = "".join(c for c in " ".join(words) if c.isprintable())[:200]
        if _NO_LOGIN in line:
            return NoSftp(
                f"{self.where} lets us in but this account may run nothing, SFTP neither: {line!r}",
                remedy="Its login shell is nologin. Use another account, or let sshd serve it with "
                "`Subsystem sftp internal-sftp`, which needs no shell.",
            )
        return NoSftp(
            f"{self.where} writes text into the SFTP stream: {line!r}",
            remedy="A start-up file of the server's shell (~/.bashrc, mostly) prints it. Put its output behind "
            "`case $- in *i*) ;; *) return;; esac` at the top of that file, and try again.",
        )


def check(payload: bytes, what: str) -> None:
    """Raises what a status answer stands for, unless it is OK. The end of a file or a listing is EndOfFile."""
    fields = Unpacker(payload)
    code = fields.number()
    if code == Status.OK:
        return
    try:
        text = fields.text()
    except RemoteRefused:  # some servers leave the text out
        text = ""
    raise refusal(code, text, what)
