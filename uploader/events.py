"""What a transfer says of itself while it runs; the observer; silence by default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True)
class Message:
    """A sentence for the user. `level` is `info` (of interest), `note` (should be read) or `debug` (with -v)."""

    text: str
    level: Literal["info", "note", "debug"] = "info"


@dataclass(frozen=True)
class Planned:
    """What is ahead, told once before the first item: how many items, and their bytes as far as they are known."""

    items: int
    size: int


@dataclass(frozen=True)
class Began:
    """An item is taken up. `item` names it in the later events; `size` is in bytes, None if not known."""

    item: str
    name: str
    size: int | None


@dataclass(frozen=True)
class Phase:
    """An item enters a stretch of work, such as `downloading`, `checking`, `sending`, `verifying`."""

    item: str
    name: str


@dataclass(frozen=True)
class Progress:
    """How far an item is: `done` bytes, absolute, of which `resumed` came from an earlier run. May fall."""

    item: str
    done: int
    resumed: int = 0


@dataclass(frozen=True)
class Ended:
    """An item is through. `status` is the outcome's word; `detail` is for a person."""

    item: str
    status: str
    detail: str


Event: TypeAlias = Message | Planned | Began | Phase | Progress | Ended
Observer: TypeAlias = Callable[[Event], None]


def silence(event: Event) -> None:
    """The observer that does nothing."""
