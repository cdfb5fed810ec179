"""Reads a source once, in order, hashing as it goes, and hands its pieces out to whoever sends them."""

from __future__ import annotations

import hashlib
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from uploader.errors import Interrupted, NetworkError, SourceChanged, UploaderError
from uploader.sources.interface import Stream
from uploader.streams import cut

T = TypeVar("T")

PIECE_BYTES = 4 * 1024 * 1024
"""Size of a piece: the unit that is sent, acknowledged, journalled and proven."""

_AHEAD = 3


@dataclass(frozen=True)
class Piece:
    """A stretch of a file. `digest` is the sha256 (hex) of `data`."""

    index: int
    data: bytes
    digest: str

    @property
    def offset(self) -> int:
        return self.index * PIECE_BYTES


@dataclass
class Reading:
    """What was learnt by reading: the digest of every piece read, and the whole's when all was read."""

    pieces: dict[int, str]
    sha256: str | None = None


class Retrying(Protocol):
    """Runs a call again while its fault may pass; `progress()` that grows earns it more patience."""

    def __call__(self, call: Callable[[], T], progress: Callable[[], int], /) -> T: ...


def steady(stream: Stream, offset: int, retrying: Retrying) -> Iterator[bytes]:
    """Yields a stream's bytes from `offset`, read on after a lost line as long as some keep coming."""
    at = offset
    running: Iterator[bytes] | None = None

    def more() -> bytes | None:
        nonlocal running
        running = running or stream.read(at)
        try:
            return next(running, None)
        except NetworkError:
            running = None
            raise

    def reached() -> int:
        return at

    while (data := retrying(more, reached)) is not None:
        at += len(data)
        yield data


def read_pieces(chunks: Iterator[bytes], size: int, first: int, reading: Reading) -> Iterator[Piece]:
    """Yields the pieces of a source from number `first` on. Raises SourceChanged when it is not `size` long."""
    whole = hashlib.sha256() if first == 0 else None
    done = first * PIECE_BYTES
    for index, data in enumerate(cut(chunks, PIECE_BYTES), first):
        done += len(data)
        if done > size:
            break
        digest = hashlib.sha256(data).hexdigest()
        if whole is not None:
            whole.update(data)
        reading.pieces[index] = digest
        yield Piece(index, data, digest)
    if done != size:
        raise SourceChanged(
            f"the source is not {size:,} bytes long any more", remedy="Push it again when it is complete."
        )
    if whole is not None:
        reading.sha256 = whole.hexdigest()


class Feed:
    """A thread that reads ahead, a few pieces at most, and the pieces that came back unsent.

    `skip(index, digest)` says of each piece whether it is on the server already.
    """

    def __init__(self, pieces: Iterator[Piece], skip: Callable[[int, str], bool]) -> None:
        self._pieces = pieces
        self._skip = skip
        self._ready: queue.Queue[Piece | None] = queue.Queue(maxsize=_AHEAD)
        self._returned: deque[Piece] = deque()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._ended = False
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._read, name="feed", daemon=True)

    def __enter__(self) -> Feed:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.join(timeout=5.0)

    def stop(self) -> None:
        """Ends the reading; whoever waits for a piece gets None."""
        self._stop.set()

    def take(self, *, wait: bool) -> Piece | None:
        """The next piece; None when there is none right now (`wait` false) or none will come any more.

        Raises what the source raised.
        """
        with self._lock:
            if self._returned:
                return self._returned.popleft()
        while not self._stop.is_set() and not self._ended:
            try:
                piece = self._ready.get(timeout=0.2) if wait else self._ready.get_nowait()
            except queue.Empty:
                if not wait:
                    return None
                continue
            if piece is None:
                self._ended = True
                break
            return piece
        if self._fault is not None:
            raise self._fault
        return None

    def give_back(self, pieces: list[Piece]) -> None:
        """Takes pieces back that were sent and not acknowledged."""
        with self._lock:
            self._returned.extend(pieces)

    @property
    def exhausted(self) -> bool:
        """Whether nothing will come any more, as far as is known."""
        with self._lock:
            return (self._ended or self._stop.is_set()) and not self._returned

    def _read(self) -> None:
        try:
            for piece in self._pieces:
                if not self._skip(piece.index, piece.digest) and not self._offer(piece):
                    return
        except UploaderError as error:
            self._fault = error
        except OSError as error:  # a local disk that fails half way
            self._fault = SourceChanged(f"the source cannot be read to its end: {error}")
        self._offer(None)

    def _offer(self, piece: Piece | None) -> bool:
        while not self._stop.is_set():
            try:
                self._ready.put(piece, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False


def drain(pieces: Iterator[Piece], cancelled: threading.Event, seen: Callable[[int], None]) -> None:
    """Reads a source to its end for its digests alone. `seen` is told how many bytes were read so far."""
    done = 0
    for piece in pieces:
        if cancelled.is_set():
            raise Interrupted("the transfer was stopped")
        done += len(piece.data)
        seen(done)
