"""SSH packets with less work for each: many encrypted in one go, many read by one call to the system.

paramiko copies a packet's bytes seven times and asks the system once for every packet and twice for every answer; a
sender of gigabytes has better uses for its processor. Follows RFC 4253 (section 6) and RFC 5647 (AES-GCM).
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

import paramiko
from paramiko.packet import Packetizer

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

Payload = bytes | memoryview

_BLOCK = 16
_TAG = 16
_LEAST_PADDING = 4
_REKEY_BYTES = 1 << 35
"""Bytes under one key: half of what RFC 4344 (section 3.2) allows a cipher with blocks of 128 bits. OpenSSH goes to
all of it; paramiko's own half a gigabyte would make a checkpoint wait for new keys a dozen times."""

_CHANNEL_DATA = 94
_TOGETHER = 8
"""Packets of one batch: a write of 255 KiB."""

_READ_BYTES = 1 << 16


class Batch:
    """Payloads of packets that go out together, each given in parts. `asbytes` is what paramiko asks of a message."""

    def __init__(self) -> None:
        self.payloads: list[Sequence[Payload]] = []

    def add(self, *chunks: Payload) -> None:
        """Adds one packet's payload."""
        self.payloads.append(chunks)

    def asbytes(self) -> bytes:
        """The one payload that there is; paramiko asks this of what it handles as a single message."""
        (chunks,) = self.payloads
        return b"".join(chunks)


class BatchedPacketizer(Packetizer):
    """paramiko's packets, in batches where the cipher is AES-GCM."""

    REKEY_BYTES = _REKEY_BYTES

    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        self._turn = threading.Lock()
        self._gcm: AESGCM | None = None
        self._fixed = b""
        self._counter = 0
        self._under_key = 0

    def set_outbound_cipher(self, block_engine: Any, *args: Any, **options: Any) -> None:
        """Record the key and the nonce as well (RFC 5647, section 7.1); the counter is its last eight bytes."""
        super().set_outbound_cipher(block_engine, *args, **options)
        with self._turn:
            self._gcm = None
            self._under_key = 0
            if options.get("aead"):
                nonce = cast(bytes, options["iv_out"])
                self._gcm = block_engine
                self._fixed, self._counter = nonce[:4], int.from_bytes(nonce[4:], "big")

    def send_message(self, data: paramiko.Message | Batch) -> None:
        """Sends a message, or a batch of them."""
        if self._gcm is not None:
            payloads = data.payloads if isinstance(data, Batch) else [(data.asbytes(),)]
            with self._turn:
                self._send(self._gcm, payloads)
        elif isinstance(data, Batch):
            for chunks in data.payloads:
                super().send_message(paramiko.Message(b"".join(chunks)))
        else:
            super().send_message(data)

    def _send(self, gcm: AESGCM, payloads: Sequence[Sequence[Payload]]) -> None:
        sizes = [_padded(sum(map(len, chunks))) for chunks in payloads]
        out = bytearray(sum(sizes) + len(sizes) * (4 + _TAG))
        view, at = memoryview(out), 0
        for chunks, size in zip(payloads, sizes, strict=True):
            length = struct.pack(">I", size)
            plain = _plain(chunks, size)
            nonce = self._fixed + self._counter.to_bytes(8, "big")
            self._counter = (self._counter + 1) & 0xFFFFFFFFFFFFFFFF
            view[at : at + 4] = length
            end = at + 4 + size + _TAG
            gcm.encrypt_into(nonce, plain, length, view[at + 4 : end])
            at = end
        self.write_all(view)
        self._under_key += len(out)
        if self._under_key >= self.REKEY_BYTES and not self.need_rekey():
            self._trigger_rekey()  # type: ignore[attr-defined] # paramiko's stubs leave out what is for subclasses


def _padded(size: int) -> int:
    """The length of a packet with a payload of that many bytes, its own length field left out: a multiple of a
    block, at least four bytes of padding."""
    return -(-(1 + size + _LEAST_PADDING) // _BLOCK) * _BLOCK


def _plain(chunks: Sequence[Payload], size: int) -> bytes:
    padding = size - 1 - sum(map(len, chunks))
    return b"".join((bytes((padding,)), *chunks, os.urandom(padding)))


def send_all(channel: paramiko.Channel, parts: Iterable[Payload]) -> None:
    """Send the bytes of all parts over a channel, as `Channel.sendall` does of one (RFC 4254, section 5.2).

    Raises OSError when the channel is closed, and what the transport raises. Raises TimeoutError when the server's
    window stays shut for longer than the channel's timeout."""
    rest = _Rest(parts)
    # What a channel's own `send` is made of; it has no call for more than one packet.
    window: Callable[[int], int] = channel._wait_for_send_window  # type: ignore[attr-defined]
    send: Callable[[Batch, paramiko.Channel], None] = channel.get_transport()._send_user_message  # type: ignore[attr-defined]
    while rest.size:
        batch = Batch()
        with channel.lock:
            while rest.size and len(batch.payloads) < _TOGETHER:
                if batch.payloads and channel.out_window_size == 0:
                    break  # what there is goes first: the window opens when it has arrived
                if channel.closed or (size := window(rest.size)) == 0:
                    raise OSError("the channel is closed")
                head = struct.pack(">BII", _CHANNEL_DATA, channel.remote_chanid, size)
                batch.add(head, *rest.take(size))
        send(batch, channel)


class _Rest:
    """What is still to be sent of some parts."""

    def __init__(self, parts: Iterable[Payload]) -> None:
        self._views = deque(memoryview(part) for part in parts)
        self.size = sum(map(len, self._views))

    def take(self, size: int) -> list[Payload]:
        """Return the next `size` bytes, which must be there, in parts."""
        self.size -= size
        taken: list[Payload] = []
        while size:
            view = self._views.popleft()
            taken.append(view[:size])
            if len(view) > size:
                self._views.appendleft(view[size:])
            size -= min(size, len(view))
        return taken


class ReadAhead:
    """A socket that reads ahead: it takes much at once from the system and returns it in small parts.

    It counts as lost when it can send nothing for `silence_seconds`. paramiko would try for as long as the system
    does, which may be a quarter of an hour."""

    def __init__(self, sock: Any, silence_seconds: float = 30.0) -> None:
        self._sock = sock
        self._held = b""
        self._at = 0
        self._silence_seconds = silence_seconds
        self._stuck_since: float | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def close(self) -> None:
        """Close the line. Wakes the thread that reads it; a socket's own `close` leaves it to paramiko's 0.1 s poll.

        A channel (the way through a jump host) wakes its reader by itself, and must not send EOF after CLOSE."""
        if isinstance(self._sock, socket.socket):
            with contextlib.suppress(OSError):  # the line may be lost already
                self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def recv(self, size: int) -> bytes:
        """As a socket's: at most `size` bytes, at least one unless the line has ended."""
        if self._at == len(self._held):
            self._held, self._at = self._sock.recv(max(size, _READ_BYTES)), 0
        chunk = self._held[self._at : self._at + size]
        self._at += len(chunk)
        return chunk

    def send(self, data: Payload) -> int:
        """As a socket's with a timeout. Raises ConnectionAbortedError when the line is stuck for too long."""
        try:
            sent: int = self._sock.send(data)
        except TimeoutError:
            now = time.monotonic()
            self._stuck_since = self._stuck_since or now
            if now - self._stuck_since >= self._silence_seconds:
                raise ConnectionAbortedError("the other side takes nothing any more") from None
            raise
        self._stuck_since = None
        return sent
