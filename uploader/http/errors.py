"""The errors of HTTP: httpx's exceptions and the servers' refusals, as uploader.errors."""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import re
import socket
import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

from uploader.errors import (
    CredentialsRefused,
    NetworkError,
    RateLimited,
    SourceMissing,
    SourceRefused,
    UploaderError,
)
from uploader.http.json_fields import Fields, read_json
from uploader.http.token_scope import Refusal, TokenScope

if TYPE_CHECKING:
    import httpx

AGAIN = "Run the same command again: it goes on where it stopped."
OTHER_LINK = "Open the link in a browser and copy the address of the download itself."
_EXPLANATION_BYTES = 64 * 1024
_LOGIN = (
    "This link needs a login, or it has expired. Copy a fresh download link, "
    "or download the file in your browser and push that."
)


@contextlib.contextmanager
def named_faults(host: str) -> Iterator[None]:
    """Turn httpx's exceptions, and others that it lets pass, into uploader.errors."""
    import httpx

    try:
        yield
    except httpx.TimeoutException as error:
        raise NetworkError(f"{host} did not answer in time", remedy=AGAIN) from error
    except httpx.ProxyError as error:
        raise NetworkError(f"the proxy did not let us through to {host}", remedy="Check $HTTPS_PROXY.") from error
    except httpx.ConnectError as error:
        raise _unreachable(host, error) from error
    except httpx.HTTPStatusError as error:
        refused(error.response, None, False)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError):
        # Their texts may hold the address, and an address may hold a secret.
        raise SourceRefused(f"the address at {host} is not a web address", remedy=OTHER_LINK) from None
    except (httpx.TooManyRedirects, httpx.CookieConflict) as error:
        raise SourceRefused(f"{host} answers in a way that leads nowhere", remedy=OTHER_LINK) from error
    except (httpx.HTTPError, httpx.StreamError) as error:
        raise _cut(host, error) from None


def _cut(host: str, error: Exception) -> UploaderError:
    import httpx

    # httpx reads a redirect's address even where it is told not to follow it.
    if isinstance(error, httpx.RemoteProtocolError) and "location header" in str(error):
        return SourceRefused(f"{host} redirects to something that is no web address", remedy=OTHER_LINK)
    return NetworkError(f"the connection to {host} was cut", remedy=AGAIN)


def _unreachable(host: str, error: BaseException) -> UploaderError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return SourceRefused(
                f"{host} shows a certificate that this machine does not trust: {cause.verify_message}",
                remedy="Check the link and this machine's clock. Behind a company's proxy, set $SSL_CERT_FILE.",
            )
        if isinstance(cause, socket.gaierror):
            return NetworkError(f"no machine is known as {host}", remedy="Check the link and your network.")
        if isinstance(cause, ConnectionRefusedError):
            return NetworkError(f"{host} refuses connections", remedy="Check the link, and try again later.")
        cause = cause.__cause__ or cause.__context__
    return NetworkError(f"{host} cannot be reached", remedy="Check your network, then run the same command again.")


def refused(response: httpx.Response, scope: TokenScope | None, in_scope: bool) -> NoReturn:
    """Raise the error that the scope's service means by an answer, else the general one for its status."""
    if scope is not None and (error := scope.explain(refusal(response, in_scope))) is not None:
        raise error
    host, status = response.url.host, response.status_code
    wait = retry_after_seconds(response.headers.get("Retry-After"))
    if status in (401, 403):
        raise CredentialsRefused(f"{host} does not give this file to us ({status})", remedy=_LOGIN)
    if status in (404, 410):
        raise SourceMissing(f"{host} has no such file ({status})", remedy="Check the link in a browser.")
    if status == 451:
        raise SourceRefused(f"{host} may not give this file in your country ({status})")
    if status == 429 or (status == 503 and wait is not None):
        raise RateLimited(f"{host} asks us to slow down ({status})", remedy="Try again in a few minutes.", wait=wait)
    if status >= 500 or status == 408:
        raise NetworkError(f"{host} has trouble of its own ({status})", remedy="Try again in a few minutes.")
    raise SourceRefused(f"{host} refuses to give this file ({status})", remedy=OTHER_LINK)


def refusal(response: httpx.Response, in_scope: bool, location: str | None = None) -> Refusal:
    """Return what `TokenScope.explain` needs of an answer. Reads a body that is text; a body that fails counts as
    empty.
    """
    names = {name.lower(): value for name, value in response.headers.items()}
    kind = names.get("content-type", "").lower()
    text, body = "", Fields()
    if location is None and ("json" in kind or kind.startswith("text/")):
        with contextlib.suppress(ValueError, *_lost()):
            content = read_at_most(response, _EXPLANATION_BYTES)
            text = content.decode("utf-8", "replace")
            body = Fields(read_json(content))
    return Refusal(response.url.host, response.status_code, names, body, in_scope, text, location)


def read_at_most(response: httpx.Response, most: int) -> bytes:
    """Return the body. Raises ValueError when it is longer than `most` bytes."""
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > most:
            raise ValueError("longer than it may be")
    return bytes(body)


def _lost() -> tuple[type[Exception], ...]:
    import httpx

    return httpx.HTTPError, httpx.StreamError


def not_encoded(response: httpx.Response) -> None:
    """Raise SourceRefused for a compressed body: its sizes and ranges would not be the file's. `identity` was asked
    for.
    """
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in ("gzip", "x-gzip", "deflate", "br", "zstd", "compress"):
        raise SourceRefused(
            f"{response.url.host} sends this file compressed ({encoding}) though it was asked not to",
            remedy="Download it in a browser and push the file.",
        )


def retry_after_seconds(text: str | None) -> float | None:
    """Return the seconds of a Retry-After, which is a number or a date (RFC 9110, 10.2.3)."""
    if text is None:
        return None
    if re.fullmatch(r"\d{1,9}", text.strip()):
        return float(text)
    try:
        date = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=datetime.UTC)
    return max(0.0, (date - datetime.datetime.now(datetime.UTC)).total_seconds())
