"""Which files take part: --include, --exclude and .uploadignore, with the rules of gitignore(5)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pathspec import GitIgnoreSpec

from uploader.errors import UsageError

IGNORE_FILE = ".uploadignore"
PART_ENDING = re.compile(r"\.[0-9a-f]{8}\.part$")
"""The end of a part file's name (see placement.part_name)."""
TRASH = ".uploader-trash"

_ALWAYS = (f"/{TRASH}/", IGNORE_FILE)
"""Names that never take part: the trash and the rules themselves. Part files do not, either."""


class Filters:
    """The rules of one sync or pull. Paths are relative to its folder, with forward slashes.

    What is excluded takes no part on either side: it is neither sent nor removed. With `include`, only files that
    match one of its patterns take part. A `.uploadignore` holds for its own folder and all folders below. As with
    git, the rule in the deepest folder wins.
    """

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self._always = GitIgnoreSpec.from_lines(_ALWAYS)
        self._include = _spec("--include", include) if include else None
        self._exclude = _spec("--exclude", exclude) if exclude else None
        self._ignored: dict[str, GitIgnoreSpec] = {}
        self._folders: dict[str, bool] = {"": False}

    def add_ignore_file(self, folder: str, text: str) -> None:
        """Add the rules of a folder's .uploadignore. Raises UsageError when they are not patterns."""
        where = f"{folder}/{IGNORE_FILE}" if folder else IGNORE_FILE
        self._ignored[folder] = _spec(where, text.splitlines())
        self._folders = {"": False}

    def takes(self, path: str) -> bool:
        """Return True if a file takes part."""
        if PART_ENDING.search(path) or self.leaves_out(path.rpartition("/")[0]) or self._is_excluded(path):
            return False
        return self._include is None or self._include.match_file(path)

    def leaves_out(self, folder: str) -> bool:
        """Return True if nothing in a folder takes part."""
        known = self._folders.get(folder)
        if known is None:
            known = self.leaves_out(folder.rpartition("/")[0]) or self._is_excluded(f"{folder}/")
            self._folders[folder] = known
        return known

    def _is_excluded(self, path: str) -> bool:
        if self._always.match_file(path) or (self._exclude is not None and self._exclude.match_file(path)):
            return True
        if not self._ignored:
            return False
        folder = path.rstrip("/").rpartition("/")[0]
        while True:
            spec = self._ignored.get(folder)
            if spec is not None:
                said = spec.check_file(path[len(folder) + 1 :] if folder else path).include
                if said is not None:
                    return said
            if not folder:
                return False
            folder = folder.rpartition("/")[0]


def _spec(where: str, lines: Sequence[str]) -> GitIgnoreSpec:
    try:
        return GitIgnoreSpec.from_lines(lines)
    except ValueError as error:  # pathspec's own errors are ValueErrors
        raise UsageError(f"{where} holds a pattern that cannot be read: {error}", remedy="See gitignore(5).") from error
