"""What every kind of remote owes to its callers: connections, files, and the secrets it may ask for.

Members raise only `uploader.errors`. A lost line is NetworkError, and the connection is dead after it. A refusal is
RemoteRefused or one of its kinds, and the connection goes on.
"""

from __future__ import annotations

import posixpath
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from uploader.errors import RemoteRefused
from uploader.remote.abilities import Abilities
from uploader.secret import Secret

T = TypeVar("T")

Range = tuple[int, int]
"""(offset, length), in bytes."""

RangeLimiter = Callable[[Sequence[Range]], Iterable[Range]]
"""Yields the given ranges, or smaller ones in their place, each when the rate limit lets it be read."""

Copied = Literal["copy", "link"]
"""Whether the second name has bytes of its own or shares the first one's."""


@dataclass(frozen=True)
class Entry:
    """A name in a folder. `size` is in bytes, `mtime` in seconds since 1970, None when not told.

    Only a listing sets `is_link`: it does not follow links, so the other fields are then the link's own. `links` is
    the number of names that the file's bytes have, where a listing tells."""

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
    """A file that is sent in one go. `mtime`, in seconds since 1970, is what it gets where the server sets times."""

    path: str
    data: bytes
    mtime: int | None = None


class Writer(Protocol):
    """A file on the server, open for writes that do not wait for one another. Used by its connection's thread.

    The caller keeps `pending` within the window it wants: `send` does not wait for acknowledgements, but for the
    line's own flow control. `reap` raises the refusal of an earlier write.
    """

    @property
    def request_bytes(self) -> int:
        """The largest number of bytes that one `send` accepts."""

    @property
    def pending(self) -> int:
        """Bytes sent and not acknowledged yet."""

    def send(self, offset: int, data: bytes | memoryview) -> None:
        """Send one write of at most `request_bytes`. Raises NetworkError."""

    def reap(self, *, wait: bool = True) -> list[Range]:
        """Return the writes that were acknowledged since the last call; with `wait`, at least one if any is pending.

        Raises RemoteRefused for a write that the server refuses, NoSpace when its disk is full, and NetworkError."""

    def close(self) -> None:
        """Wait for all answers and close the file. Raises the first refusal, after the file is closed."""


class Files(ABC):
    """The file operations of one connection. Paths are absolute, as the server names them.

    Each operation on names has a batch form, which waits for the line once for all of them. It returns a value for
    each name, in order. A refusal stands in its place as a RemoteRefused and stops none of the others.
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
    """What a server told about itself. `host_key` is `SHA256:...`. `shell`: programs run there. `tools` are the hash
    tools that they find. `extensions` are the SFTP extensions it announced; `request_bytes` is its largest write."""

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
    """A sha256 of the server's file, taken while the file still grows. Thread-safe."""

    def reached(self, size: int) -> None:
        """Tell that the first `size` bytes are on the server. Never raises: `finish` tells of a failure."""

    def finish(self) -> str | None:
        """Wait for the hash (hex) of all that was reached. None when it could not be taken this way, or when the file
        goes on after that."""

    def close(self) -> None:
        """End it, done or not. May be called twice."""


class Channel(Protocol):
    """A stream of bytes to a port that the server reaches. Raises TimeoutError and OSError, as a socket does."""

    def settimeout(self, seconds: float, /) -> object:
        """Set how long each later call may wait."""

    def recv(self, most: int, /) -> bytes:
        """Return what there is, at least one byte; nothing at the end."""

    def sendall(self, data: bytes, /) -> object: ...

    def close(self) -> object: ...


class Shell(Protocol):
    """Runs programs on the server, each in a process of its own. Thread-safe."""

    def run(self, program: str, stdin: bytes = b"", *, silence_seconds: float = 30.0) -> str:
        """Run one line of POSIX sh and return what it writes on its standard output.

        The program travels over standard input, and `stdin` after it. So neither meets a command line, and the
        account's shell does not matter. What a login script prints is left out. `silence_seconds` is the longest
        silence. Raises RemoteRefused when it cannot be run or ends with another status than 0, and NetworkError."""


class Connection(Protocol):
    """One login on a server.

    Used by one thread at a time; `interrupt` may come from any thread. After a NetworkError it is dead and is to be
    closed. After a RemoteRefused it goes on. A method that returns None when the server cannot may be called on any
    server: it costs a question at most.
    """

    @property
    def files(self) -> Files: ...

    @property
    def facts(self) -> ConnectionInfo:
        """What the server told. Waits as `abilities` does."""

    @property
    def abilities(self) -> Abilities:
        """What it can do. Waits until the server has told, which may take as long as its login scripts do."""

    @property
    def shell(self) -> Shell | None:
        """What runs programs there; None for an account that may not. Waits as `abilities` does."""

    @property
    def round_trip(self) -> float:
        """The seconds that a question and its answer took."""

    @property
    def settled(self) -> bool:
        """Whether no answer is outstanding and no file is open. Only then may another caller use it."""

    def hashes(self, path: str, ranges: Sequence[Range]) -> list[str] | None:
        """Return the sha256 (hex) of each range, taken on the server; None when it cannot.

        A range that the file does not cover whole gives the hash of the part that is there."""

    def hash_files(self, paths: Sequence[str]) -> list[str | None] | None:
        """Return the sha256 (hex) of each file, taken on the server by one command; None when it cannot. None stands
        in the place of a file that could not be read."""

    def duplicate(self, source: str, destination: str) -> Copied | None:
        """Give the bytes of a file a second name without sending them; None when the server did not. The destination
        must be free. After a failure a part of the file may be there."""

    def sees(self, *paths: str) -> bool:
        """Return whether `shell` finds under these paths the files that `files` finds there. It is shown, once for
        each folder: an account's SFTP may be shut in a folder that its shell is not."""

    def hash_along(self, path: str) -> RollingDigest | None:
        """Begin to hash a file that still grows; None when the server cannot.

        It goes on beside other uses of the connection, and ends with it."""

    def read_along(self, path: str, limited: RangeLimiter = list) -> RollingDigest | None:
        """As `hash_along`, by reading back what has arrived, on the idle direction of the same line. None when the
        server allows no second SFTP session on this connection."""

    def open_tunnel(self, host: str, port: int, seconds: float) -> Channel:
        """Open a channel from the server to a port of `host`, as the server knows it. It ends with the connection.

        Raises RemoteRefused when the server forwards nothing or no program listens there; NetworkError when that
        takes longer than `seconds`."""

    def interrupt(self) -> None:
        """End it at once, from any thread; calls under way raise NetworkError. Does not wait."""

    def close(self) -> None:
        """End it and wait until its threads have ended. May be called twice."""


class Connector(Protocol):
    """Opens connections to one target, as many as are asked for. Thread-safe.

    `signed_in` is set once the target has accepted us; later connections then ask the user nothing. `round_trip`, in
    seconds, is what is known of the line by then; 0 when nothing is."""

    signed_in: threading.Event
    round_trip: float

    def connect(self) -> Connection:
        """Return a new connection. Leaves no socket or thread when it fails.

        Raises NetworkError, HostKeyUnknown, HostKeyChanged, CredentialsMissing, CredentialsRefused, NoSftp."""


@dataclass(frozen=True)
class Question:
    """One prompt of a server's keyboard-interactive dialogue (RFC 4256). `echo`: the answer may be shown."""

    text: str
    echo: bool


class Secrets(Protocol):
    """Where a connection finds what it must prove. Each answer is offered to the server once."""

    def password(self) -> Secret | None:
        """Return a password that is known without a question to the user."""

    def passphrase(self, key_file: str, *, wrong: Secret | None = None) -> Secret | None:
        """Return the passphrase of an encrypted key file, known or asked for; None when neither. `wrong` is the one
        that was given before and does not open the file."""

    def ask_password(self, account: str) -> Secret | None:
        """Ask the user for the account's password, when none is known or the known one was refused. None when no user
        is there; the known one again when there is no other."""

    def answer(self, title: str, instructions: str, questions: Sequence[Question]) -> list[Secret] | None:
        """Answer a server's questions in order; None when no user is there."""


@dataclass(frozen=True)
class OfferedKey:
    """A host key that is not known yet. `address` is `host` or `[host]:port`."""

    target: str
    address: str
    key_type: str
    fingerprint: str


class HostKeyPolicy(Protocol):
    """Decides whether to trust a host key that is new. Changed keys are refused before."""

    def __call__(self, key: OfferedKey) -> bool: ...
