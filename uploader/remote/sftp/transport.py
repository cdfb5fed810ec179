"""The SSH transport below everything: how it is set up, how it says goodbye, how it is closed."""

from __future__ import annotations

from collections.abc import Sequence

import paramiko

from uploader.remote.sftp.packetizer import BatchedPacketizer, ReadAhead

_CIPHERS = (
    "aes128-gcm@openssh.com",  # with AES in the CPU the fastest by far
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
)
_WINDOW = 16 * 1024 * 1024
_RSA_SIGNATURES = ("rsa-sha2-512", "rsa-sha2-256")


class Transport(paramiko.Transport):
    """paramiko's transport. Remembers what the server said when it hung up (RFC 4253, section 11.1).

    The line counts as lost when it can send nothing for `silence_seconds`."""

    goodbye: str | None = None

    def __init__(self, sock: paramiko.transport._SocketLike, silence_seconds: float = 30.0) -> None:
        line = ReadAhead(sock, silence_seconds)
        super().__init__(line, default_window_size=_WINDOW, packetizer_class=BatchedPacketizer)  # type: ignore[arg-type]
        self.daemon = True

    def send_for_channels(self, message: paramiko.Message) -> None:
        """Send a message of the connection protocol; wait while keys are exchanged."""
        self._send_user_message(message)  # type: ignore[attr-defined] # what paramiko's own channels use

    def _parse_disconnect(self, message: paramiko.Message) -> None:
        message.get_int()
        text = message.get_binary().decode("utf-8", "replace")
        self.goodbye = "".join(c for c in text if c.isprintable())[:200]


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
    transport.start_client(timeout=seconds)
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
