"""The lines that a service is reached by: dialled or handed in, encrypted or not, and never longer than allowed."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from uploader.errors import CertificateUnknown, ConfigurationError, NetworkError, UsageError

_FINGERPRINT = re.compile(r"SHA256:([0-9A-Fa-f]{2}(?::?[0-9A-Fa-f]{2}){31})", re.IGNORECASE)


class Channel(Protocol):
    """A stream of bytes, as a socket is one; its calls raise TimeoutError and OSError as a socket's do."""

    def settimeout(self, seconds: float, /) -> object: ...

    def recv(self, most: int, /) -> bytes: ...

    def sendall(self, data: bytes, /) -> object: ...

    def close(self) -> object: ...


Dial = Callable[[float], Channel]
"""Opens a line within so many seconds. Raises UploaderError."""


@dataclass(frozen=True)
class CertificatePin:
    """Which certificate a service may show: one that this machine trusts; with `ca`, one that is signed by what is in
    that file (PEM), or is in it; with `fingerprint` (the sha256 of the certificate, hexadecimal), that one alone."""

    ca: Path | None = None
    fingerprint: str | None = None

    @classmethod
    def parse(cls, text: str | None) -> CertificatePin:
        """From a file's name, or `SHA256:` and 64 hexadecimal digits, with colons between them or not. Raises
        UsageError."""
        if text is None:
            return cls()
        if not text.upper().startswith("SHA256:"):
            return cls(ca=Path(text))
        match = _FINGERPRINT.fullmatch(text)
        if match is None:
            raise UsageError(
                "that is no certificate's fingerprint: it takes SHA256: and 64 hexadecimal digits",
                remedy="`openssl x509 -noout -fingerprint -sha256 -in FILE` shows a certificate's.",
            )
        return cls(fingerprint=match[1].replace(":", "").lower())

    def context(self) -> ssl.SSLContext:
        """Raises ConfigurationError for a file that cannot be used."""
        import httpx

        if self.fingerprint is not None:
            return _unchecked()  # `check` looks at the certificate itself, before anything is sent
        if self.ca is None:
            return httpx.create_ssl_context()
        try:
            context = ssl.create_default_context(cafile=str(self.ca))
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                f"the certificates in {self.ca} cannot be used: {error.strerror or error}",
                remedy="Give a file in PEM by --webui-ca.",
            ) from error
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context

    def check(self, host: str, certificate: bytes) -> None:
        """Raises CertificateUnknown when the certificate (DER) is not the pinned one."""
        if self.fingerprint is None or hmac.compare_digest(self.fingerprint, _sha256(certificate)):
            return
        raise CertificateUnknown(
            f"{host} shows another certificate than the one that was pinned: {shown_fingerprint(certificate)}",
            remedy="If its owner has changed it, log in again with --webui-ca and that fingerprint, or its file.",
        )


@dataclass
class Budget:
    """The time that is left, in seconds; runs while a request is under way."""

    left: float
    until: float = 0.0

    def __post_init__(self) -> None:
        self.whole = self.left

    def start(self) -> None:
        self.until = time.monotonic() + max(0.0, self.left)

    def remaining(self, host: str) -> float:
        """Raises NetworkError when none is."""
        seconds = self.until - time.monotonic()
        if seconds <= 0:
            raise self.over(host)
        return seconds

    def over(self, host: str) -> NetworkError:
        return NetworkError(
            f"{host} did not answer in time",
            remedy="It may be starting, or busy with an image. Try again when it is through.",
        )


def fetch_fingerprint(base: str, seconds: float) -> str:
    """Returns the fingerprint of the certificate that an https address shows, `SHA256:...`, whoever signed it; nothing
    is sent. Raises NetworkError."""
    parts = urlsplit(base)
    host = parts.hostname or ""
    budget = Budget(seconds)
    budget.start()
    line = dialled(host, parts.port or 443, host, budget)
    with line, encrypted(line, _unchecked(), host, host, budget) as secure:
        return shown_fingerprint(secure.getpeercert(binary_form=True) or b"")


def shown_fingerprint(certificate: bytes) -> str:
    return f"SHA256:{_sha256(certificate)}"


@contextlib.contextmanager
def named_line_faults(host: str, budget: Budget) -> Iterator[None]:
    """Names what goes wrong on a line."""
    try:
        yield
    except TimeoutError as error:
        raise budget.over(host) from error
    except (OSError, EOFError) as error:
        raise NetworkError(
            f"{host} cut the line", remedy="Is the WebUI still starting? Try again in a minute."
        ) from error


def dialled(host: str, port: int, named: str, budget: Budget) -> socket.socket:
    """Opens a line to an address; `named` is what the service is called in errors. Raises NetworkError."""
    fault: OSError | None = None
    for family, kind, protocol, _, address in _addresses(host, port, named, budget):
        line = socket.socket(family, kind, protocol)
        try:
            line.settimeout(budget.remaining(named))
            line.connect(address)
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return line
        except OSError as error:
            line.close()
            fault = error
        except BaseException:
            line.close()
            raise
    if isinstance(fault, TimeoutError):
        raise budget.over(named) from fault
    raise NetworkError(
        f"{named} cannot be reached at port {port}", remedy="Is the WebUI running, and is this its address today?"
    ) from fault


def _addresses(host: str, port: int, named: str, budget: Budget) -> list[Any]:
    """Looks a name up; the system's own way to do so knows no time limit, so it may be left behind in its thread."""
    found: Future[list[Any]] = Future()

    def look_up() -> None:
        try:
            found.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except Exception as error:  # noqa: BLE001 - handed to the caller's thread, which names it
            found.set_exception(error)

    threading.Thread(target=look_up, name="look-up", daemon=True).start()
    try:
        return found.result(budget.remaining(named))
    except TimeoutError as error:
        raise budget.over(named) from error
    except (OSError, UnicodeError) as error:
        raise NetworkError(
            f"no machine is known as {named}", remedy="Check the WebUI's address: it may be another one today."
        ) from error


def encrypted(
    line: socket.socket, context: ssl.SSLContext, name: str | None, host: str, budget: Budget
) -> ssl.SSLSocket:
    """Encrypts a line. Raises CertificateUnknown, NetworkError; the line is closed then."""
    line.settimeout(budget.remaining(host))
    try:
        return context.wrap_socket(line, server_hostname=name)
    except ssl.SSLCertVerificationError as error:
        line.close()
        raise CertificateUnknown(
            f"{host} shows a certificate that this machine does not trust: {error.verify_message}",
            remedy="Log in again on a terminal to see its fingerprint and pin it, or give its certificate, or that "
            "of who signed it, by --webui-ca FILE.",
        ) from error
    except TimeoutError as error:
        line.close()
        raise budget.over(host) from error
    except OSError as error:
        line.close()
        raise NetworkError(
            f"{host} does not speak https there", remedy="Does its address begin with http:// instead?"
        ) from error


def _unchecked() -> ssl.SSLContext:
    """Takes any certificate: for a look at it alone, or where the one that is right is known by its fingerprint."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _sha256(certificate: bytes) -> str:
    return hashlib.sha256(certificate).hexdigest()
