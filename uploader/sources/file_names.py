"""File names that servers send, made safe for any folder."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

_NAME_BYTES = 200
"""A file system's limit of 255, less what a part file's name adds."""

_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])", re.IGNORECASE)


def safe_name(text: str) -> str:
    """Return a server's file name in a form that is safe on any system; "" when nothing is left.

    Removes folders, control characters and leading dots, and changes the names of Windows devices. Keeps at most 200
    bytes, with the ending.
    """
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", text))[-1]
    shown_only = "".join(
        letter for letter in last if unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
    )
    name = re.sub(r"^[\s.]+|[\s.]+$", "", re.sub(r'[<>:"|?*]', "_", shown_only))
    if _DEVICES.fullmatch(name.partition(".")[0].rstrip()):
        name = "_" + name
    ending = PurePosixPath(name).suffix
    if len(ending.encode()) > 20:
        ending = ""
    stem = name.removesuffix(ending) if ending else name
    return stem.encode()[: _NAME_BYTES - len(ending.encode())].decode(errors="ignore") + ending
