"""The server's side of a pull: a file on the server as a stream."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from uploader.commands.pull.decide import PullStep
from uploader.errors import RemoteMissing, SourceChanged, WrongBytes
from uploader.remote.interface import Entry
from uploader.transfer import TransferContext

_BLOCK = 4 * 255 * 1024
"""Bytes that a read yields at once: four of OpenSSH's largest requests."""


class RemoteStream:
    """The bytes of a file on the server. Fulfils sources.interface.Stream.

    A read keeps one connection and its SFTP pipeline full until it ends. Ask for several chunks at once: the end of
    a read costs two round trips.
    """

    def __init__(self, step: PullStep, context: TransferContext) -> None:
        self._step = step
        self._context = context

    def read(self, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `offset`. Raises SourceChanged when the file became shorter."""
        end = self._step.size if length is None else min(self._step.size, offset + length)
        ranges = [(at, min(_BLOCK, end - at)) for at in range(offset, end, _BLOCK)]
        with self._context.pool.lease() as connection:
            blocks = connection.files.read(self._step.remote, ranges)
            try:
                for (_, size), data in zip(ranges, blocks, strict=True):
                    if len(data) != size:
                        raise changed(self._step)
                    yield data
            finally:
                if isinstance(blocks, Generator):
                    blocks.close()  # before the connection goes back: its answers are on the way

    def slice(self, offset: int, length: int) -> bytes:
        """Return at most `length` bytes from `offset`."""
        return b"".join(self.read(offset, length))

    def check(self) -> None:
        """Raise SourceChanged or RemoteMissing unless the file is the one that was listed."""
        refuse_changed(self._step, self._context.with_connection(lambda it: it.files.stat(self._step.remote)))

    def close(self) -> None:
        """Do nothing: each read returns its connection."""


def refuse_changed(step: PullStep, entry: Entry | None) -> None:
    """Raise SourceChanged or RemoteMissing unless the server's file is the one that was listed."""
    if entry is None:
        raise RemoteMissing(f"{step.key} is not there any more")
    if (entry.size, entry.mtime) != (step.there.size, step.there.mtime):
        raise changed(step)


def changed(step: PullStep) -> SourceChanged:
    """Return the error of a file that is not the one that was listed."""
    return SourceChanged(
        f"{step.key} changed on the server while it was fetched", remedy="Run the same command again when it is whole."
    )


def wrong_bytes(step: PullStep) -> WrongBytes:
    """Return the error of a file whose bytes arrived wrong."""
    return WrongBytes(
        f"{step.key} came with other bytes than the server has",
        remedy="Run the same command again: it starts from the first byte.",
    )
