"""Certificates of a WebUI: which one is trusted, and how one that is not trusted yet is looked at."""

from __future__ import annotations

import hashlib
import hmac
import re
import socket
import ssl
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from uploader.errors import CertificateUnknown, ConfigurationError, NetworkError, UploaderError, UsageError
from uploader.threads import call_with_deadline

_FINGERPRINT = re.compile(r"SHA256:([0-9A-Fa-f]{2}(?::?[0-9A-Fa-f]{2}){31})", re.IGNORECASE)


@dataclass(frozen=True)
class CertificatePin:
    """The certificate that a WebUI may show. By default one that this machine trusts.

    With `ca` (a PEM file): one that is in that file, or signed by a certificate in it. With `fingerprint` (SHA-256 of
    the certificate in hexadecimal): that certificate alone.
    """

    ca: Path | None = None
    fingerprint: str | None = None

    @classmethod
    def parse(cls, text: str | None) -> CertificatePin:
        """Read a file's name, or `SHA256:` and 64 hexadecimal digits with or without colons. Raises UsageError."""
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
        """Return the TLS settings. Raises ConfigurationError for a file that cannot be used."""
        import httpx

        if self.fingerprint is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE  # `check` compares the fingerprint before anything is sent
            return context
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
        """Raise CertificateUnknown when the certificate (DER) is not the pinned one."""
        if self.fingerprint is None or hmac.compare_digest(self.fingerprint, _sha256(certificate)):
            return
        raise CertificateUnknown(
            f"{host} shows another certificate than the one that was pinned: {_shown_fingerprint(certificate)}",
            remedy="If its owner has changed it, log in again with --webui-ca and that fingerprint, or its file.",
        )


def fetch_fingerprint(base: str, seconds: float) -> str:
    """Return `SHA256:...` of the certificate at an https address, trusted or not. Sends no request.

    Raises NetworkError, also after `seconds`.
    """
    parts = urlsplit(base)
    look = partial(ssl.get_server_certificate, (parts.hostname or "", parts.port or 443), timeout=seconds)
    try:
        certificate = call_with_deadline(look, seconds, name="certificate")
    except (OSError, UnicodeError) as error:
        raise connection_error(parts, error) from error
    return _shown_fingerprint(ssl.PEM_cert_to_DER_cert(certificate))


def connection_error(address: SplitResult, error: BaseException | None) -> UploaderError:
    """Return our error for a connection to a WebUI that could not be opened or encrypted."""
    host = address.netloc
    if isinstance(error, ssl.SSLCertVerificationError):
        return CertificateUnknown(
            f"{host} shows a certificate that this machine does not trust: {error.verify_message}",
            remedy="Log in again on a terminal to see its fingerprint and pin it, or give its certificate, or that "
            "of who signed it, by --webui-ca FILE.",
        )
    if isinstance(error, TimeoutError):
        return late(host)
    if isinstance(error, socket.gaierror | UnicodeError):
        return NetworkError(
            f"no machine is known as {address.hostname}",
            remedy="Check the WebUI's address: it may be another one today.",
        )
    if isinstance(error, ssl.SSLError | ConnectionResetError):  # plain http: it answers in the clear, or hangs up
        return NetworkError(f"{host} does not speak https there", remedy="Does its address begin with http:// instead?")
    return NetworkError(f"{host} cannot be reached", remedy="Is the WebUI running, and is this its address today?")


def late(host: str) -> NetworkError:
    """Return the error for a WebUI that did not answer in the time allowed."""
    return NetworkError(
        f"{host} did not answer in time",
        remedy="It may be starting, or busy with an image. Try again when it is idle.",
    )


def _shown_fingerprint(certificate: bytes) -> str:
    return f"SHA256:{_sha256(certificate)}"


def _sha256(certificate: bytes) -> str:
    return hashlib.sha256(certificate).hexdigest()
