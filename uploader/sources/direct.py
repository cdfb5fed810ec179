"""Models behind an https link."""

from __future__ import annotations

import hashlib
import re
import threading
import unicodedata
from collections.abc import Generator, Iterator
from contextlib import suppress
from inspect import GEN_CLOSED, getgeneratorstate
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from uploader.artifact import MODEL_EXTENSIONS, Artifact, WebFile
from uploader.errors import NotAModel, SourceChanged
from uploader.http import Answer, Http, shown
from uploader.reference import UrlReference
from uploader.sources.interface import Stream

_NAME_BYTES = 200
"""A file system's 255, less what a part file's name adds."""

_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])", re.IGNORECASE)


def resolve(reference: UrlReference, http: Http) -> Artifact:
    """Asks the link what it leads to. Whether that is a model is for its bytes to say (see `identify`).

    Raises UsageError (plain http), NotAModel (nothing in it), CredentialsRefused, SourceMissing, SourceRefused,
    RateLimited, NetworkError.
    """
    answer = http.probe(reference.url)
    source = shown(reference.url)
    if answer.size == 0 or (answer.size is None and not answer.head):
        raise NotAModel(f"{source} leads to an empty file (0 bytes)", remedy="Open the link in a browser to see why.")
    return Artifact(
        source=source,
        name=_name(answer, reference.url),
        size=answer.size,
        origin=WebFile(reference.url, answer.validator, answer.ranges),
        identity=_identity(answer, reference.url),
    )


def open(artifact: Artifact, http: Http) -> Stream:
    """Opens what `resolve` returned. Asks nothing yet: each read is a request of its own."""
    return DirectStream(artifact, http)


class DirectStream:
    """A link's bytes. The link is followed anew by every read, so that a signed address may run out in between."""

    def __init__(self, artifact: Artifact, http: Http) -> None:
        if not isinstance(artifact.origin, WebFile):
            raise TypeError("a direct stream takes an artifact of this source")
        self._file = artifact.origin
        self._size = artifact.size
        self._http = http
        self._open: list[Generator[bytes]] = []
        self._lock = threading.Lock()
        self._changed: SourceChanged | None = None

    def read(self, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yields the bytes from `offset`, to the end or `length` of them. Raises NetworkError (cut), SourceChanged,
        NoRanges, and what `resolve` raises."""
        return self._kept(offset, length, strict=length is not None and self._file.ranges)

    def slice(self, offset: int, length: int) -> bytes:
        """Returns at most `length` bytes from `offset`. Of a server without ranges it reads all that lies before."""
        return b"".join(self._kept(offset, length, strict=False)) if length else b""

    def check(self) -> None:
        """Raises SourceChanged when a read met another file than the first one."""
        if self._changed is not None:
            raise self._changed

    def close(self) -> None:
        """Ends the reads that wait for their next piece. One that waits for the line ends with `Http.close`."""
        with self._lock:
            lines, self._open = self._open, []
        for line in lines:
            with suppress(ValueError):  # running in another thread
                line.close()

    def _kept(self, offset: int, length: int | None, *, strict: bool) -> Iterator[bytes]:
        lines = self._pieces(offset, length, strict=strict)
        with self._lock:
            self._open = [*(other for other in self._open if getgeneratorstate(other) != GEN_CLOSED), lines]
        return lines

    def _pieces(self, offset: int, length: int | None, *, strict: bool) -> Generator[bytes]:
        file = self._file
        try:
            yield from self._http.stream(
                file.url,
                offset=offset,
                length=length,
                validator=file.validator,
                size=self._size,
                ranges=file.ranges,
                strict=strict,
            )
        except SourceChanged as changed:
            self._changed = changed
            raise


def safe_name(text: str) -> str:
    """Makes a name that a server sent fit for a folder of any system: no folders, no control characters, no leading
    dot, no device of Windows, at most 200 bytes with its ending kept. Returns "" when nothing is left."""
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", text))[-1]
    shown_only = "".join(
        letter for letter in last if unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
    )
    name = re.sub(r'[<>:"|?*]', "_", shown_only).strip().lstrip(".").rstrip(". ").lstrip()
    if _DEVICES.fullmatch(name.partition(".")[0].rstrip()):
        name = "_" + name
    ending = PurePosixPath(name).suffix
    if len(ending.encode()) > 20:
        ending = ""
    stem = name.removesuffix(ending) if ending else name
    return stem.encode()[: _NAME_BYTES - len(ending.encode())].decode(errors="ignore") + ending


def _name(answer: Answer, url: str) -> str:
    """What the server calls it, else the last part of the address; the first that ends like a model wins."""
    said = (answer.filename or "", _last(answer.final_url), _last(url))
    names = [name for name in map(safe_name, said) if name]
    for name in names:
        if PurePosixPath(name).suffix.lower() in MODEL_EXTENSIONS:
            return name
    return names[0] if names else "model"


def _last(url: str) -> str:
    return unquote(urlsplit(url).path.rpartition("/")[2])


def _identity(answer: Answer, url: str) -> str:
    """Of the validator, else of the address without its query, which may be signed anew each time."""
    known = answer.validator or url.partition("#")[0].partition("?")[0]
    return hashlib.sha256(f"{known}\n{answer.size}".encode()).hexdigest()[:8]
