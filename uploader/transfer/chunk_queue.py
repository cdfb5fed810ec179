"""Read a source once and in order, hash it, and hand its chunks to the upload workers."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator

from uploader.transfer.chunks import Chunk


class ChunkQueue:
    """Reads up to `ahead` chunks ahead in a thread. Tracks which chunks are handed out or returned.

    `skip(chunk)` tells whether a chunk is on the server already. A worker that takes a chunk owes one call of `settle`
    or `give_back`. `over` is set when no chunk will come any more.
    """

    def __init__(self, chunks: Iterator[Chunk], skip: Callable[[Chunk], bool], ahead: int) -> None:
        self.over = threading.Event()
        self._chunks = chunks
        self._skip = skip
        self._ahead = ahead
        self._ready: deque[Chunk] = deque()
        self._returned: deque[Chunk] = deque()
        self._out = 0
        self._read_all = False
        self._stopped = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, name="chunk-queue", daemon=True)

    def __enter__(self) -> ChunkQueue:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.join(timeout=5.0)

    def stop(self) -> None:
        """End the reading. Workers that wait for a chunk get None."""
        with self._changed:
            self._stopped = True
            self._notify()

    def take(self, *, wait: bool) -> Chunk | None:
        """Return the next chunk, or None when there is none now (`wait` false) or none will come.

        With `wait`, stays as long as a chunk that is handed out may come back. A source that failed has ended: the
        chunks before the error are still handed out, and `check` raises it.
        """
        with self._changed:
            while not self.over.is_set():
                if self._returned or self._ready:
                    self._out += 1
                    chunk = (self._returned or self._ready).popleft()
                    self._notify()
                    return chunk
                if not wait:
                    return None
                self._changed.wait()
            return None

    def settle(self) -> None:
        """Record that a taken chunk is acknowledged."""
        with self._changed:
            self._out -= 1
            self._notify()

    def give_back(self, chunks: list[Chunk]) -> None:
        """Take back chunks that were sent and not acknowledged."""
        with self._changed:
            self._out -= len(chunks)
            self._returned.extend(chunks)
            self._notify()

    def check(self) -> None:
        """Raise what the source raised."""
        if self._error is not None:
            raise self._error

    def _notify(self) -> None:
        if self._stopped or (self._read_all and not (self._out or self._ready or self._returned)):
            self.over.set()
        self._changed.notify_all()

    def _read(self) -> None:
        try:
            for chunk in self._chunks:
                if not self._skip(chunk) and not self._offer(chunk):
                    return
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread by `check`
            self._error = error
        finally:
            if isinstance(self._chunks, Generator):
                self._chunks.close()  # what reads ahead for it ends with it
        with self._changed:
            self._read_all = True
            self._notify()

    def _offer(self, chunk: Chunk) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or len(self._ready) < self._ahead)
            if not self._stopped:
                self._ready.append(chunk)
                self._notify()
            return not self._stopped
