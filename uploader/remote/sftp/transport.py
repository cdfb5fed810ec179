"""The SSH transport below everything: how it is set up, how it says goodbye, how it is closed."""

from __future__ import annotations

import contextlib
import struct
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import paramiko
from paramiko.kex_curve25519 import KexCurve25519
from paramiko.transport import ChannelMap

from uploader.remote.sftp.algorithms import Lack, lacking
from uploader.remote.sftp.errors import NothingInCommon
from uploader.remote.sftp.packetizer import Batch, BatchedPacketizer, ReadAhead

_CIPHERS = (
    "aes128-gcm@openssh.com",  # with AES in the CPU the fastest by far
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
)
_WINDOW = 16 * 1024 * 1024
_OF_CHANNELS = frozenset((93, 94, 95, 98))  # WINDOW_ADJUST, DATA, EXTENDED_DATA, REQUEST
_RSA_SIGNATURES = ("rsa-sha2-512", "rsa-sha2-256")


class _Channels(ChannelMap):
    """paramiko's channels. Each knows its transport from the start, as the connection may be lost before it is open."""

    def __init__(self, transport: Transport) -> None:
        super().__init__()
        self._transport = transport

    def put(self, chanid: int, chan: paramiko.Channel) -> None:
        chan._set_transport(self._transport)  # type: ignore[attr-defined]
        super().put(chanid, chan)


class Transport(paramiko.Transport):
    """paramiko's transport. Remembers what the server said when it hung up (RFC 4253, section 11.1).

    The line counts as lost when it can send nothing for `silence_seconds`."""

    goodbye: str | None = None

    # paramiko knows this exchange by the name alone that it had before RFC 8731.
    _kex_info = paramiko.Transport._kex_info | {"curve25519-sha256": KexCurve25519}  # type: ignore[attr-defined]
    _preferred_kex = ("curve25519-sha256", *paramiko.Transport._preferred_kex)  # type: ignore[attr-defined]

    def __init__(self, sock: paramiko.transport._SocketLike, silence_seconds: float = 30.0) -> None:
        line = ReadAhead(sock, silence_seconds)
        super().__init__(line, default_window_size=_WINDOW, packetizer_class=BatchedPacketizer)  # type: ignore[arg-type]
        self.daemon = True
        self._channels = _Channels(self)
        self._held: deque[paramiko.Message | Batch] = deque()
        self._offer: dict[str, Any] = {}

    def send_for_channels(self, message: paramiko.Message) -> None:
        """Send a message of the connection protocol; wait while keys are exchanged."""
        self._send_user_message(message)

    def _send_user_message(self, data: paramiko.Message | Batch, channel: paramiko.Channel | None = None) -> None:
        """Send as paramiko does, except for two messages that would end the connection.

        What belongs to a channel goes only while that is open: its thread may have closed it since the message was
        made. And the thread that reads does not wait while keys are exchanged, as it is the one that ends this."""
        if threading.current_thread() is self and not self.clear_to_send.is_set():
            self._held.append(data)
            return
        began = time.monotonic()
        while True:
            self.clear_to_send.wait(0.1)
            if not self.is_active():
                return
            with self.clear_to_send_lock:
                if self.clear_to_send.is_set():
                    if not self._is_late(data, channel):
                        self._send_message(data)  # type: ignore[attr-defined]
                    return
            if time.monotonic() - began > self.clear_to_send_timeout:
                raise paramiko.SSHException("the exchange of keys does not end")

    def _is_late(self, data: paramiko.Message | Batch, channel: paramiko.Channel | None) -> bool:
        """Return whether a message belongs to a channel that is closed. `clear_to_send_lock` is held, and a CLOSE takes
        it after its channel counts as closed: so nothing follows it."""
        if channel is not None:
            return bool(channel.closed)
        first = data.payloads[0][0] if isinstance(data, Batch) else data.asbytes()[:5]
        if first[0] not in _OF_CHANNELS:
            return False
        (number,) = struct.unpack_from(">I", first, 1)
        channels: list[paramiko.Channel] = self._channels.values()
        return not any(one.remote_chanid == number and not one.closed for one in channels)

    def _really_parse_kex_init(self, *args: Any, **options: Any) -> dict[str, Any]:
        self._offer = super()._really_parse_kex_init(*args, **options)  # type: ignore[misc]
        return self._offer

    def lacks(self) -> Lack | None:
        """Return what of a server's offer has nothing that we know; None when each kind has something."""
        options = self.get_security_options()
        known = {
            "kex": options.kex,
            "server_key": options.key_types,
            "encrypt": options.ciphers,
            "mac": options.digests,
        }
        return lacking(self._offer, known)

    def _parse_newkeys(self, message: paramiko.Message) -> None:
        super()._parse_newkeys(message)  # type: ignore[misc]
        while self._held:
            self._send_user_message(self._held.popleft())

    def _parse_disconnect(self, message: paramiko.Message) -> None:
        message.get_int()
        text = message.get_binary().decode("utf-8", "replace")
        self.goodbye = "".join(c for c in text if c.isprintable())[:200]


def end_input(channel: paramiko.Channel) -> None:
    """Send EOF on a channel that is still open, and nothing on one that is closed.

    A channel's own `shutdown_write` may send it after the CLOSE of another thread; OpenSSH then hangs up."""
    with channel.lock:
        ending = None if channel.closed else channel._send_eof()  # type: ignore[attr-defined]
    if ending is not None:
        channel.get_transport()._send_user_message(ending, channel)  # type: ignore[attr-defined]


def shake_hands(
    transport: Transport, key_types: Sequence[str], seconds: float, *, only: Sequence[str] = ()
) -> paramiko.PKey:
    """Agree on keys with the server and return its host key, one of `key_types` if it has such.

    With `only`, no other types are taken: IncompatiblePeer is raised where the server has none of them. Raises
    TimeoutError when that takes longer than `seconds`, and what paramiko raises."""
    options = transport.get_security_options()
    options.ciphers = [name for name in _CIPHERS if name in options.ciphers]
    # A server has keys of several types: ask for the one that is pinned, or it would look changed.
    wanted = [name for known in only or key_types for name in (_RSA_SIGNATURES if known == "ssh-rsa" else (known,))]
    first = [name for name in dict.fromkeys(wanted) if name in options.key_types]
    options.key_types = first if only else [*first, *(name for name in options.key_types if name not in first)]
    transport.banner_timeout = transport.handshake_timeout = seconds + 5  # ours ends first, and has its own name
    try:
        transport.start_client(timeout=seconds)
    except paramiko.ssh_exception.IncompatiblePeer as error:
        if only or (lack := transport.lacks()) is None:
            raise
        raise NothingInCommon(f"the server {lack.text}", remedy=lack.remedy) from error
    if not transport.initial_kex_done:  # paramiko returns in silence when the time is over
        raise TimeoutError
    return transport.get_remote_server_key()


def close_all(transports: Sequence[paramiko.Transport]) -> None:
    """Close the innermost first and waits a moment for each thread, so that no socket stays open."""
    for transport in reversed(transports):
        transport.close()
        transport.sock.close()  # a transport that has not begun does not close it by itself
        if transport.is_alive():
            transport.join(timeout=2.0)


def close_channel(channel: paramiko.Channel) -> None:
    """Close a channel. One whose connection is lost is closed already."""
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        channel.close()
