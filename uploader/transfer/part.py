"""Opening a part file, also one that a connection which is lost may still hold on the server."""

from __future__ import annotations

from uploader.errors import PartHeld, RemoteRefused
from uploader.remote.interface import Connection, Writer


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
