"""Reads a source once, in order, hashing as it goes, and hands its pieces out to whoever sends them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import TypeVar

from uploader.transfer.chunks import Chunk

T = TypeVar("T")


_AHEAD = 3


class ChunkQueue:
    """A thread that reads ahead, a few pieces at most, and the book of which pieces are out and which came back.

    `skip(piece)` says of each piece whether it is on the server already. Whoever takes a piece owes
    `settle` or `give_back` for it. `over` is set when no piece will come any more.
    """

    def __init__(self, chunks: Iterator[Chunk], skip: Callable[[Chunk], bool]) -> None:
        self.over = threading.Event()
        self._chunks = chunks
        self._skip = skip
        self._ready: deque[Chunk] = deque()
        self._returned: deque[Chunk] = deque()
        self._out = 0
        self._read_all = False
        self._stopped = False
        self._fault: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, name="feed", daemon=True)

    def __enter__(self) -> ChunkQueue:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.join(timeout=5.0)

    def stop(self) -> None:
        """Ends the reading; whoever waits for a piece gets None."""
        with self._changed:
            self._stopped = True
            self._tell()

    def take(self, *, wait: bool) -> Chunk | None:
        """The next piece; None when there is none right now (`wait` false) or none will come any more.

        With `wait` it stays as long as a piece that is out may come back. A source that failed is one that ended:
        what was read before is still handed out, and `check` tells.
        """
        with self._changed:
            while not self.over.is_set():
                if self._returned or self._ready:
                    self._out += 1
                    chunk = (self._returned or self._ready).popleft()
                    self._tell()
                    return chunk
                if not wait:
                    return None
                self._changed.wait()
            return None

    def settle(self) -> None:
        """Takes down that a piece which was taken is done with."""
        with self._changed:
            self._out -= 1
            self._tell()

    def give_back(self, chunks: list[Chunk]) -> None:
        """Takes pieces back that were sent and not acknowledged."""
        with self._changed:
            self._out -= len(chunks)
            self._returned.extend(chunks)
            self._tell()

    def check(self) -> None:
        """Raises what the source raised."""
        if self._fault is not None:
            raise self._fault

    def _tell(self) -> None:
        if self._stopped or (self._read_all and not (self._out or self._ready or self._returned)):
            self.over.set()
        self._changed.notify_all()

    def _read(self) -> None:
        try:
            for chunk in self._chunks:
                if not self._skip(chunk) and not self._offer(chunk):
                    return
        except BaseException as error:  # noqa: BLE001 - carried to the caller's thread, which raises it in `check`
            self._fault = error
        finally:
            if isinstance(self._chunks, Generator):
                self._chunks.close()  # what reads ahead for it ends with it
        with self._changed:
            self._read_all = True
            self._tell()

    def _offer(self, chunk: Chunk) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or len(self._ready) < _AHEAD)
            if not self._stopped:
                self._ready.append(chunk)
                self._tell()
            return not self._stopped
