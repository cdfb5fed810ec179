"""A model's tensor names and shapes, with fast search."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PREFIX = re.compile(r"^(?:model\.diffusion_model\.|diffusion_model\.|net\.|model\.)", re.MULTILINE)

_LONGEST = 1024
_MOST_LETTERS = 4 << 20
"""Most characters of all names that are searched. A model has some hundred thousand."""


class Keys:
    """The names as one text, one name a line. One search finds a prefix or an ending among all of them."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.shapes = shapes
        # No known model has a name with a line break, which would pass for two names, or with other characters,
        # or a very long one.
        names = [name for name in shapes if len(name) <= _LONGEST and name.isascii() and "\n" not in name]
        self._text = "\n" + "\n".join(names)[:_MOST_LETTERS] + "\n"
        self._bare = _PREFIX.sub("", self._text)

    def __len__(self) -> int:
        return len(self.shapes)

    def has(self, *names: str) -> bool:
        """Return True if all these names exist in full."""
        return all(name in self.shapes for name in names)

    def starts(self, *prefixes: str) -> bool:
        """Return True if a name starts with one of these."""
        return any(f"\n{prefix}" in self._text for prefix in prefixes)

    def holds(self, *parts: str) -> bool:
        """Return True if one of these is part of a name."""
        return any(part in self._text for part in parts)

    def matches(self, pattern: re.Pattern[str]) -> bool:
        """Return True if the pattern is found. With MULTILINE, `^` is the begin of a name."""
        return pattern.search(self._text) is not None

    def bare(self, *starts: str) -> bool:
        """Return True if a name, without the diffusion model's prefix, starts with one of these."""
        return any(f"\n{start}" in self._bare for start in starts)

    def count(self, starts: tuple[str, ...], ends: tuple[str, ...]) -> int:
        """Return how many names start with one of `starts` or end with one of `ends`."""
        return sum(name.startswith(starts) or name.endswith(ends) for name in self.shapes)

    def width(self, name: str, axis: int = 1) -> int | None:
        """Return the size of one axis of a tensor, with or without the diffusion model's prefix, or None."""
        for prefix in ("", "model.diffusion_model.", "diffusion_model.", "net.", "model."):
            shape = self.shapes.get(prefix + name)
            if shape is not None and len(shape) > axis:
                return shape[axis]
        return None
