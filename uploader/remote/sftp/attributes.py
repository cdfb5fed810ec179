"""How names and attributes are packed in SFTP (draft-ietf-secsh-filexfer-02, section 5)."""

from __future__ import annotations

import stat as modes
import struct
from collections.abc import Iterator

from uploader.errors import RemoteRefused
from uploader.remote.interface import Entry, Space
from uploader.remote.sftp.protocol import Unpacker, string

NO_ATTRIBUTES = struct.pack(">I", 0)
_SIZE, _OWNER, _MODE, _TIMES, _MORE = 0x1, 0x2, 0x4, 0x8, 0x80000000


def packed(path: str) -> bytes:
    """Pack a path. Raises RemoteRefused for one that no server could accept as it is."""
    if "\0" in path:
        raise RemoteRefused(f"{path!r} cannot be a name on a server: it holds a NUL")
    try:
        return string(path)
    except UnicodeEncodeError:
        raise RemoteRefused(f"{path!r} cannot be a name on a server: it is no text") from None


def unpacked_entries(fields: Unpacker) -> Iterator[Entry]:
    """Unpack the names of a listing.

    The protocol leaves the text of `ls -l` open, but most servers send it. It alone tells the number of a file's
    names."""
    for _ in range(fields.number()):
        name = fields.text()
        columns = fields.text().split(None, 2)
        links = int(columns[1]) if len(columns) > 1 and columns[1].isascii() and columns[1].isdigit() else None
        yield unpacked_entry(name, fields, links)


def unpacked_entry(name: str, fields: Unpacker, links: int | None = None) -> Entry:
    """Unpack ATTRS: each field is there when its flag is."""
    flags = fields.number()
    size = fields.long() if flags & _SIZE else 0
    if flags & _OWNER:
        fields.long()
    mode = fields.number() if flags & _MODE else 0
    mtime = None
    if flags & _TIMES:
        fields.number()
        mtime = fields.number()
    if flags & _MORE:
        for _ in range(fields.number()):
            fields.raw()
            fields.raw()
    return Entry(name, size, mtime, modes.S_ISDIR(mode), modes.S_ISLNK(mode), links)


def packed_times(mtime: int) -> bytes:
    """Pack ATTRS that set the times alone, both to `mtime`, in seconds since 1970."""
    return struct.pack(">III", _TIMES, mtime, mtime)


def unpacked_space(fields: Unpacker) -> Space:
    """Unpack the answer to `statvfs@openssh.com` (OpenSSH's PROTOCOL, section 4.3)."""
    numbers = [fields.long() for _ in range(5)]
    return Space(free=numbers[1] * numbers[4], total=numbers[1] * numbers[2])  # f_frsize x f_bavail, f_blocks
