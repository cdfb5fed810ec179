"""JSON over HTTP to one WebUI: one address, its own sign-in, a pinned certificate, one limit of time."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import urlencode, urlsplit

from uploader import __version__
from uploader.errors import CredentialsRefused, NetworkError, UsageError, WebUIRefused
from uploader.http.address import _PLAIN, base_fault, is_loopback
from uploader.http.tls import CertificatePin, connection_error, late
from uploader.secret import Secret
from uploader.session.session import WEBUI_SECONDS
from uploader.threads import DeadlineExceeded, call_with_deadline

if TYPE_CHECKING:
    import httpcore

    from uploader.http.tunnel import Backend, Dial

_MOST_BYTES = 64 << 20
_HEADER = re.compile(r"([A-Za-z0-9-]+): +(\S.*)")


@dataclass(frozen=True)
class SignIn:
    """One header that proves who we are. `account` is the user and password that it was made of, if any."""

    header: str
    value: Secret
    account: tuple[str, Secret] | None = None

    @classmethod
    def parse(cls, secret: Secret) -> SignIn:
        """Read `user:password` (HTTP Basic, RFC 7617), `Name: value` (that header), or a token (Bearer, RFC 6750).

        A blank after the colon makes it a header. Raises UsageError for text that no header can carry.
        """
        text = secret.reveal().strip()
        if (header := _HEADER.fullmatch(text)) and _PLAIN.fullmatch(text):
            return cls(header[1], Secret(header[2]))
        if ":" in text:
            user, _, password = text.partition(":")
            basic = Secret("Basic " + base64.b64encode(text.encode()).decode())
            return cls("Authorization", basic, (user, Secret(password)))
        if not _PLAIN.fullmatch(text):
            raise UsageError(
                "the WebUI's sign-in cannot be sent: it is empty, or holds what no header can carry",
                remedy="Give user:password, a token, or a header as Name: value.",
            )
        return cls("Authorization", Secret(f"Bearer {text}"))


@dataclass(frozen=True)
class Reply:
    """An answer. `data` is its JSON. `json` is False if it has none: `null` is JSON, too. `kind` is its media type.

    A web page is never `ok`, whichever its status: it is no answer to a program.
    """

    status: int
    json: bool
    data: object = None
    kind: str = ""

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300 and self.kind != "text/html"


class WebUIClient:
    """A client of one WebUI. `base` is its address, with a path if the WebUI is below one.

    The sign-in goes to that address alone: no redirect is followed, and no proxy is used. Over plain http it goes to
    this machine only, or through the channels that `dial` opens. All requests together may take `seconds`. A longer
    one raises NetworkError, and so does every request after it.
    """

    def __init__(
        self,
        base: str,
        *,
        sign_in: SignIn | None = None,
        trust: CertificatePin | None = None,
        dial: Dial | None = None,
        seconds: float = WEBUI_SECONDS,
    ) -> None:
        if fault := base_fault(base):
            raise UsageError(f"the WebUI's address cannot be used: {fault}", remedy="Write it like https://host/.")
        self.base = base.rstrip("/")
        self._address = parts = urlsplit(self.base)
        self.host = parts.netloc
        if sign_in is not None and parts.scheme == "http" and dial is None and not is_loopback(parts.hostname or ""):
            raise UsageError(
                f"a sign-in is not sent to {self.base}: without https anyone on the way can read it",
                remedy="Give its https:// address, or reach it through the SSH connection by --webui-tunnel PORT.",
            )
        self._sign_in = sign_in
        self._dial = dial
        self._trust = trust or CertificatePin()
        self._seconds_left = seconds
        self._open: tuple[httpcore.ConnectionPool, Backend] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. The next request opens another one."""
        if self._open is not None:
            self._open[0].close()
            self._open = None

    def allow(self, seconds: float) -> None:
        """Give the following requests `seconds` together: for work that is known to take long."""
        self._seconds_left = seconds

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Reply:
        """Return any answer but 401 and 403. Raises NetworkError, CredentialsRefused, CertificateUnknown."""
        return self._ask("GET", path, query, None)

    def post(self, path: str, body: object = None, query: Mapping[str, str] | None = None) -> Reply:
        """Do as `get`. Sends `body` as JSON, and no body for None."""
        return self._ask("POST", path, query, None if body is None else json.dumps(body).encode())

    def trade(self, path: str, user: str, password: str, token: str) -> None:
        """Trade the sign-in's user and password for a token and use that from now on.

        Does nothing without a user and password. `path` is the call, `user` and `password` are the fields of its
        body, `token` is the field of its answer. Raises what `get` raises.
        """
        if self._sign_in is None or self._sign_in.account is None:
            return
        name, secret = self._sign_in.account
        reply = self.post(path, {user: name, password: secret.reveal()})
        found = reply.data.get(token) if reply.ok and isinstance(reply.data, dict) else None
        if isinstance(found, str) and found:
            self._sign_in = SignIn.parse(Secret(found))

    def _ask(self, method: str, path: str, query: Mapping[str, str] | None, body: bytes | None) -> Reply:
        if self._seconds_left <= 0:
            raise late(self.host)
        url = f"{self.base}{path}" + (f"?{urlencode(query)}" if query else "")
        pool, backend = self._open = self._open or self._connections()
        answer = partial(self._answer, pool, method, url, body, self._seconds_left)
        began = time.monotonic()
        try:
            reply = call_with_deadline(answer, self._seconds_left, name="webui")
        except BaseException as error:
            backend.hang_up()  # the call's thread closes the connection, as it may still use it
            self._open = None
            if isinstance(error, DeadlineExceeded):
                raise late(self.host) from error
            raise
        finally:
            self._seconds_left -= time.monotonic() - began
        if reply.status in (401, 403):
            raise self._refused(reply.status)
        return reply

    @contextlib.contextmanager
    def _named_errors(self) -> Iterator[None]:
        import httpcore

        try:
            yield
        except httpcore.ConnectError as error:
            raise connection_error(self._address, error.__context__) from error  # httpcore removes the cause
        except UnicodeError as error:
            raise connection_error(self._address, error) from error
        except (httpcore.TimeoutException, TimeoutError) as error:
            raise late(self.host) from error
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError, EOFError) as error:
            raise NetworkError(
                f"{self.host} cut the connection", remedy="Is the WebUI still starting? Try again in a minute."
            ) from error

    def _answer(
        self, pool: httpcore.ConnectionPool, method: str, url: str, body: bytes | None, seconds: float
    ) -> Reply:
        timeouts = dict.fromkeys(("connect", "read", "write", "pool"), seconds)
        content = bytearray()
        sent = pool.stream(method, url, headers=self._headers(body), content=body, extensions={"timeout": timeouts})
        with self._named_errors(), sent as response:
            for chunk in response.iter_stream():
                content += chunk
                if len(content) > _MOST_BYTES:
                    raise WebUIRefused(
                        f"{self.host} answers with more than {_MOST_BYTES >> 20} MB", remedy="Is the address right?"
                    )
        kind = dict((name.lower(), value) for name, value in response.headers).get(b"content-type", b"")
        try:
            data, is_json = json.loads(bytes(content)), True
        except (ValueError, RecursionError):
            data, is_json = None, False
        return Reply(response.status, is_json, data, kind.decode("latin-1").partition(";")[0].strip().lower())

    def _headers(self, body: bytes | None) -> list[tuple[str, str]]:
        headers = [
            ("Host", self.host),
            ("User-Agent", f"webui-uploader/{__version__}"),
            ("Accept", "application/json"),
            ("Accept-Encoding", "identity"),
        ]
        if body is not None:
            headers.append(("Content-Type", "application/json"))
        if self._sign_in is not None:
            headers.append((self._sign_in.header, self._sign_in.value.reveal()))
        return headers

    def _connections(self) -> tuple[httpcore.ConnectionPool, Backend]:
        import httpcore

        from uploader.http.tunnel import Backend

        context = self._trust.context() if self.base.startswith("https") else None
        backend = Backend(self.host, self._trust, self._dial)
        return httpcore.ConnectionPool(context, network_backend=backend, max_connections=1), backend

    def _refused(self, status: int) -> CredentialsRefused:
        known = self._sign_in is not None
        return CredentialsRefused(
            f"{self.host} {'refuses our' if known else 'asks for a'} sign-in ({status})",
            remedy=f"`uploader login` asks for {'a new one' if known else 'it'} when the target is saved again; "
            "scripts set $UPLOADER_WEBUI_AUTH to user:password or a token.",
        )
