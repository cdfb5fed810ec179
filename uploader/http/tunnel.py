"""Connections to a WebUI for httpcore: direct ones, and those through the SSH connection.

Imported with the first request, because httpcore is slow to load.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import httpcore

from uploader.http.tls import CertificatePin


class Channel(Protocol):
    """A stream of bytes with a socket's calls. They raise TimeoutError and OSError as a socket's do."""

    def settimeout(self, seconds: float, /) -> object: ...

    def recv(self, most: int, /) -> bytes: ...

    def sendall(self, data: bytes, /) -> object: ...

    def close(self) -> object: ...


Dial = Callable[[float], Channel]
"""Opens a channel within that many seconds. Raises UploaderError."""


class Backend(httpcore.NetworkBackend):
    """Opens one connection at a time to one WebUI: with `dial`, or without it as httpcore does.

    `host` names the WebUI in errors.
    """

    def __init__(self, host: str, pin: CertificatePin, dial: Dial | None) -> None:
        self._host = host
        self._pin = pin
        self._dial = dial
        self._direct = httpcore.SyncBackend()
        self._stream: httpcore.NetworkStream | None = None
        self._is_over = False

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        if self._dial is not None:
            return self._keep(_ChannelStream(self._dial(timeout or 0.0)))
        stream = self._direct.connect_tcp(host, port, timeout, local_address, socket_options)
        return self._keep(_PinnedStream(stream, self._check))

    def hang_up(self) -> None:
        """End the connection from another thread than the one that uses it, and open no other one."""
        self._is_over = True
        stream = self._stream
        line = stream.get_extra_info("socket") if stream is not None else None
        if isinstance(line, socket.socket):
            with contextlib.suppress(OSError):
                # The class's own method wakes the reader. An SSLSocket's would take the TLS state from it.
                socket.socket.shutdown(line, socket.SHUT_RDWR)
        elif stream is not None:
            stream.close()

    def _check(self, stream: httpcore.NetworkStream) -> httpcore.NetworkStream:
        try:
            self._pin.check(self._host, stream.get_extra_info("socket").getpeercert(binary_form=True) or b"")
        except BaseException:
            stream.close()
            raise
        return self._keep(stream)

    def _keep(self, stream: httpcore.NetworkStream) -> httpcore.NetworkStream:
        self._stream = stream
        if self._is_over:
            stream.close()
            raise TimeoutError
        return stream


class _PinnedStream(httpcore.NetworkStream):
    """A direct connection. `check` sees it once it is encrypted, before anything is sent."""

    def __init__(
        self, stream: httpcore.NetworkStream, check: Callable[[httpcore.NetworkStream], httpcore.NetworkStream]
    ) -> None:
        self._stream = stream
        self._check = check

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return self._check(self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _ChannelStream(httpcore.NetworkStream):
    """A connection through the SSH connection, which encrypts it: its address begins with http://."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._channel.settimeout(timeout or 0.0)
        return self._channel.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._channel.settimeout(timeout or 0.0)
        self._channel.sendall(buffer)

    def close(self) -> None:
        self._channel.close()

    def get_extra_info(self, info: str) -> Any:  # noqa: ARG002 - a channel has none
        return None
