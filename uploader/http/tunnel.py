"""Lines of our making as httpcore wants them. Imported when the first service is asked, as httpcore is slow to load."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore

from uploader.errors import UsageError
from uploader.http.tls import Budget, CertificatePin, Channel, Dial, dialled, encrypted, named_line_faults


class Backend(httpcore.NetworkBackend):
    """Opens the lines to one service. Each wait ends with the budget, whatever httpcore allows. `host` names the
    service in errors."""

    def __init__(self, host: str, trust: CertificatePin, dial: Dial | None, budget: Budget) -> None:
        self.host = host
        self.trust = trust
        self.budget = budget
        self._dial = dial

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the budget's is what counts, here and below
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        if self._dial is not None:
            return _Stream(self._dial(self.budget.remaining(self.host)), self)
        return _Stream(dialled(host, port, host, self.budget), self)


class _Stream(httpcore.NetworkStream):
    def __init__(self, line: Channel, backend: Backend) -> None:
        self._line = line
        self._backend = backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        self._line.settimeout(self._remaining())
        with named_line_faults(self._backend.host, self._backend.budget):
            return self._line.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._line.settimeout(self._remaining())
        with named_line_faults(self._backend.host, self._backend.budget):
            self._line.sendall(buffer)

    def close(self) -> None:
        self._line.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        backend = self._backend
        if not isinstance(self._line, socket.socket):
            raise UsageError("a tunnel is encrypted already; its address begins with http://")
        secure = encrypted(self._line, ssl_context, server_hostname, backend.host, backend.budget)
        try:
            backend.trust.check(backend.host, secure.getpeercert(binary_form=True) or b"")
        except BaseException:
            secure.close()
            raise
        return _Stream(secure, backend)

    def get_extra_info(self, info: str) -> Any:  # noqa: ARG002 - nothing is known beside
        return None

    def _remaining(self) -> float:
        return self._backend.budget.remaining(self._backend.host)
