"""Fields of a JSON answer, read without trust that a service keeps to its own documentation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypeAlias

Json: TypeAlias = dict[str, "Json"] | list["Json"] | str | int | float | bool | None

_LARGEST = 2**63


class Fields:
    """A JSON object of an answer. A field that is missing or of another type is None or empty."""

    def __init__(self, value: Json = None) -> None:
        self._value = value if isinstance(value, dict) else {}

    def __bool__(self) -> bool:
        return bool(self._value)

    def as_json(self) -> Mapping[str, Json]:
        """Return the object itself."""
        return self._value

    def text(self, name: str) -> str | None:
        """Return a text that is not empty."""
        value = self._value.get(name)
        return value if isinstance(value, str) and value else None

    def whole(self, name: str) -> int | None:
        """Return a whole number of at most 63 bits."""
        value = self._value.get(name)
        number = isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST
        return value if number and isinstance(value, int) else None

    def number(self, name: str) -> float | None:
        """Return a finite number."""
        value = self._value.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _LARGEST:
            return None
        return float(value)

    def flag(self, name: str) -> bool | None:
        value = self._value.get(name)
        return value if isinstance(value, bool) else None

    def inner(self, name: str) -> Fields:
        """Return an object within the object."""
        return Fields(self._value.get(name))

    def each(self, name: str) -> list[Fields]:
        """Return the objects of a list."""
        value = self._value.get(name)
        return [Fields(one) for one in value if isinstance(one, dict)] if isinstance(value, list) else []

    def texts(self, name: str) -> list[str]:
        """Return the texts of a list."""
        value = self._value.get(name)
        return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def read_json(content: bytes) -> Json:
    """Parse JSON. Raises ValueError for text that is no JSON, or that is nested too deep."""
    try:
        value: Json = json.loads(content)
    except RecursionError:
        raise ValueError("nested too deep") from None
    return value
