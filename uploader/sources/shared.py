"""One file's bytes for several readers at once, so that what one of them read need not be read again for the others."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator

from uploader.errors import SourceChanged
from uploader.sources.interface import Stream

BLOCK_BYTES = 4 * 1024 * 1024
"""How much is read at once."""

KEPT_BLOCKS = 16
"""How far readers may be apart and still share; one that is further behind reads for itself, and waits for nobody."""


class Shared:
    """A stream of `size` bytes that several readers open. It is open itself while any of them is."""

    def __init__(self, open_stream: Callable[[], Stream], size: int) -> None:
        self._open_stream = open_stream
        self._size = size
        self._lock = threading.Lock()
        self._readers = 0
        self._stream: Stream | None = None
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._coming: dict[int, threading.Event] = {}

    def open(self) -> SharedStream:
        """Open one more reader. Raises what opening the file raises."""
        with self._lock:
            if self._stream is None:
                self._stream = self._open_stream()
            self._readers += 1
            return SharedStream(self, self._stream, self._size)

    def close(self) -> None:
        """One reader less; with the last one goes what was kept."""
        with self._lock:
            self._readers -= 1
            if self._readers == 0 and self._stream is not None:
                self._stream.close()
                self._stream = None
                self._blocks.clear()

    def block(self, stream: Stream, index: int) -> bytes:
        """Return a block, read now unless somebody did a moment ago or is about to."""
        while True:
            with self._lock:
                if index in self._blocks:
                    return self._blocks[index]
                coming = self._coming.get(index)
                if coming is None:
                    mine = self._coming[index] = threading.Event()
            if coming is None:
                return self._read(stream, index, mine)
            coming.wait()

    def _read(self, stream: Stream, index: int, done: threading.Event) -> bytes:
        try:
            data = stream.slice(index * BLOCK_BYTES, BLOCK_BYTES)
            with self._lock:
                self._blocks[index] = data
                while len(self._blocks) > KEPT_BLOCKS:
                    self._blocks.popitem(last=False)
            return data
        finally:
            with self._lock:
                del self._coming[index]
            done.set()


class SharedStream:
    """One reader's view; fulfils Stream."""

    def __init__(self, shared: Shared, stream: Stream, size: int) -> None:
        self._shared = shared
        self._stream = stream
        self._size = size
        self._closed = False

    def read(self, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `offset`, to the end or `length` of them. Raises what the file's own stream raises."""
        end = self._size if length is None else min(self._size, offset + length)
        while offset < end:
            index, within = divmod(offset, BLOCK_BYTES)
            data = self._shared.block(self._stream, index)
            if len(data) < min(BLOCK_BYTES, self._size - index * BLOCK_BYTES):
                self._stream.check()
                raise SourceChanged("the file ended early while it was read", remedy="Run the same command again.")
            wanted = data[within : within + end - offset]
            offset += len(wanted)
            yield wanted

    def slice(self, offset: int, length: int) -> bytes:
        return self._stream.slice(offset, length)

    def check(self) -> None:
        self._stream.check()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._shared.close()
