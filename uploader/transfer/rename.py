"""The last step: a proven part file gets its final name; and why it may not."""

from __future__ import annotations

from collections.abc import Callable

from uploader.artifact import Digest
from uploader.errors import Busy, Exists, PartHeld, RemoteExists, RemoteMissing, RemoteRefused, WrongBytes
from uploader.remote.interface import Connection, Entry, Writer
from uploader.transfer.verify import Using

_LARGE = 4 << 20


def place(
    part: str,
    path: str,
    size: int,
    *,
    replace: bool,
    using: Using,
    say: Callable[[str], None],
    mtime: int | None = None,
    expected: tuple[int, int | None] | None = None,
) -> None:
    """Renames in one step that cannot take another file's place unasked. `size` (bytes) tells whether an answer that
    was lost with its line had been a yes; a part of another size is not the one that was proven. The file gets `mtime`,
    where one is given. `expected` are size and time of the only file that may be replaced, where not any may.

    Raises Exists, Busy, RemoteRefused, RemoteMissing, and what the line raises."""
    tried = False

    def rename(connection: Connection) -> bool:
        nonlocal tried
        files = connection.files
        # A round trip, where it is nothing beside the sending.
        held = files.stat(part) if tried or size >= _LARGE else None
        if held is not None and held.size != size:
            raise busy(part)
        if tried and held is None:
            there = files.stat(path)
            if there is not None and there.size == size:
                return True  # done before the line was lost; only the answer was missing
            raise RemoteMissing(f"{part} is not there any more", remedy="Run the same command again.")
        tried = True
        if mtime is not None:
            files.set_times([(part, mtime)])
        if replace:
            if expected is not None and is_another(files.stat(path), expected):
                raise changed(path)
            return files.replace(part, path)
        files.rename(part, path)
        return True

    try:
        if not using(rename):
            say(f"the server cannot replace in one step: the old {path} was removed first")
    except RemoteExists as error:
        raise taken(path) from error


def is_another(there: Entry | None, expected: tuple[int, int | None]) -> bool:
    """Whether something else has come to a name than what was seen there: size and time, in seconds."""
    return there is not None and (there.is_folder or (there.size, there.mtime) != expected)


def changed(path: str) -> RemoteRefused:
    """A file that was to be replaced is another one by now."""
    return RemoteRefused(f"{path} was changed on the server meanwhile: it stays", remedy="Run the same command again.")


def busy(part: str) -> Busy:
    """Somebody else changes the part file."""
    return Busy(
        f"{part} is being written by somebody else",
        remedy="Another machine, or a run with another $UPLOADER_HOME, may be sending the same file. Let it end first.",
    )


def taken(path: str) -> Exists:
    """The final name stands for other bytes."""
    return Exists(
        f"{path} exists already, with other bytes",
        remedy="Give the new one another name with --name, or put it in the old one's place with --replace.",
    )


def wrong_source(name: str, expected: Digest, found: str) -> WrongBytes:
    """The source's bytes are not the ones that were promised."""
    return WrongBytes(
        f"{name} is not the file that was promised:\n  promised {expected}\n  found    {found}",
        remedy="Download it again, or check the sha256 you gave. Nothing was placed.",
    )


def open_part(connection: Connection, path: str, *, fresh: bool, held: bool) -> Writer:
    """As `Files.open_writer`. With `held` an earlier connection had it open, and may have it still as far as the server
    knows: a refusal that gives no reason is then PartHeld, which is worth another try in a while."""
    try:
        return connection.files.open_writer(path, fresh=fresh)
    except RemoteRefused as error:
        if not held or type(error) is not RemoteRefused:
            raise
        raise PartHeld(
            f"{error.message}; an earlier connection's process may still hold the file there",
            remedy="If it goes on for minutes: is the disk or the quota full, or does another program use that file? "
            "What arrived is kept.",
        ) from error
