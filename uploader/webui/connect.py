"""Reaching a target's WebUI: its address, its certificate, its sign-in, and the tunnel through the SSH connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from uploader.credentials import find_sign_in
from uploader.errors import UsageError
from uploader.http.tls import CertificatePin
from uploader.profile import Target
from uploader.remote.interface import Connection
from uploader.secret import Secret
from uploader.session.session import Session
from uploader.state.targets import is_address
from uploader.webui import Member, recognise
from uploader.webui.client import SignIn, WebUIClient

_LOOPBACK = "127.0.0.1"

NO_ADDRESS = "Say how it is reached: `uploader login` again with --webui-url URL or --webui-tunnel PORT."


def address_of(target: Target) -> str | None:
    """Return the WebUI's address, as the server knows it if there is a tunnel. None if it is not saved."""
    if target.webui_tunnel is not None:
        return f"http://{_LOOPBACK}:{target.webui_tunnel}"
    return target.webui_url


def place_of(target: Target) -> str | None:
    """Return what tells this WebUI from any other: 127.0.0.1 is another machine for each SSH server."""
    if target.webui_tunnel is not None:
        server = target.host if target.port is None else f"{target.host}:{target.port}"
        way = f"?jump={target.jump}" if target.jump else ""
        return f"ssh://{server}/{_LOOPBACK}:{target.webui_tunnel}{way}"
    return target.webui_url


def require_address(target: Target) -> str:
    """Return the WebUI's address. Raises UsageError if it is not saved."""
    address = address_of(target)
    if address is None:
        raise UsageError(f"it is not known where the WebUI of {target.name} is", remedy=NO_ADDRESS)
    return address


def known_sign_in(target: Target, session: Session) -> Secret | None:
    """Return the WebUI's sign-in from the environment or the keyring."""
    account = None if is_address(target.name) else target.name
    return find_sign_in(account, place_of(target) or "", session.keyring, session.environ)


@contextmanager
def reached(
    target: Target,
    session: Session,
    connection: Connection,
    *,
    secret: Secret | None = None,
    seconds: float | None = None,
) -> Iterator[tuple[WebUIClient, Member]]:
    """Open a target's WebUI and find out which one it is. `secret` replaces the known sign-in.

    All requests together may take `seconds`, by default `session.webui_seconds`. Raises UsageError without an address,
    and what WebUIClient and recognise raise.
    """
    address = require_address(target)
    secret = secret or known_sign_in(target, session)
    tunnel = target.webui_tunnel
    service = WebUIClient(
        address,
        sign_in=None if secret is None else SignIn.parse(secret),
        trust=CertificatePin.parse(target.webui_ca),
        dial=None if tunnel is None else partial(connection.open_tunnel, _LOOPBACK, tunnel),
        seconds=session.webui_seconds if seconds is None else seconds,
    )
    with service:
        yield service, recognise(service, session.profiles.webui(target.webui).api)
