"""What every member of this family owes to its callers: connections, files, and the secrets they may ask for.

Faults are named: members raise only `uploader.errors`. A lost line is NetworkError and the connection is dead after
it; a refusal is RemoteRefused or one of its kinds and the connection lives on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from uploader.errors import RemoteRefused
from uploader.secret import Secret

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


class Many(Protocol):
    """The same operations for many names, which wait for the line once for all and not once for each.

    Each returns an answer for each name, in order. What the server refuses of one stands in its place, as the
    RemoteRefused that it is, and stops none of the others. A lost line is raised.
    """

    def stat(self, paths: Sequence[str]) -> list[Entry | RemoteRefused | None]:
        """What `Files.stat` returns."""

    def look(
        self, paths: Sequence[str], disks: Sequence[str]
    ) -> tuple[list[Entry | RemoteRefused | None], list[Space | RemoteRefused | None]]:
        """What `stat` returns of the paths, and what `Files.space` returns of the disks of some folders."""

    def list_folders(self, paths: Sequence[str]) -> list[list[Entry] | RemoteRefused]:
        """What `Files.list_folder` returns."""

    def make_folders(self, paths: Sequence[str]) -> list[RemoteRefused | None]:
        """What `Files.make_folder` does. None of them is the parent of another."""

    def write(self, files: Sequence[SmallFile]) -> list[RemoteRefused | None]:
        """Writes each file whole and alone: one that was there is emptied first."""

    def read(self, files: Sequence[tuple[str, int]]) -> list[bytes | RemoteRefused]:
        """Returns the first so many bytes of each path; fewer where the file ends before."""

    def rename(self, pairs: Sequence[tuple[str, str]], *, replace: bool) -> list[RemoteRefused | None]:
        """What `Files.rename` does, or with `replace` what `Files.replace` does."""

    def set_times(self, times: Sequence[tuple[str, int]]) -> list[RemoteRefused | None]:
        """Sets when each path was changed last, in seconds since 1970."""


class Files(Protocol):
    """The file operations of one connection. Paths are absolute, as the server names them."""

    @property
    def many(self) -> Many: ...

    @property
    def home(self) -> str:
        """The folder that the login starts in."""

    def resolve(self, path: str) -> str:
        """Makes a path absolute; a relative one begins at `home`. Does not ask whether it exists."""

    def stat(self, path: str) -> Entry | None:
        """Returns what is there, links followed; None when nothing is."""

    def list_folder(self, path: str) -> list[Entry]:
        """Returns a folder's entries in any order. Raises RemoteMissing when there is no such folder."""

    def make_folder(self, path: str) -> None:
        """Makes one folder; its parent must exist. A folder that is there already is fine."""

    def open_writer(self, path: str, *, fresh: bool) -> Writer:
        """Opens for writing, made if missing; `fresh` empties it first."""

    def read(self, path: str, ranges: Iterable[Range]) -> Iterator[bytes]:
        """Yields each range whole, in order, one `bytes` a range. A range past the end comes shorter. What is no
        Sequence is taken range by range and may wait: then one comes as soon as it is there."""

    def rename(self, source: str, destination: str) -> None:
        """Renames; raises RemoteExists rather than take a name that is there."""

    def replace(self, source: str, destination: str) -> bool:
        """Renames over what is there. Returns False when the server could not do that in one step."""

    def remove(self, path: str) -> None:
        """Removes a file; one that is not there is fine."""

    def free_bytes(self, path: str) -> int | None:
        """Returns what this account may still write to the disk of that folder; None when not told."""

    def space(self, path: str) -> Space | None:
        """Returns the disk of that folder; None when not told."""

    def read_link(self, path: str) -> str:
        """Returns where a link leads, as it is written in it."""


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

    def run(self, program: str, feed: bytes = b"", *, patience: float = 30.0) -> str:
        """Runs one line of POSIX sh and returns what it wrote on its standard output.

        The program travels over standard input, and so does `feed`, which it may read after it: neither ever meets
        a command line, whatever shell the account has, and what a login script prints is left out. `patience` is the
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
