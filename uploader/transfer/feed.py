"""Reads a source once, in order, hashing as it goes, and hands its pieces out to whoever sends them."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeVar

from uploader.errors import Interrupted, NetworkError, SourceChanged
from uploader.sources.interface import Stream
from uploader.streams import cut

T = TypeVar("T")

PIECE_BYTES = 4 * 1024 * 1024
"""Size of a piece: the unit that is sent, acknowledged, journalled and proven."""

_AHEAD = 3


@dataclass(frozen=True)
class Piece:
    """A stretch of a file."""

    index: int
    data: bytes

    @property
    def offset(self) -> int:
        return self.index * PIECE_BYTES

    @cached_property
    def digest(self) -> str:
        """The sha256 (hex) of the data, taken when it is first asked for: hashing costs as much as sending."""
        return hashlib.sha256(self.data).hexdigest()


class FilePieces(Mapping[int, str]):
    """The digests of a local file's pieces, each read and hashed when it is asked for."""

    def __init__(self, stream: Stream, size: int) -> None:
        self._stream = stream
        self._size = size

    def __getitem__(self, index: int) -> str:
        if not 0 <= index < len(self):
            raise KeyError(index)
        return hashlib.sha256(self._stream.slice(index * PIECE_BYTES, PIECE_BYTES)).hexdigest()

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self)))

    def __len__(self) -> int:
        return -(-self._size // PIECE_BYTES)


@dataclass
class Reading:
    """What is known of a source: the digests of its pieces, and the whole's when all was read in one go.

    `taken` collects the pieces' digests as they are read, for a source that cannot be read again at will; `pieces`
    is that, unless they can be had another way."""

    taken: dict[int, str] | None
    pieces: Mapping[int, str]
    sha256: str | None = None

    @classmethod
    def of_file(cls, stream: Stream, size: int) -> Reading:
        """Of a local file: its pieces are hashed when that is needed, which mostly is never."""
        return cls(None, FilePieces(stream, size))

    @classmethod
    def of_link(cls, known: Mapping[int, str]) -> Reading:
        """Of a source that is read once; `known` are digests from an earlier run."""
        taken = dict(known)
        return cls(taken, taken)


class Retrying(Protocol):
    """Runs a call again while its fault may pass; `progress()` that grows earns it more patience.

    `over`, once set, ends a wait between two tries at once: the call then finds by itself that it has nothing to do.
    """

    def __call__(
        self, call: Callable[[], T], progress: Callable[[], int], /, over: threading.Event | None = None
    ) -> T: ...


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
        if whole is not None:
            whole.update(data)
        piece = Piece(index, data)
        if reading.taken is not None:
            reading.taken[index] = piece.digest
        yield piece
    if done != size:
        raise SourceChanged(
            f"the source is not {size:,} bytes long any more", remedy="Push it again when it is complete."
        )
    if whole is not None:
        reading.sha256 = whole.hexdigest()


class Feed:
    """A thread that reads ahead, a few pieces at most, and the book of which pieces are out and which came back.

    `skip(piece)` says of each piece whether it is on the server already. Whoever takes a piece owes
    `settle` or `give_back` for it. `over` is set when no piece will come any more.
    """

    def __init__(self, pieces: Iterator[Piece], skip: Callable[[Piece], bool]) -> None:
        self.over = threading.Event()
        self._pieces = pieces
        self._skip = skip
        self._ready: deque[Piece] = deque()
        self._returned: deque[Piece] = deque()
        self._out = 0
        self._read_all = False
        self._stopped = False
        self._fault: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, name="feed", daemon=True)

    def __enter__(self) -> Feed:
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

    def take(self, *, wait: bool) -> Piece | None:
        """The next piece; None when there is none right now (`wait` false) or none will come any more.

        With `wait` it stays as long as a piece that is out may come back. A source that failed is one that ended:
        what was read before is still handed out, and `check` tells.
        """
        with self._changed:
            while not self.over.is_set():
                if self._returned or self._ready:
                    self._out += 1
                    piece = (self._returned or self._ready).popleft()
                    self._tell()
                    return piece
                if not wait:
                    return None
                self._changed.wait()
            return None

    def settle(self) -> None:
        """Takes down that a piece which was taken is done with."""
        with self._changed:
            self._out -= 1
            self._tell()

    def give_back(self, pieces: list[Piece]) -> None:
        """Takes pieces back that were sent and not acknowledged."""
        with self._changed:
            self._out -= len(pieces)
            self._returned.extend(pieces)
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
            for piece in self._pieces:
                if not self._skip(piece) and not self._offer(piece):
                    return
        except BaseException as error:  # noqa: BLE001 - carried to the caller's thread, which raises it in `check`
            self._fault = error
        finally:
            if isinstance(self._pieces, Generator):
                self._pieces.close()  # what reads ahead for it ends with it
        with self._changed:
            self._read_all = True
            self._tell()

    def _offer(self, piece: Piece) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or len(self._ready) < _AHEAD)
            if not self._stopped:
                self._ready.append(piece)
                self._tell()
            return not self._stopped


def drain(pieces: Iterator[Piece], cancelled: threading.Event, seen: Callable[[int], None]) -> None:
    """Reads a source to its end for its digests alone. `seen` is told how many bytes were read so far."""
    done = 0
    for piece in pieces:
        if cancelled.is_set():
            raise Interrupted("the transfer was stopped")
        done += len(piece.data)
        seen(done)
