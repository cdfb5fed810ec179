"""One TOML table, read strictly: each key by its type, each fault with its address in the file."""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from uploader.errors import ConfigurationError

_Enum = TypeVar("_Enum", bound=StrEnum)
_Value = TypeVar("_Value")
_TYPES: Mapping[type, str] = {
    str: "text in quotes",
    bool: "true or false",
    int: "a whole number",
    list: "a list",
    dict: "a table",
    float: "a number",
    datetime.date: "a date without quotes, such as 2026-11-01",
}


class Table:
    """Reads one table of one file.

    Each method returns a value of its type. A missing or wrong value adds a fault to `faults`, and an empty value is
    returned instead: so one reading finds all faults. The keys that were asked for are the known keys. `close` reports
    all others.
    """

    def __init__(self, data: Mapping[str, object], file: Path, faults: list[ConfigurationError], at: str = "") -> None:
        self.file = file
        self._data = data
        self._faults = faults
        self._at = at
        self._known: list[str] = []

    def fault(self, key: str, problem: str, remedy: str | None = None) -> None:
        """Add a fault of that key."""
        self._faults.append(ConfigurationError(f"{self.file}: {self._address(key)}: {problem}", remedy=remedy))

    def names(self) -> tuple[str, ...]:
        """Return all keys of this table in the file."""
        return tuple(self._data)

    def has(self, key: str) -> bool:
        return key in self._data

    def text(self, key: str) -> str:
        """Return a required text that is not empty."""
        return self.optional_text(key, required=True) or ""

    def optional_text(self, key: str, *, required: bool = False) -> str | None:
        value = self._value(key, str, required=required)
        if value is not None and not value.strip():
            self.fault(key, "is empty")
        return value

    def optional_flag(self, key: str, *, required: bool = False) -> bool | None:
        return self._value(key, bool, required=required)

    def optional_number(self, key: str, lowest: int, highest: int) -> int | None:
        value = self._value(key, int)
        if value is not None and not lowest <= value <= highest:
            self.fault(key, f"{value} is not between {lowest} and {highest}")
        return value

    def date(self, key: str) -> str:
        """Return a required date as YYYY-MM-DD."""
        value = self._value(key, datetime.date, required=True)
        return value.isoformat() if value is not None else ""

    def texts(self, key: str, *, required: bool = False) -> tuple[str, ...]:
        """Return a list of texts. `required` means at least one."""
        values = self._value(key, list, required=required) or []
        if required and self.has(key) and values == [] and isinstance(self._data[key], list):
            self.fault(key, "is empty")
        for index, value in enumerate(values):
            if type(value) is not str or not value.strip():
                self.fault(f"{key}[{index}]", f"must be {_TYPES[str]}, and not empty")
        return tuple(value for value in values if isinstance(value, str))

    def choice(self, key: str, choices: type[_Enum]) -> _Enum | None:
        """Return a required text that is a word of an enumeration."""
        value = self._value(key, str, required=True)
        return None if value is None else self.member(key, value, choices)

    def member(self, key: str, value: str, choices: type[_Enum]) -> _Enum | None:
        """Return the enumeration's member for a word found at `key`."""
        words = [choice.value for choice in choices]
        if value in words:
            return choices(value)
        self.fault(key, f"{value!r} is not known", did_you_mean(value, words))
        return None

    def table(self, key: str) -> Table:
        """Return a table below this one. A missing one is returned empty, and then lacks its required keys."""
        value = self._value(key, dict)
        return Table(value or {}, self.file, self._faults, self._address(key))

    def tables(self, key: str) -> list[Table]:
        """Return the tables of an array ([[key]])."""
        found = []
        for index, value in enumerate(self._value(key, list) or []):
            if isinstance(value, dict):
                found.append(Table(value, self.file, self._faults, self._address(f"{key}[{index}]")))
            else:
                self.fault(f"{key}[{index}]", f"must be {_TYPES[dict]}, written as [[{key}]]")
        return found

    def close(self) -> None:
        """Report every key of the file that was not asked for. A key that the file has already is no suggestion."""
        free = [key for key in self._known if key not in self._data]
        for key in self._data:
            if key not in self._known:
                self.fault(key, "is not a key that belongs here", did_you_mean(key, free))

    def _value(self, key: str, kind: type[_Value], *, required: bool = False) -> _Value | None:
        self._known.append(key)
        if key not in self._data:
            if required:
                self.fault(key, "is missing", f"Add it: {_TYPES[kind]}.")
            return None
        value = self._data[key]
        # `type is`: for isinstance a bool is an int, and a datetime is a date.
        if type(value) is not kind:
            self.fault(key, f"must be {_TYPES[kind]}, and is {_TYPES.get(type(value), 'something else')}")
            return None
        return value

    def _address(self, key: str) -> str:
        return f"{self._at}.{key}" if self._at else key


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Return a remedy for an unknown word: the nearest known one, else all of them, None when there is none."""
    words = list(dict.fromkeys(known))
    return nearest(word, words) or (f"Known here: {', '.join(words)}." if words else None)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return a remedy that names the known word most like `word`, None when none is like it."""
    near = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f"Did you mean {near[0]}?" if near else None
