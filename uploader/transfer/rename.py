"""The last step: a verified part file gets its final name; and the errors that say why it may not."""

from __future__ import annotations

from uploader.artifact import Digest
from uploader.errors import Busy, Exists, PartHeld, RemoteExists, RemoteMissing, RemoteRefused, WrongBytes
from uploader.events import Message
from uploader.remote.interface import Connection, Entry, Writer
from uploader.transfer.context import TransferContext
from uploader.transfer.values import UploadJob


def place(context: TransferContext, job: UploadJob) -> None:
    """Rename the job's part file to its final name, in one step that never takes another file's name unasked.

    The job's size tells whether an answer that was lost with its connection had been a yes. A part file of another size
    is not the verified one. Raises Exists, Busy, RemoteRefused, RemoteMissing, NetworkError.
    """
    part, path, size = job.part, job.path, job.size
    tried = False

    def rename(connection: Connection) -> bool:
        nonlocal tried
        files = connection.files
        held = files.stat(part) if tried or size >= context.config.restat_bytes else None
        if held is not None and held.size != size:
            raise busy(part)
        if tried and held is None:
            there = files.stat(path)
            if there is not None and there.size == size:
                return True  # it was renamed before the connection was lost; only the answer was missing
            raise RemoteMissing(f"{part} is not there any more", remedy="Run the same command again.")
        tried = True
        if job.mtime is not None:
            files.set_times([(part, job.mtime)])
        if job.replace:
            if job.expected is not None and is_another(files.stat(path), job.expected):
                raise changed(path)
            return files.replace(part, path)
        files.rename(part, path)
        return True

    try:
        if not context.with_connection(rename):
            text = f"the server cannot replace in one step: the old {path} was removed first"
            context.observer(Message(text, "note"))
    except RemoteExists as error:
        raise taken(path) from error


def is_another(there: Entry | None, expected: tuple[int, int | None]) -> bool:
    """Return True if a name no longer has the expected size (bytes) and mtime (seconds). A free name is no change."""
    return there is not None and (there.is_folder or (there.size, there.mtime) != expected)


def changed(path: str) -> RemoteRefused:
    """Return the error: the file to replace has changed since it was listed."""
    return RemoteRefused(f"{path} was changed on the server meanwhile: it stays", remedy="Run the same command again.")


def busy(part: str) -> Busy:
    """Return the error: another program writes the part file."""
    return Busy(
        f"{part} is being written by another program",
        remedy="Another machine, or a run with another $UPLOADER_HOME, may be sending the same file. Let it end first.",
    )


def taken(path: str) -> Exists:
    """Return the error: the final name stands for other bytes."""
    return Exists(
        f"{path} exists already, with other bytes",
        remedy="Give the new one another name with --name, or put it in the old one's place with --replace.",
    )


def wrong_source(name: str, expected: Digest, found: str) -> WrongBytes:
    """Return the error: the source's bytes are not the promised ones."""
    return WrongBytes(
        f"{name} is not the file that was promised:\n  promised {expected}\n  found    {found}",
        remedy="Download it again, or check the sha256 you gave. Nothing was placed.",
    )


def open_part(connection: Connection, path: str, *, fresh: bool, held: bool) -> Writer:
    """Open a part file as `Files.open_writer` does.

    `held`: the server may still know an earlier connection that has the file open. Raises PartHeld, which a retry may
    mend, when such a server refuses without a reason.
    """
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
