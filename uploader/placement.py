"""Placement: which folder and which name a model gets on a server; never outside the target's root."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from uploader.artifact import MODEL_EXTENSIONS, Kind
from uploader.errors import KindUnplaceable, UsageError
from uploader.profile import WebUI

MAX_PATH_COMPONENT = 255
"""Bytes in UTF-8 that one name may have: ext4, xfs and NTFS agree closely enough."""

MAX_NAME = MAX_PATH_COMPONENT - len(".xxxxxxxx.part")
"""Bytes in UTF-8 that a final name may have, so that its part file's name fits too."""

_IDENTITY = re.compile(r"[0-9a-f]{8}")
_DRIVE = re.compile(r"[A-Za-z]:")
_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$"]
    + [f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³"]
)
# Marks that reverse the direction of text: a name shown with them differs from the real one.
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})


@dataclass(frozen=True)
class Placement:
    """Where one model goes. `folder` is below the target's root, `path` begins with that root as it was given."""

    folder: str
    name: str
    path: str


def place(name: str, kind: Kind, webui: WebUI, overrides: Mapping[Kind, str], root: str) -> Placement:
    """Return where a model of that name and kind goes. Raises KindUnplaceable and UsageError."""
    folder = folder_of(kind, webui, overrides)
    checked = check_name(name, webui)
    return Placement(folder, checked, join(root, folder, checked))


def folder_of(kind: Kind, webui: WebUI, overrides: Mapping[Kind, str]) -> str:
    """Return the folder of a kind, below the root: the override, else the WebUI's own.

    Raises KindUnplaceable, with the WebUI's reason, where there is none."""
    folder = overrides.get(kind) or webui.folders.get(kind)
    if folder is not None:
        return folder
    reason = webui.missing.get(kind, "its profile names none")
    known = ", ".join(k.value for k in Kind if k in webui.folders or k in overrides)
    remedy = (
        f"If the file is something else, say so with --kind ({known})."
        if known
        else f"Push to a target with another WebUI, or add the model inside {webui.name}."
    )
    raise KindUnplaceable(f"{webui.name} has no folder for models of the kind {kind.value}: {reason}", remedy=remedy)


def check_name(name: str, webui: WebUI) -> str:
    """Return the final name, in Unicode's NFC. Raises UsageError for one that no server should be given.

    It refuses a separator, a character that cannot be shown, a leading dot and a device name of Windows. It also
    refuses more than `MAX_NAME` bytes, and an ending that this WebUI does not list."""
    normal = unicodedata.normalize("NFC", name)
    if fault := _name_fault(normal):
        raise UsageError(f"{_shown(name)} cannot be a model's file name: {fault}", remedy="Choose another with --name.")
    if model_extension(normal, webui.extensions) is None:
        raise UsageError(
            f"{_shown(name)} would not be listed: {webui.name} looks only for files that end in {_listed(webui)}",
            remedy="Give the file its right ending with --name, or push another version of the model.",
        )
    return normal


def complete_name(name: str, container_extension: str | None) -> str:
    """Return a name with the ending of its container (such as `.safetensors`), if it has none.

    Raises UsageError when the name has no model's ending and the container is not known."""
    if model_extension(name) is not None:
        return name
    if container_extension is None:
        raise UsageError(
            f"{_shown(name)} has no ending that a WebUI would list, and the file does not show what it is",
            remedy="Give it a name with its ending, such as --name model.safetensors.",
        )
    return name + container_extension


def model_extension(name: str, extensions: frozenset[str] = MODEL_EXTENSIONS) -> str | None:
    """Return the ending of a name, in lower case, if it is one of `extensions` and something stands before it."""
    lower = name.lower()
    return next((ending for ending in extensions if lower.endswith(ending) and len(lower) > len(ending)), None)


def part_name(name: str, identity: str) -> str:
    """Return the name that a file has until its bytes are proven; no WebUI lists that ending.

    `identity` is the artifact's, 8 hexadecimal digits."""
    if not _IDENTITY.fullmatch(identity):
        raise UsageError(f"{identity!r} is not an identity: that takes 8 hexadecimal digits")
    return f"{name}.{identity}.part"


def join(root: str, folder: str, name: str) -> str:
    """Return the path of a name in a folder below the root, with forward slashes.

    An empty root, or `.`, is the folder that the login starts in. Raises UsageError for a folder or a name that
    would lead out of the root."""
    if fault := folder_fault(folder):
        raise UsageError(f"{_shown(folder)} cannot be a folder below the root: {fault}")
    if fault := _name_fault(name):
        raise UsageError(f"{_shown(name)} cannot be a file name: {fault}", remedy="Choose another with --name.")
    base = root.rstrip("/")
    if base in ("", "."):
        base = "/" if root.startswith("/") else ""
        return f"{base}{folder}/{name}"
    return f"{base}/{folder}/{name}"


def folder_fault(folder: str) -> str | None:
    """Return what is wrong with a folder that must lie below a root; None if it is right."""
    if folder.startswith("/") or _DRIVE.match(folder):
        return "it must be relative to the root"
    if "\\" in folder:
        return "folders are written with forward slashes"
    if any(_hidden(char) for char in folder):
        return "it holds a character that cannot be shown"
    parts = folder.split("/")
    if ".." in parts:
        return "it must not lead out of the root (..)"
    if "" in parts or "." in parts:
        return "it has an empty part or a lone dot"
    return None


def root_fault(root: str) -> str | None:
    """Return what is wrong with a root, absolute or relative to the login folder; None if it is right."""
    if any(_hidden(char) for char in root):
        return "it holds a character that cannot be shown"
    if "\\" in root:
        return "folders are written with forward slashes"
    if ".." in root.split("/"):
        return "it must not lead upwards (..)"
    return None


def _name_fault(name: str) -> str | None:
    stem = name.partition(".")[0].rstrip(" ").lower()
    hidden = next((char for char in name if _hidden(char)), None)
    if not name.strip():
        return "it is empty"
    if "/" in name or "\\" in name:
        return "it holds a slash, which separates folders"
    if hidden is not None:
        return f"it holds a character that cannot be shown (U+{ord(hidden):04X})"
    if name.startswith("."):
        return "it begins with a dot, so it is hidden"
    if stem in _DEVICES:
        return "Windows keeps that name for a device"
    if len(name.encode()) > MAX_NAME:
        return f"it is longer than {MAX_NAME} bytes"
    return None


def _hidden(char: str) -> bool:
    return char in _BIDI or unicodedata.category(char) in _UNPRINTABLE


def _listed(webui: WebUI) -> str:
    return ", ".join(sorted(webui.extensions))


def _shown(name: str) -> str:
    """Return a name for a message: escaped by repr, and at most 120 characters."""
    text = repr(name)
    return text if len(text) <= 120 else f"{text[:100]}…{text[-16:]}"
