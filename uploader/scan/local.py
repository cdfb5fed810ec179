"""Walk of a local folder: its files with size and time, and what cannot take part."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from uploader.errors import SourceChanged, SourceMissing, SourceRefused, UsageError
from uploader.scan.filters import IGNORE_FILE, Filters
from uploader.scan.tree import LocalEntry, LocalTree, Refused, path_fault, spelling

_Id = tuple[int, int]


def scan(folder: Path, filters: Filters, *, growing: Callable[[LocalEntry], bool] | None = None) -> LocalTree:
    """Return the files below `folder` by their spelling.

    A link inside the tree is followed; a folder is followed by one link only. A link is refused when it leads out of
    the tree, nowhere, or to a folder that holds it. A folder that cannot be read makes the tree incomplete. So does a
    file that may still grow, as `growing` tells; it is left out. Raises SourceMissing, SourceRefused and UsageError
    for the folder itself.
    """
    return _Scan(folder, filters, growing).run()


class _Scan:
    def __init__(self, folder: Path, filters: Filters, growing: Callable[[LocalEntry], bool] | None) -> None:
        self._root = folder
        self._filters = filters
        self._growing = growing
        self._tree = LocalTree()
        self._linked: set[_Id] = set()
        self._doubles: set[str] = set()

    def run(self) -> LocalTree:
        try:
            found = self._root.stat()
            self._real = os.path.realpath(self._root)
            if not stat.S_ISDIR(found.st_mode):
                raise UsageError(f"{self._root} is not a folder", remedy="Give the folder that holds your files.")
            with os.scandir(self._root):
                pass
        except FileNotFoundError:
            raise SourceMissing(f"there is no folder {self._root}", remedy="Check the path.") from None
        except OSError as error:
            raise SourceRefused(f"{self._root} cannot be read: {error.strerror}", remedy="May you read it?") from error
        todo: list[tuple[str, tuple[_Id, ...]]] = [("", ((found.st_dev, found.st_ino),))]
        while todo:
            todo += self._folder(*todo.pop())
        for key in self._doubles:
            del self._tree.files[key]
        return self._tree

    def _folder(self, path: str, above: tuple[_Id, ...]) -> list[tuple[str, tuple[_Id, ...]]]:
        inner: list[tuple[str, tuple[_Id, ...]]] = []
        try:
            with os.scandir(os.path.join(self._root, path)) as entries:  # noqa: PTH118 - a hundred thousand of them
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self._refuse(path, f"the folder cannot be read: {error.strerror}", complete=False)
            return []
        self._take_rules(path, found)
        for entry in found:
            below = f"{path}/{entry.name}" if path else entry.name
            try:
                self._entry(entry, below, above, inner)
            except OSError as error:
                self._refuse(below, f"it cannot be read: {error.strerror}", complete=False)
        return inner

    def _take_rules(self, path: str, entries: list[os.DirEntry[str]]) -> None:
        rules = next((entry for entry in entries if entry.name == IGNORE_FILE), None)
        if rules is None:
            return
        try:
            self._filters.add_ignore_file(path, Path(rules.path).read_text("utf-8-sig"))
        except (OSError, UnicodeDecodeError):
            raise SourceRefused(
                f"{rules.path} cannot be read, so it is unknown what to leave out",
                remedy="Make it a text file in UTF-8 that you may read.",
            ) from None

    def _entry(
        self, entry: os.DirEntry[str], path: str, above: tuple[_Id, ...], inner: list[tuple[str, tuple[_Id, ...]]]
    ) -> None:
        if entry.is_symlink() and (fault := self._link_fault(entry, path, above)):
            if self._filters.takes(path):
                self._refuse(path, fault)
            return
        if entry.is_dir():
            if not self._filters.leaves_out(path):
                found = entry.stat() if entry.is_symlink() else entry.stat(follow_symlinks=False)
                inner.append((path, (*above, (found.st_dev, found.st_ino))))
        elif self._filters.takes(path):
            self._file(entry, path)

    def _file(self, entry: os.DirEntry[str], path: str) -> None:
        found = entry.stat()
        if not stat.S_ISREG(found.st_mode):
            self._refuse(path, "it is a device or a pipe, not a file")
            return
        if fault := path_fault(path):
            self._refuse(path, fault)
            return
        here = LocalEntry(path, found.st_size, found.st_mtime_ns)
        if self._growing is not None and self._growing(here):
            self._tree.complete = False
            return
        key = spelling(path)
        if key in self._tree.files:
            self._doubles.add(key)
            self._refuse(path, "two files here have this one name, in two spellings of Unicode")
            return
        self._tree.files[key] = here

    def _link_fault(self, entry: os.DirEntry[str], path: str, above: tuple[_Id, ...]) -> str | None:
        """Return why a link is not followed, or None."""
        real = os.path.realpath(entry.path)
        if not (real == self._real or real.startswith(os.path.join(self._real, ""))):  # noqa: PTH118
            return "it is a link that leads out of the folder"
        try:
            found = Path(real).stat()
        except OSError:
            return "it is a link that leads nowhere"
        if not stat.S_ISDIR(found.st_mode):
            return None
        identity = (found.st_dev, found.st_ino)
        if identity in above:
            return "it is a link to a folder that holds it"
        if identity in self._linked:
            return "it is one more link to a folder that was followed already"
        if not self._filters.leaves_out(path):
            self._linked.add(identity)
        return None

    def _refuse(self, path: str, reason: str, *, complete: bool = True) -> None:
        self._tree.refused.append(Refused(path, reason))
        self._tree.complete = self._tree.complete and complete


_BLOCK = 1 << 20


def read_blocks(folder: Path, here: LocalEntry) -> Iterator[bytes]:
    """Yield a local file's bytes. Raises SourceChanged when it is not what was scanned, SourceRefused."""
    path = folder / here.path
    try:
        with path.open("rb", buffering=0) as file:
            left = here.size
            while left and (block := file.read(min(left, _BLOCK))):
                left -= len(block)
                yield block
            now = os.fstat(file.fileno())
    except OSError as error:
        raise SourceRefused(f"{path} cannot be read: {error.strerror or error}", remedy="May you read it?") from error
    if left or (now.st_size, now.st_mtime_ns) != (here.size, here.mtime_ns):
        raise SourceChanged(
            f"{path} changed while it was read",
            remedy="Wait until the program that writes it is done, then run the same command again.",
        )
