"""Whether the shell and SFTP show the same folders. An account may have its SFTP shut in a folder, and its shell not.

So nothing that the shell says of a file is believed before both have shown the same folder: one writes a mark with a
random name, the other finds it.
"""

from __future__ import annotations

import hashlib
import posixpath
import secrets
import threading
from collections.abc import Mapping, Sequence

from uploader.errors import NetworkError, RemoteMissing, RemoteRefused
from uploader.remote.interface import SmallFile
from uploader.remote.sftp import operations
from uploader.remote.sftp.protocol import SftpProtocol
from uploader.remote.sftp.shell import Shell
from uploader.threads import BackgroundCall

_BLOCK = 4096
_BLOCKS = 16
_PLAIN_REQUEST = 32 * 1024
_LEAST_VALUES = 16
"""Different bytes of a range that tells one file from another. Noughts are in many files."""


class SharedFolders:
    """The folders of one connection that its shell and its SFTP both see. Each is asked for once. Thread-safe."""

    def __init__(self, marks: set[str]) -> None:
        """`marks` holds what lost connections to this target left there; the next one removes it."""
        self._marks = marks
        self.elsewhere = False
        """Whether the shell did not find a mark. Then it sees other folders."""
        self._lock = threading.Lock()
        self._shown: dict[str, bool] = {}

    def known(self, paths: Sequence[str]) -> bool:
        """Return whether the folders of all these files were asked for already."""
        return all(_folder(path) in self._shown for path in paths)

    def holds(self, path: str) -> bool:
        """Return whether both were shown to see the folder of this file."""
        return self._shown.get(_folder(path), False)

    def ask(self, paths: Sequence[str], shell: Shell, protocol: SftpProtocol) -> None:
        """Find out for the folders of all these files that are not known yet.

        Raises RemoteRefused when the shell cannot be asked, and NetworkError."""
        samples = {_folder(path): path for path in paths if "\n" not in path and _folder(path) not in self._shown}
        if not samples:
            return
        _remove(protocol, _taken(self._marks))
        marks = {folder: posixpath.join(folder, _mark()) for folder in samples}
        written = set(marks.values())
        try:
            shown = self._ask(samples, marks, shell, protocol)
        except NetworkError:
            self._marks.update(written)
            raise
        with self._lock:
            self._shown |= shown

    def _ask(
        self, samples: Mapping[str, str], marks: dict[str, str], shell: Shell, protocol: SftpProtocol
    ) -> dict[str, bool]:
        """Return of each folder whether both see it. `samples` holds a file of each, `marks` the mark to write."""
        missing: list[str] = []
        unwritten: list[str] = []

        def write() -> list[str]:
            dialogues = [operations.write(SmallFile(mark, b""), _PLAIN_REQUEST) for mark in marks.values()]
            for folder, fault in zip(samples, operations.run(protocol, dialogues, len(dialogues)), strict=True):
                if fault is not None:
                    (missing if isinstance(fault, RemoteMissing) else unwritten).append(folder)
                    del marks[folder]
            return list(marks.values())

        # The marks go beside the shell's beginning, which takes as many round trips.
        with BackgroundCall(write, name="marks") as writing:
            try:
                told = shell.find_marks(writing.result)
            except RemoteRefused:
                writing.result()
                _remove(protocol, list(marks.values()))
                raise
        found = dict(zip(marks, told, strict=False))
        _remove(protocol, [mark for folder, mark in marks.items() if found.get(folder) != "removed"])
        shown = {folder: found.get(folder) in ("removed", "left") for folder in marks}
        self.elsewhere |= not all(shown.values())
        return shown | _compared({folder: samples[folder] for folder in unwritten}, shell, protocol)


def _mark() -> str:
    """Return a random name that every listing takes for a part file."""
    return f".uploader-{secrets.token_hex(16)}.{secrets.token_hex(4)}.part"


def _taken(marks: set[str]) -> list[str]:
    """Return what the set holds, and empty it. Each mark goes to one thread alone."""
    taken: list[str] = []
    while True:
        try:
            taken.append(marks.pop())
        except KeyError:
            return taken


def _folder(path: str) -> str:
    return posixpath.dirname(path) or "."


def _remove(protocol: SftpProtocol, paths: Sequence[str]) -> None:
    operations.run(protocol, map(operations.remove, paths), operations.NAMES_AT_ONCE)


def _compared(samples: Mapping[str, str], shell: Shell, protocol: SftpProtocol) -> dict[str, bool]:
    """Return for folders that take no mark whether a random range of a file there is the same for both."""
    same: dict[str, bool] = {}
    for folder, path in samples.items():
        (there,) = operations.run(protocol, [operations.stat(path)], 1)
        if there is None or isinstance(there, RemoteRefused):
            continue
        block = secrets.randbelow(max(1, there.size // _BLOCK - _BLOCKS + 1))
        reading = operations.read_range(path, block * _BLOCK, _BLOCK * _BLOCKS, _PLAIN_REQUEST)
        (data,) = operations.run(protocol, [reading], 1)
        if isinstance(data, RemoteRefused):
            continue
        told = len(set(data)) >= _LEAST_VALUES
        same[folder] = told and shell.hash_blocks(path, _BLOCK, block, _BLOCKS) == hashlib.sha256(data).hexdigest()
    return same
