"""Check of all pickles of a torch file. It refuses by default and never unpickles.

Sources: https://github.com/pytorch/pytorch/blob/main/torch/serialization.py and AUTOMATIC1111's modules/safe.py.
`_save` writes a zip with NAME/data.pkl. The older `_legacy_save` wrote five pickles, then the storages.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass

from uploader.identify.pickle_allowlist import STRICT_MEMBERS
from uploader.identify.pickle_machine import Broken, Machine
from uploader.identify.pickle_values import OPAQUE, Value
from uploader.identify.ranges import Budget, Ranges, Read, TooMuch, Window
from uploader.identify.zips import Doubtful, Member, NoDirectory, ends_as_zip, open_member, read_directory

LARGEST_PICKLE = 16 << 20
"""Most bytes of one pickle, without its storages. The largest have a few megabytes."""

_BUDGET = 64 << 20
"""Most bytes of one file that are unpacked or followed. A few kilobytes may unpack to any number."""

_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PICKLES = 5
_MOST_PICKLES = 64
_MOST_MEMBERS = 256
_DEEPEST_ZIP = 2
_RAW = re.compile(r"[^/]+/(?:data/\d+|version|byteorder|\.format_version|\.storage_alignment|\.data/serialization_id)")
_PICKLE_NAME = re.compile(r".*\.(?:pkl|pickle|p)", re.IGNORECASE | re.DOTALL)
_TOO_MUCH = "more than can be looked through"


@dataclass(frozen=True)
class PickleScan:
    """What the check of all pickles of a file found.

    `findings` are the names and calls outside of the allow list; none means clean. `strict` are harmless items that
    AUTOMATIC1111's own loader refuses. `globals` are the names that are looked up, as (module, name). `unseen`: the
    check was impossible, because the file's size is unknown until all of it is there."""

    findings: tuple[str, ...] = ()
    strict: tuple[str, ...] = ()
    globals: frozenset[tuple[str, str]] = frozenset()
    unseen: bool = False


@dataclass(frozen=True)
class Looked:
    """What was read of a file's pickles.

    `value` is what the main pickle would leave. `expected_size`, in bytes, is what the pickles account for; None when
    they do not tell. `torch`: the layout is torch's. `pickles`: how many were followed to their end."""

    scan: PickleScan
    value: Value = OPAQUE
    expected_size: int | None = None
    torch: bool = False
    pickles: int = 0


def look_at_zip(ranges: Ranges, members: list[Member]) -> Looked:
    """Check the members of a torch zip. Raises what reading raises."""
    machine = Machine()
    value: Value = OPAQUE
    with suppress(TooMuch):  # it is a finding already, and ends the walk
        value = _Walk(machine).members(ranges, members, depth=1)
    strict = [f"{name.partition('/')[2] or name} (in the zip)" for name in _not_strict(members)]
    return Looked(_scan(machine, strict), value, ranges.size, torch=True, pickles=1)


def look_at_stream(ranges: Ranges) -> Looked:
    """Check the pickles that a file begins with. Raises what reading raises."""
    machine = Machine()
    window = Window(ranges.read, 0, ranges.size, LARGEST_PICKLE)
    values: list[Value] = []
    legacy = False
    try:
        while not (legacy and len(values) == _LEGACY_PICKLES) and not (values and window.ended()):
            if len(values) == _MOST_PICKLES:
                raise TooMuch
            values.append(machine.follow(window))
            legacy = values[0] == _MAGIC
        if ends_as_zip(ranges):
            machine.found("a zip behind the pickle, which some programs read instead of it")
    except Broken as broken:
        machine.found("bytes that are no pickle, behind one" if values and not legacy else f"a broken pickle: {broken}")
    except TooMuch:
        machine.found(_TOO_MUCH)
    whole = legacy and len(values) == _LEGACY_PICKLES
    expected = _legacy_size(machine, window.tell()) if whole else None
    if expected is not None and ranges.size is not None and ranges.size > expected:
        machine.found(f"{ranges.size - expected} bytes behind its end")
    value = values[3] if len(values) > 3 and legacy else values[0] if values else OPAQUE
    return Looked(_scan(machine), value, expected, torch=legacy, pickles=len(values))


def _legacy_size(machine: Machine, pickles: int) -> int | None:
    """Return where the file ends. Each storage follows the pickles: a count of eight bytes, then its numbers."""
    total = pickles
    for storage in machine.storages.values():
        if storage.bytes is None:
            return None
        total += 8 + storage.bytes
    return total


def _scan(machine: Machine, strict: list[str] | None = None) -> PickleScan:
    return PickleScan(tuple(machine.findings), (*machine.strict, *(strict or ())), globals=frozenset(machine.globals))


def _not_strict(members: list[Member]) -> list[str]:
    return [member.name[:80] for member in members if not STRICT_MEMBERS.fullmatch(member.name)][:8]


class _Walk:
    """Check the members of a zip, and of zips in it. One that is too large ends the check, as others may be like it."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._budget = Budget(_BUDGET)

    def members(self, ranges: Ranges, members: list[Member], depth: int) -> Value:
        """Return what the main pickle would leave. Raises TooMuch after it added that to the findings."""
        value: Value = OPAQUE
        looked = [member for member in members if not _RAW.fullmatch(member.name)]
        try:
            for member in looked[:_MOST_MEMBERS]:
                left = self._member(ranges, member, depth)
                if member.name.lower().endswith("/data.pkl"):
                    value = left
            if len(looked) > _MOST_MEMBERS:
                raise TooMuch
        except TooMuch:
            self._machine.found(_TOO_MUCH)
            raise
        return value

    def _member(self, ranges: Ranges, member: Member, depth: int) -> Value:
        named_so = _PICKLE_NAME.fullmatch(member.name) is not None
        try:
            read, begin, end = open_member(ranges, member, self._budget)
            start = read(begin, min(4, end - begin))
            if start == b"PK\x03\x04":
                self._nested(read, begin, end, depth)
                return OPAQUE
            window = Window(self._budget.of(read), begin, end, LARGEST_PICKLE)
            value = self._machine.follow(window)
            while not window.ended():
                # Torch loads one pickle of a member. The bytes that follow it are checked, too.
                self._machine.follow(window)
            return value
        except Doubtful as doubtful:
            self._machine.found(str(doubtful))
        except Broken as broken:
            # A text or a picture is no pickle. A member that is named or begins like one is followed to its end.
            if named_so or start[:1] == b"\x80":
                self._machine.found(f"a broken pickle: {broken}")
        return OPAQUE

    def _nested(self, read: Read, begin: int, end: int, depth: int) -> None:
        if end - begin > LARGEST_PICKLE or depth >= _DEEPEST_ZIP:
            raise TooMuch
        content = self._budget.of(read)(begin, end - begin)
        inner = Ranges(content, lambda _offset, _length: b"", len(content), 0)
        try:
            self.members(inner, read_directory(inner), depth + 1)
        except (NoDirectory, Doubtful) as error:
            self._machine.found(f"a zip in the zip that cannot be read: {error or 'it is cut short'}")
