"""The rules for a target's values, from every source."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from uploader.errors import UsageError
from uploader.http.address import base_fault
from uploader.http.tls import CertificatePin
from uploader.placement import folder_fault, root_fault
from uploader.profile import Target

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_NO_HOST = re.compile(r"[\s/\\@\[\]]")


def check_name(name: str) -> str:
    """Return `name` if a target may have it. Raises UsageError."""
    if fault := name_fault(name):
        raise UsageError(f"{name!r} cannot be a target's name: {fault}", remedy="Choose another with --name.")
    return name


def name_fault(name: str) -> str | None:
    """Return what is wrong with a target's name, None for a good one.

    A leading `@` is kept for groups, and a name is used in file names and on command lines."""
    if _NAME.fullmatch(name):
        return None
    if len(name) > 64:
        return "it is longer than 64 characters"
    return "it takes letters, digits, dots, dashes and underscores, and begins with a letter or a digit"


def check_values(target: Target) -> None:
    """Raise UsageError when a target's values cannot reach a server."""
    for field, fault in value_faults(target):
        raise UsageError(
            f"the {field} of {target.name}: {fault}", remedy=f"Give another by --{field.replace('_', '-')}."
        )


def normal_root(root: str) -> str:
    """Return a root in its one spelling: `./a//b/` is `a/b`, `//a` is `/a`, an empty one is `.`.

    Nothing is resolved. A root that leads upwards, or has another fault, is returned unchanged, to be refused."""
    if root_fault(root) is not None:
        return root
    normal = posixpath.normpath(root)
    return normal[1:] if normal.startswith("//") else normal


def value_faults(target: Target) -> Iterator[tuple[str, str]]:
    """Yield (field, what is wrong with it) for every value that cannot reach a server.

    A leading dash is refused where the value could end up on the command line of a ProxyCommand."""
    for field in ("provider", "webui", "host", "user", "identity_file", "jump", "webui_ca"):
        value = getattr(target, field)
        if value is not None and (fault := _text_fault(value)):
            yield field, fault
    if _dashed(target.host) or _NO_HOST.search(target.host.strip()):
        yield "host", "it is a host name or an IP address alone, such as gpu.example.com"
    if _dashed(target.user or ""):
        yield "user", "it begins with a dash"
    if any(_dashed(part) for hop in (target.jump or "").split(",") for part in _ends(hop)):
        yield "jump", "it begins with a dash"
    if target.port is not None and not 1 <= target.port <= 65535:
        yield "port", f"{target.port} is not between 1 and 65535"
    if fault := root_fault(target.root):
        yield "root", fault
    yield from _webui_faults(target)
    for kind, folder in target.folders.items():
        if fault := folder_fault(folder):
            yield f"folders.{kind}", fault


def _webui_faults(target: Target) -> Iterator[tuple[str, str]]:
    if target.webui_url is not None and (fault := base_fault(target.webui_url)):
        yield "webui_url", fault
    if target.webui_tunnel is not None and not 1 <= target.webui_tunnel <= 65535:
        yield "webui_tunnel", f"{target.webui_tunnel} is not between 1 and 65535"
    if target.webui_url is not None and target.webui_tunnel is not None:
        yield "webui_tunnel", "it has a webui_url as well, and only one of the two is used"
    if target.webui_ca is not None:
        try:
            CertificatePin.parse(target.webui_ca)
        except UsageError as error:
            yield "webui_ca", error.message


def _ends(hop: str) -> list[str]:
    return hop.strip().removeprefix("ssh://").split("@")


def _dashed(value: str) -> bool:
    return value.lstrip().startswith("-")


def _text_fault(value: str) -> str | None:
    if not value.strip():
        return "it is empty"
    if not value.isprintable():
        return "it holds a character that cannot be shown"
    return None
