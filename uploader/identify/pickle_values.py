"""What a pickle would build: names, numbers, tables and tensors' shapes, but no objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias


@dataclass(frozen=True, slots=True)
class Global:
    """A name that is looked up in a module of the program that loads the file."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True)
class Storage:
    """A tensor's numbers, which lie outside of the pickle. `key` names them; `bytes` is their size, None if unknown."""

    key: str
    bytes: int | None


@dataclass(frozen=True, slots=True)
class Tensor:
    shape: tuple[int, ...]


@dataclass(slots=True, eq=False)
class Tuple:
    items: list[Value]


@dataclass(slots=True, eq=False)
class Sequence:
    """A list or a set. Only its first items are kept."""

    items: list[Value] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Table:
    """A dictionary. Keys that are neither text nor number are left out."""

    items: dict[str, Value] | None = None

    def put(self, key: Value, value: Value) -> None:
        if isinstance(key, str | int):
            if self.items is None:
                self.items = {}
            self.items[str(key)] = value


@dataclass(slots=True, eq=False)
class Instance:
    """What the call of a global returned. `items` are those set on it or in its state."""

    maker: Global
    items: Table = field(default_factory=Table)


class Opaque:
    """A value that tells nothing: bytes, fractions, truth values, None, a very long text."""


OPAQUE: Final = Opaque()
Value: TypeAlias = str | int | Global | Storage | Tensor | Tuple | Sequence | Table | Instance | Opaque
