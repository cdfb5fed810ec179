"""Text <-> Target: `sftp://user@host:port/root?webui=a1111`, for scripts that save nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import parse_qsl, quote, unquote, urlencode

from uploader.errors import UsageError
from uploader.profile import Target
from uploader.profiles.toml_table import nearest
from uploader.state.targets.values import normal_root, value_faults

PROVIDER = "generic"
WEBUI = "a1111"
_SCHEME = "sftp://"
_SHAPE = "An address looks like sftp://user@host:port/root?webui=a1111 (//root for an absolute folder)."


def is_address(text: str) -> bool:
    """Return True if a `--to` is an address rather than a target's name."""
    return "://" in text


def parse_address(text: str, environ: Mapping[str, str]) -> Target:
    """Return the target that an address stands for. Its name is the address itself, in normal form.

    The root is relative to the login folder after one slash, absolute after two. A part with a special character is
    percent-encoded. Raises UsageError, also for a password, which does not belong on a command line. Messages never
    repeat the text: a mistyped one may hold a secret anywhere."""
    scheme, _, rest = text.partition("://")
    if scheme.lower() != "sftp":
        raise UsageError("a target's address begins with sftp://", remedy=_SHAPE)
    if not rest.isprintable() or "#" in rest:
        raise UsageError("the address holds a character that must be percent-encoded", remedy=_SHAPE)
    rest, _, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    user, host, port = _authority(authority, environ)
    target = Target("", PROVIDER, _webui(query), _decoded(host), _root(slash + path), port=port, user=user)
    for field, fault in value_faults(target):
        raise UsageError(f"the {field} in the address: {fault}", remedy=_SHAPE)
    return replace(target, name=address(target))


def address(target: Target) -> str:
    """Return the address of a target, from which `parse_address` makes an equal target.

    An address cannot hold a provider, a key file or a jump host."""
    user = f"{quote(target.user, safe='')}@" if target.user else ""
    host = f"[{target.host.replace('%', '%25')}]" if ":" in target.host else quote(target.host, safe="")
    port = f":{target.port}" if target.port is not None else ""
    root = "" if target.root in ("", ".") else f"/{quote(target.root)}"
    query = f"?{urlencode({'webui': target.webui})}" if target.webui != WEBUI else ""
    return f"{_SCHEME}{user}{host}{port}{root}{query}"


def _authority(text: str, environ: Mapping[str, str]) -> tuple[str | None, str, int | None]:
    login, at, place = text.rpartition("@")
    user, colon, _ = login.partition(":")
    if colon:
        raise UsageError("the address holds a password", remedy=_without_password(environ))
    if at and not user:
        raise UsageError("the address has nothing before its @", remedy=_SHAPE)
    match = re.fullmatch(r"\[([^\[\]]*)\](?::(.*))?", place) or re.fullmatch(r"([^:\[\]]*)(?::(.*))?", place)
    if match is None:
        raise UsageError("the host in the address cannot be read (IPv6 goes into brackets: [::1])", remedy=_SHAPE)
    host, port = match.groups()
    if not host:
        raise UsageError("the address has no host", remedy=_SHAPE)
    if port is not None and not re.fullmatch(r"[0-9]{1,5}", port):
        raise UsageError("the port in the address is not a number", remedy=_SHAPE)
    return (_decoded(user) if at else None), host, int(port) if port else None


def _without_password(environ: Mapping[str, str]) -> str:
    if environ.get("UPLOADER_PASSWORD"):
        return "Take it out: $UPLOADER_PASSWORD is set, and is used."
    return "Take it out, and put it into $UPLOADER_PASSWORD: command lines end up in histories and process lists."


def _root(path: str) -> str:
    return normal_root(_decoded(path.removeprefix("/")))


def _webui(query: str) -> str:
    if not query:
        return WEBUI
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError:
        raise UsageError("what follows the ? in the address cannot be read", remedy=_SHAPE) from None
    for key, _ in pairs:
        if key != "webui":
            remedy = " ".join(filter(None, (nearest(key, ["webui"]), _SHAPE)))
            raise UsageError("the address takes webui=... after the ?, and nothing else", remedy=remedy)
    if len(pairs) > 1:
        raise UsageError("the address names two WebUIs", remedy="Give one.")
    return pairs[0][1]


def _decoded(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise UsageError("a %-code in the address is not UTF-8", remedy=_SHAPE) from None
