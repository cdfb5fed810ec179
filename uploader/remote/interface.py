"""What every member of this family owes to its callers: connections, files, and the secrets they may ask for.

Faults are named: members raise only `uploader.errors`. A lost line is NetworkError and the connection is dead after
it; a refusal is RemoteRefused or one of its kinds and the connection lives on.
"""

from __future__ import annotations

import posixpath
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from uploader.errors import RemoteRefused
from uploader.secret import Secret

T = TypeVar("T")

Range = tuple[int, int]
"""(offset, length), in bytes."""

Paced = Callable[[Sequence[Range]], Iterable[Range]]
"""Gives out the ranges of what is to be read, or smaller ones in their place, each when it may be asked for."""

Copied = Literal["copy", "link"]
"""Whether the second name has bytes of its own or shares the first one's."""


@dataclass(frozen=True)
class Entry:
    """A name in a folder. `size` in bytes, `mtime` in seconds since 1970, None if not told. `is_link`: only a
    listing says so; it does not follow links, so the rest is then the link's own. `links`: how many names the file's
    bytes have, where a listing tells."""

    name: str
    size: int
    mtime: int | None
    is_folder: bool
    is_link: bool = False
    links: int | None = None


@dataclass(frozen=True)
class Space:
    """A disk, in bytes: what this account may still write, and how large it is."""

    free: int
    total: int


@dataclass(frozen=True)
class SmallFile:
    """A file small enough to be sent in one go. `mtime`, in seconds since 1970, is what it is to get; servers that
    set no times leave it out."""

    path: str
    data: bytes
    mtime: int | None = None


class Writer(Protocol):
    """A file on the server, open for writes that do not wait for one another.

    The caller keeps `pending` within the window it wants: `send` itself does not wait for acknowledgements (the
    line's own flow control apart). A write that the server refuses is raised by `reap`.
    """

    @property
    def request_bytes(self) -> int:
        """The largest piece one `send` takes."""

    @property
    def pending(self) -> int:
        """Bytes sent and not acknowledged yet."""

    def send(self, offset: int, data: bytes | memoryview) -> None:
        """Sends one write of at most `request_bytes`."""

    def reap(self, *, wait: bool = True) -> list[Range]:
        """Returns the writes that were acknowledged since; with `wait`, at least one if any is pending."""

    def close(self) -> None:
        """Closes the file on the server. Unacknowledged writes may or may not have arrived."""


class Files(ABC):
    """The file operations of one connection. Paths are absolute, as the server names them.

    Each operation on names has a batch form, which waits for the line once for all and not once for each. It returns
    a value for each name, in order. A refusal stands in its place as a RemoteRefused and stops none of the others.
    The single forms follow from the batch forms; they raise the refusal.

    Used by one thread at a time. A lost line is raised as NetworkError, also by a batch: each of its operations may
    then have happened or not. All may be called again; only `rename_all` and `replace_all` then find another state.
    """

    # the batch forms ----------------------------------------------------------------------------------

    @abstractmethod
    def stat_all(self, paths: Sequence[str]) -> list[Entry | RemoteRefused | None]:
        """Return what is there, links followed; None when nothing is."""

    @abstractmethod
    def spaces(self, paths: Sequence[str]) -> list[Space | RemoteRefused | None]:
        """Return the disk of each folder; None when the server does not tell."""

    def stat_and_spaces(
        self, paths: Sequence[str], folders: Sequence[str]
    ) -> tuple[list[Entry | RemoteRefused | None], list[Space | RemoteRefused | None]]:
        """Return `stat_all` of the paths and `spaces` of the folders, in the time of one question where that can be."""
        return self.stat_all(paths), self.spaces(folders)

    @abstractmethod
    def list_folders(self, paths: Sequence[str]) -> list[list[Entry] | RemoteRefused]:
        """Return each folder's entries in any order; RemoteMissing when there is no such folder."""

    @abstractmethod
    def make_folders(self, paths: Sequence[str]) -> list[RemoteRefused | None]:
        """Make folders whose parents exist; none is the parent of another. One that is there already is fine."""

    @abstractmethod
    def write_all(self, files: Sequence[SmallFile]) -> list[RemoteRefused | None]:
        """Write each file whole. One that was there is emptied first. After a refusal a part of it may be there."""

    @abstractmethod
    def read_all(self, files: Sequence[tuple[str, int]]) -> list[bytes | RemoteRefused]:
        """Return the first bytes of each path, as many as are asked for; fewer where the file ends before."""

    @abstractmethod
    def rename_all(self, pairs: Sequence[tuple[str, str]]) -> list[RemoteRefused | None]:
        """Rename each source to its destination. A name that is taken gives RemoteExists and stays as it is."""

    @abstractmethod
    def replace_all(self, pairs: Sequence[tuple[str, str]]) -> list[bool | RemoteRefused]:
        """Rename each source over what is there. False: the server could not do that in one step, and the
        destination was gone for a moment."""

    @abstractmethod
    def remove_all(self, paths: Sequence[str]) -> list[RemoteRefused | None]:
        """Remove files; one that is not there is fine."""

    @abstractmethod
    def set_times(self, times: Sequence[tuple[str, int]]) -> list[RemoteRefused | None]:
        """Set when each path was changed last, in seconds since 1970."""

    @abstractmethod
    def read_links(self, paths: Sequence[str]) -> list[str | RemoteRefused]:
        """Return where each link leads, as it is written in it."""

    # the single forms ---------------------------------------------------------------------------------

    def stat(self, path: str) -> Entry | None:
        return only(self.stat_all([path]))

    def space(self, path: str) -> Space | None:
        """Return the disk of that folder; None when not told, also for a folder that is not there."""
        (space,) = self.spaces([path])
        return None if isinstance(space, RemoteRefused) else space

    def free_bytes(self, path: str) -> int | None:
        """Return what this account may still write to the disk of that folder, in bytes; None when not told."""
        space = self.space(path)
        return space.free if space else None

    def list_folder(self, path: str) -> list[Entry]:
        return only(self.list_folders([path]))

    def make_folder(self, path: str) -> None:
        only(self.make_folders([path]))

    def rename(self, source: str, destination: str) -> None:
        only(self.rename_all([(source, destination)]))

    def replace(self, source: str, destination: str) -> bool:
        return only(self.replace_all([(source, destination)]))

    def remove(self, path: str) -> None:
        only(self.remove_all([path]))

    def read_link(self, path: str) -> str:
        return only(self.read_links([path]))

    # one file's bytes, and names without the server ------------------------------------------------------

    home: str
    """The folder that the login starts in."""

    def resolve(self, path: str) -> str:
        """Return a path as an absolute one; a relative one begins at `home`. Does not ask whether it exists."""
        absolute = posixpath.normpath(posixpath.join(self.home, path))
        return absolute.removeprefix("/") if absolute.startswith("//") else absolute

    @abstractmethod
    def open_writer(self, path: str, *, fresh: bool) -> Writer:
        """Open a file for writing, made if missing; `fresh` empties it first. Raises RemoteRefused."""

    @abstractmethod
    def read(self, path: str, ranges: Iterable[Range]) -> Iterator[bytes]:
        """Yield each range whole, in order, one `bytes` a range. A range past the end comes shorter.

        What is no Sequence is taken range by range and may wait: then one comes as soon as it is there. A reader
        that stops early closes the iterator. Raises RemoteRefused."""


def only(answers: Sequence[T | RemoteRefused]) -> T:
    """Return the one answer of a batch. Raises it when it is a refusal."""
    (answer,) = answers
    if isinstance(answer, RemoteRefused):
        raise answer
    return answer


@dataclass(frozen=True)
class ConnectionInfo:
    """What one look at a server told. `host_key` is `SHA256:...`; `shell` whether commands run; `tools` the
    hash tools found by it; `extensions` the SFTP extensions it announced; `request_bytes` its largest write."""

    software: str
    host_key: str
    key_type: str
    auth: str
    home: str
    shell: bool
    tools: tuple[str, ...]
    extensions: tuple[str, ...]
    request_bytes: int


class RollingDigest(Protocol):
    """A sha256 of the server's file, taken while it still grows. `reached` may be called from any thread."""

    def reached(self, size: int) -> None:
        """Says that the first `size` bytes are on the server. Never raises: `finish` tells."""

    def finish(self) -> str | None:
        """Waits for the hash (hex) of all that was reached; None when it cannot be had this way after all, or when the
        file goes on behind that."""

    def close(self) -> None:
        """Ends it, done or not."""


class Channel(Protocol):
    """A stream of bytes to a port that the server reaches. Its calls raise TimeoutError and OSError, as a socket's."""

    def settimeout(self, seconds: float, /) -> object:
        """How long each call may wait from here on."""

    def recv(self, most: int, /) -> bytes:
        """Returns what there is, at least one byte; nothing at the end."""

    def sendall(self, data: bytes, /) -> object: ...

    def close(self) -> object: ...


class Shell(Protocol):
    """Runs programs of ours on the server, each in a process of its own."""

    def run(self, program: str, feed: bytes = b"", *, silence_seconds: float = 30.0) -> str:
        """Runs one line of POSIX sh and returns what it wrote on its standard output.

        The program travels over standard input, and so does `feed`, which it may read after it: neither ever meets
        a command line, whatever shell the account has, and what a login script prints is left out. `silence_seconds` is the
        longest silence, in seconds. Raises RemoteRefused when it cannot be run or ends with another status than 0."""


class Connection(Protocol):
    """One login on a server."""

    @property
    def files(self) -> Files: ...

    @property
    def facts(self) -> ConnectionInfo: ...

    @property
    def shell(self) -> Shell | None:
        """What runs commands there; None for an account that may not."""

    @property
    def round_trip(self) -> float:
        """The seconds that a question and its answer took."""

    @property
    def settled(self) -> bool:
        """Whether nothing is under way: no answer outstanding, no file open. Only then may somebody else use it."""

    @property
    def can_hash(self) -> bool:
        """Whether `hashes` has means, as far as that can be known beforehand."""

    def hashes(self, path: str, ranges: Sequence[Range]) -> list[str] | None:
        """Returns the sha256 (hex) of each range, taken on the server; None when it has no means to.

        A range that the file does not cover whole gives the hash of what there is of it."""

    def hash_files(self, paths: Sequence[str]) -> list[str | None] | None:
        """Returns the sha256 (hex) of each file, taken on the server by one command; None in the place of a file that
        could not be read, and instead of the list when the server has no means to."""

    @property
    def duplicates(self) -> bool:
        """Whether the server has means to copy or link a file by itself."""

    def duplicate(self, source: str, destination: str) -> Copied | None:
        """Gives the bytes of a file a second name without sending them; None when the server did not. The destination
        must be free; what is there after a failure is no whole file."""

    def hash_along(self, path: str) -> RollingDigest | None:
        """Begins to hash a file that is there and still grows; None when the server has no means to.

        It goes on beside other uses of the connection, and ends with it."""

    def open_tunnel(self, host: str, port: int, seconds: float) -> Channel:
        """Opens a line from the server to a port of `host`, as the server knows it; it ends with the connection.

        Raises RemoteRefused when the server forwards nothing, or nobody listens there; NetworkError when that takes
        longer than `seconds`."""

    def read_along(self, path: str, limited: Paced) -> RollingDigest | None:
        """As `hash_along`, by reading back what has arrived, on the idle direction of the same line; None when the
        server allows no second SFTP session beside this one."""

    def interrupt(self) -> None:
        """Ends it at once, from any thread; calls under way raise NetworkError."""

    def close(self) -> None:
        """Ends it."""


class Connector(Protocol):
    """Opens connections to one target, as many as asked for.

    `signed_in` is set once the target has let us in: the next connections ask nobody anything. `round_trip`, in
    seconds, is what is known of the line by then; 0 when nothing is."""

    signed_in: threading.Event
    round_trip: float

    def connect(self) -> Connection:
        """Raises NetworkError, HostKeyUnknown, HostKeyChanged, CredentialsMissing, CredentialsRefused, NoSftp."""


@dataclass(frozen=True)
class Question:
    """One prompt of a server's keyboard-interactive dialogue (RFC 4256). `echo`: the answer may be shown."""

    text: str
    echo: bool


class Secrets(Protocol):
    """Where a connection finds what it must prove. Each answer is offered to the server once, never again."""

    def password(self) -> Secret | None:
        """A password known without asking anybody."""

    def passphrase(self, key_file: str, *, wrong: Secret | None = None) -> Secret | None:
        """The passphrase of an encrypted key file: known, or asked for; None when neither. `wrong` is the one that
        was given before and does not open it."""

    def ask_password(self, account: str) -> Secret | None:
        """Asks a person for the account's password, when none is known or the known one was refused. None when there
        is nobody to ask; the known one again when no other is to be had."""

    def answer(self, title: str, instructions: str, questions: Sequence[Question]) -> list[Secret] | None:
        """Answers a server's questions in order; None when there is nobody to ask."""


@dataclass(frozen=True)
class OfferedKey:
    """A host key that nobody has vouched for. `address` is `host` or `[host]:port`."""

    target: str
    address: str
    key_type: str
    fingerprint: str


class HostKeyPolicy(Protocol):
    """Decides about a host key that is new. Changed keys never come here."""

    def __call__(self, key: OfferedKey) -> bool: ...
