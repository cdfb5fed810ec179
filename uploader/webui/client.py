"""A client for one service: one base address, its own sign-in, one budget of time; nothing of it goes anywhere else."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import urlencode, urlsplit

from uploader import __version__
from uploader.errors import CredentialsRefused, NetworkError, UsageError, WebUIRefused
from uploader.http.address import _PLAIN, base_fault, is_loopback
from uploader.http.tls import Budget, CertificatePin, Dial
from uploader.secret import Secret
from uploader.session.session import WEBUI_SECONDS

if TYPE_CHECKING:
    import httpcore


_MOST_BYTES = 64 << 20
_HEADER = re.compile(r"([A-Za-z0-9-]+): +(\S.*)")


@dataclass(frozen=True)
class SignIn:
    """One header that proves who we are; `account` is the user and password that it was made of, if it was."""

    header: str
    value: Secret
    account: tuple[str, Secret] | None = None

    @classmethod
    def parse(cls, secret: Secret) -> SignIn:
        """Reads `user:password` (HTTP Basic, RFC 7617), `Name: value` (that header; blanks after the colon), or a
        token (Bearer, RFC 6750). Raises UsageError for what no header can carry."""
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
    """An answer. `data` is its JSON, None where it has none; `json` tells that it had (`null` is JSON, too). `kind` is
    its media type. A web page is never `ok`: whatever its status, it is no answer to a program."""

    status: int
    json: bool
    data: object = None
    kind: str = ""

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300 and self.kind != "text/html"


class WebUIClient:
    """Asks one service. `base` is its address, with a path where it lies behind one.

    The sign-in goes to that address alone: no redirect is followed, no proxy is between. Over plain http it goes
    nowhere but to this machine, or down a line of one's own: `dial` opens those. All requests together may take
    `seconds`; what hangs longer ends in NetworkError, and so does every request after that.
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
        parts = urlsplit(self.base)
        self.host = parts.netloc
        if sign_in is not None and parts.scheme == "http" and dial is None and not is_loopback(parts.hostname or ""):
            raise UsageError(
                f"a sign-in is not sent to {self.base}: without https anyone on the way can read it",
                remedy="Give its https:// address, or reach it through the SSH connection by --webui-tunnel PORT.",
            )
        self._sign_in = sign_in
        self._dial = dial
        self._trust = trust or CertificatePin()
        self._budget = Budget(seconds)
        self._pool: httpcore.ConnectionPool | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def allow(self, seconds: float) -> None:
        """Gives the requests from here on this much time, whatever was left: for work that is known to take long."""
        self._budget.left = seconds

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Reply:
        """Raises NetworkError, CredentialsRefused (401, 403), CertificateUnknown; any other answer is returned."""
        return self._ask("GET", path, query, None)

    def post(self, path: str, body: object = None, query: Mapping[str, str] | None = None) -> Reply:
        """As `get`. `body` is sent as JSON, None as no body at all."""
        return self._ask("POST", path, query, None if body is None else json.dumps(body).encode())

    def trade(self, path: str, user: str, password: str, token: str) -> None:
        """Trades the user and password of the sign-in for a token, which takes their place from here on; without such
        nothing is done. The first three name the call and the fields of its body, `token` the answer's. Raises as
        `get`."""
        if self._sign_in is None or self._sign_in.account is None:
            return
        name, secret = self._sign_in.account
        reply = self.post(path, {user: name, password: secret.reveal()})
        found = reply.data.get(token) if reply.ok and isinstance(reply.data, dict) else None
        if isinstance(found, str) and found:
            self._sign_in = SignIn.parse(Secret(found))

    def _ask(self, method: str, path: str, query: Mapping[str, str] | None, body: bytes | None) -> Reply:
        import httpcore

        url = f"{self.base}{path}" + (f"?{urlencode(query)}" if query else "")
        began = time.monotonic()
        self._budget.start()
        try:
            reply = self._answer(method, url, self._headers(body), body)
        except httpcore.TimeoutException as error:
            raise self._budget.over(self.host) from error
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise NetworkError(
                f"{self.host} cut the line", remedy="Is the WebUI still starting? Try again in a minute."
            ) from error
        finally:
            self._budget.left -= time.monotonic() - began
        if reply.status in (401, 403):
            raise self._refused(reply.status)
        return reply

    def _answer(self, method: str, url: str, headers: list[tuple[str, str]], body: bytes | None) -> Reply:
        with self._opened().stream(method, url, headers=headers, content=body) as response:
            content = bytearray()
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

    def _opened(self) -> httpcore.ConnectionPool:
        import httpcore

        from uploader.http.tunnel import Backend

        if self._pool is None:
            secure = self.base.startswith("https")
            self._pool = httpcore.ConnectionPool(
                ssl_context=self._trust.context() if secure else None,
                network_backend=Backend(self.host, self._trust, self._dial, self._budget),
                max_connections=1,
            )
        return self._pool

    def _refused(self, status: int) -> CredentialsRefused:
        if self._sign_in is None:
            return CredentialsRefused(
                f"{self.host} asks for a sign-in ({status})",
                remedy="`uploader login` asks for it when the target is saved again; scripts set "
                "$UPLOADER_WEBUI_AUTH to user:password or a token.",
            )
        return CredentialsRefused(
            f"{self.host} refuses our sign-in ({status})",
            remedy="`uploader login` asks for a new one when the target is saved again; scripts set "
            "$UPLOADER_WEBUI_AUTH to user:password or a token.",
        )
