"""A model's tensor names and shapes, made quick to ask."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PREFIX = re.compile(r"^(?:model\.diffusion_model\.|diffusion_model\.|net\.|model\.)", re.MULTILINE)

_LONGEST = 1024
_MOST_LETTERS = 4 << 20
"""Of all names that are searched: a model has some hundred thousand, and what is beyond tells nothing more."""


class Keys:
    """The names as one text, a line each: a prefix or an ending is found by one search, however many they are."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.shapes = shapes
        # A name with a line break in it belongs to no model that we know; it must not pass for two. Nor does one in
        # other letters than these, or without end.
        names = [name for name in shapes if len(name) <= _LONGEST and name.isascii() and "\n" not in name]
        self._text = "\n" + "\n".join(names)[:_MOST_LETTERS] + "\n"
        self._bare = _PREFIX.sub("", self._text)

    def __len__(self) -> int:
        return len(self.shapes)

    def has(self, *names: str) -> bool:
        """Whether all these names are there, in full."""
        return all(name in self.shapes for name in names)

    def starts(self, *prefixes: str) -> bool:
        """Whether any name starts with any of these."""
        return any(f"\n{prefix}" in self._text for prefix in prefixes)

    def holds(self, *parts: str) -> bool:
        """Whether any of these is part of any name."""
        return any(part in self._text for part in parts)

    def matches(self, pattern: re.Pattern[str]) -> bool:
        """Whether the pattern is found; `^` in one with MULTILINE is a name's beginning."""
        return pattern.search(self._text) is not None

    def bare(self, *starts: str) -> bool:
        """Whether any name starts with any of these once the prefix of the diffusion model is off."""
        return any(f"\n{start}" in self._bare for start in starts)

    def count(self, starts: tuple[str, ...], ends: tuple[str, ...]) -> int:
        """How many names start with any of `starts` or end with any of `ends`."""
        return sum(name.startswith(starts) or name.endswith(ends) for name in self.shapes)

    def width(self, name: str, axis: int = 1) -> int | None:
        """The size of one axis of a tensor, with or without the diffusion model's prefix; None if there is none."""
        for prefix in ("", "model.diffusion_model.", "diffusion_model.", "net.", "model."):
            shape = self.shapes.get(prefix + name)
            if shape is not None and len(shape) > axis:
                return shape[axis]
        return None
