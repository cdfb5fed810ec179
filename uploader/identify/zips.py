"""A zip's directory and members, read by ranges. What two programs could read in two ways is refused.

Source: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT (4.3). The directory is at the file's end. Torch's
reader and Python's find it and the members in different ways. A file that they read differently is refused.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from uploader.identify.ranges import Budget, Ranges, Read, TooMuch, of_bytes

MOST_MEMBERS = 1 << 16
LARGEST_UNPACKED = 16 << 20
"""Most bytes that a packed member may unpack to."""

_LARGEST_DIRECTORY = 16 << 20
_END, _END_64, _LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_END_BYTES, _END_64_BYTES, _LOCATOR_BYTES = 22, 56, 20
_STORED, _DEFLATED = 0, 8
_HARMLESS_FLAGS = 0x0800 | 0x0008 | 0x0006  # names in UTF-8, sizes after the data, degree of compression
_MOST_16, _MOST_32 = 0xFFFF, 0xFFFFFFFF


class NoDirectory(Exception):
    """The file ends without a directory: it is cut off."""


class Doubtful(Exception):
    """The zip breaks the format's rules, or could be read in two ways."""


@dataclass(frozen=True)
class Member:
    """An entry of the directory. `header` is the offset of the member's own header; sizes are in bytes."""

    raw_name: bytes
    method: int
    flags: int
    packed: int
    unpacked: int
    header: int

    @property
    def name(self) -> str:
        return self.raw_name.decode("utf-8", errors="backslashreplace")


def read_directory(ranges: Ranges) -> list[Member]:
    """Return all members. The file's size must be known. Raises NoDirectory, Doubtful, TooMuch."""
    count, length, begin = _place(ranges, ranges.size or 0)
    if count > MOST_MEMBERS or length > _LARGEST_DIRECTORY:
        raise TooMuch
    members = _members(ranges.read(begin, length), count)
    _refuse_doubtful(members, begin)
    return members


def _place(ranges: Ranges, size: int) -> tuple[int, int, int]:
    """Return the count of members, and the length and offset of the directory in bytes, from the file's end."""
    tail_at = max(0, size - _END_BYTES - _LOCATOR_BYTES - _END_64_BYTES)
    tail = ranges.read(tail_at, size - tail_at)
    end = tail[-_END_BYTES:]
    if len(end) < _END_BYTES or not end.startswith(_END):
        raise NoDirectory
    if _number(end, 20, 2):
        raise Doubtful("its directory is not at its end")
    if _number(end, 4, 4) or _number(end, 8, 2) != _number(end, 10, 2):
        raise Doubtful("its directory is in several parts")
    place = (_number(end, 10, 2), _number(end, 12, 4), _number(end, 16, 4))
    where = size - _END_BYTES
    locator = tail[:-_END_BYTES][-_LOCATOR_BYTES:]
    if locator.startswith(_LOCATOR_64):
        where -= _LOCATOR_BYTES + _END_64_BYTES
        if _number(locator, 8, 8) != where:
            raise Doubtful("its two directories differ")
        place = _large_place(tail[:_END_64_BYTES], place)
    if place[1] + place[2] != where:
        raise Doubtful("its directory is not where it says")
    return place


def _large_place(record: bytes, small: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the 64-bit numbers of the larger record. Those that fit must equal the smaller record's."""
    if not record.startswith(_END_64) or _number(record, 4, 8) != _END_64_BYTES - 12:
        raise Doubtful("its two directories differ")
    if _number(record, 16, 8) or _number(record, 24, 8) != _number(record, 32, 8):
        raise Doubtful("its directory is in several parts")
    large = (_number(record, 32, 8), _number(record, 40, 8), _number(record, 48, 8))
    for one, other, most in zip(small, large, (_MOST_16, _MOST_32, _MOST_32), strict=True):
        if one not in (most, other):
            raise Doubtful("its two directories differ")
    return large


def _members(directory: bytes, count: int) -> list[Member]:
    members: list[Member] = []
    at = 0
    for _ in range(count):
        fixed = directory[at : at + 46]
        if len(fixed) < 46 or not fixed.startswith(b"PK\x01\x02"):
            raise Doubtful("its directory is broken")
        name_ends = at + 46 + _number(fixed, 28, 2)
        extra_ends = name_ends + _number(fixed, 30, 2)
        sizes = _large(
            [_number(fixed, 24, 4), _number(fixed, 20, 4), _number(fixed, 42, 4)], directory[name_ends:extra_ends]
        )
        name = directory[at + 46 : name_ends]
        members.append(
            Member(
                name, _number(fixed, 10, 2), _number(fixed, 8, 2), packed=sizes[1], unpacked=sizes[0], header=sizes[2]
            )
        )
        at = extra_ends + _number(fixed, 32, 2)
    if at != len(directory):
        raise Doubtful("its directory is broken")
    return members


def _large(sizes: list[int], extra: bytes) -> list[int]:
    """Return the sizes. Those that do not fit in 32 bits come from the extra field 1."""
    at, found = 0, b""
    while at + 4 <= len(extra):
        kind, length = _number(extra, at, 2), _number(extra, at + 2, 2)
        if kind == 1:
            found = extra[at + 4 : at + 4 + length]
            break
        at += 4 + length
    for index, size in enumerate(sizes):
        if size == _MOST_32:
            if len(found) < 8:
                raise Doubtful("its directory leaves out a size")
            sizes[index], found = _number(found, 0, 8), found[8:]
    return sizes


def _refuse_doubtful(members: list[Member], directory_at: int) -> None:
    # Torch ignores the case of names.
    names = {member.raw_name.lower() for member in members}
    if len(names) != len(members):
        raise Doubtful("it holds two members of one name")
    for member in members:
        if b"\0" in member.raw_name:
            raise Doubtful("a member's name holds a zero")
        if member.method == _STORED and member.packed != member.unpacked:
            raise Doubtful(f"the member {member.name[:80]!a} has two sizes")
        if member.header + 30 + len(member.raw_name) + member.packed > directory_at:
            raise Doubtful(f"the member {member.name[:80]!a} does not fit the file")


def open_member(ranges: Ranges, member: Member, budget: Budget) -> tuple[Read, int, int]:
    """Return a `read` for a member, and where the member begins and ends in it.

    Raises Doubtful for one that is encrypted, uses another method than deflate, or has another name in its header.
    Raises TooMuch for one that unpacks to more than `LARGEST_UNPACKED` bytes or the `budget`."""
    fixed = ranges.read(member.header, 30 + len(member.raw_name))
    if not fixed.startswith(b"PK\x03\x04") or fixed[30:] != member.raw_name or _number(fixed, 8, 2) != member.method:
        raise Doubtful(f"the member {member.name[:80]!a} has another name or form in its own header")
    if member.flags & ~_HARMLESS_FLAGS or _number(fixed, 6, 2) & ~_HARMLESS_FLAGS:
        raise Doubtful(f"the member {member.name[:80]!a} is encrypted or marked so")
    begin = member.header + 30 + _number(fixed, 26, 2) + _number(fixed, 28, 2)
    if member.method == _STORED:
        return ranges.read, begin, begin + member.packed
    if member.method != _DEFLATED:
        raise Doubtful(f"the member {member.name[:80]!a} is packed in a way that cannot be looked into")
    if member.packed > LARGEST_UNPACKED:
        raise TooMuch
    budget.spend(member.packed)
    content = _inflated(ranges.read(begin, member.packed), min(LARGEST_UNPACKED, budget.left))
    budget.spend(len(content))
    return of_bytes(content), 0, len(content)


def _inflated(packed: bytes, most: int) -> bytes:
    unpacker = zlib.decompressobj(-15)
    try:
        content = unpacker.decompress(packed, most + 1)
    except zlib.error:
        raise Doubtful("a member cannot be unpacked") from None
    if len(content) > most:
        raise TooMuch
    if not unpacker.eof:
        raise Doubtful("a member cannot be unpacked")
    return content


def ends_as_zip(ranges: Ranges) -> bool:
    """Return True if a file ends like a zip. Some programs look at the end first."""
    if ranges.size is None:
        return False
    length = min(ranges.size, _END_BYTES + _MOST_16)
    tail = ranges.read(ranges.size - length, length)
    at = tail.rfind(_END)
    while at >= 0:
        if at + _END_BYTES + _number(tail, at + 20, 2) == len(tail):
            return True
        at = tail.rfind(_END, 0, at)
    return False


def _number(record: bytes, at: int, width: int) -> int:
    return int.from_bytes(record[at : at + width], "little")
