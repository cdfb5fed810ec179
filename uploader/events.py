"""Events of a transfer, and the observer that receives them."""

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
    """The work to do, once before the first item: the number of items, and the sum of their known sizes in bytes."""

    items: int
    size: int


@dataclass(frozen=True)
class Began:
    """An item begins. `item` names it in the later events; `size` is in bytes, None if not known."""

    item: str
    name: str
    size: int | None


@dataclass(frozen=True)
class Phase:
    """An item enters a phase, such as `downloading`, `checking`, `sending`, `verifying`."""

    item: str
    name: str


@dataclass(frozen=True)
class Progress:
    """An item has `done` bytes; `resumed` of them came from an earlier run. `done` may fall."""

    item: str
    done: int
    resumed: int = 0


@dataclass(frozen=True)
class Ended:
    """An item has ended. `status` is the outcome's word; `detail` is for a person."""

    item: str
    status: str
    detail: str


Event: TypeAlias = Message | Planned | Began | Phase | Progress | Ended
Observer: TypeAlias = Callable[[Event], None]


def silence(event: Event) -> None:
    """Ignore an event: the default observer."""
