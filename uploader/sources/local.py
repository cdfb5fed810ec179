"""Models on this machine's disk: paths and patterns."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import stat
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from uploader.artifact import Artifact, LocalFile
from uploader.errors import NotAModel, Several, SourceChanged, SourceMissing, SourceRefused, UploaderError, UsageError
from uploader.reference import PathReference
from uploader.sources.interface import Stream

_BLOCK = 4 << 20
_ENDS = 1 << 20


def resolve(reference: PathReference) -> list[Artifact]:
    """Return the file that a path names, or the files that a pattern matches, sorted by path.

    A name that exists is never read as a pattern. A pattern ignores folders. Raises UsageError for a folder, a device,
    or a name that is no text. Raises SourceMissing (no such file), SourceRefused (not readable), NotAModel (empty).
    Raises Several when more than one of a pattern's files cannot be used.
    """
    typed = reference.path
    _refuse_odd_name(typed)
    path = _expanded(typed)
    if not _exists(path, typed) and glob.has_magic(typed):
        matches = sorted(match for match in _matches(path) if not Path(match).is_dir())
        if not matches:
            raise SourceMissing(f"no file matches {typed}", remedy="Check the pattern; folders do not count.")
        return _all(matches)
    return [_artifact(typed, path)]


def open(artifact: Artifact) -> Stream:
    """Open what `resolve` returned. Raises SourceMissing, SourceRefused, SourceChanged."""
    stream = LocalStream(artifact)
    stream.check()
    return stream


class LocalStream:
    """A file's bytes. Every read has a handle of its own, so several threads may read at once."""

    def __init__(self, artifact: Artifact) -> None:
        if not isinstance(artifact.origin, LocalFile) or artifact.size is None:
            raise TypeError("a local stream takes an artifact of this source")
        self._source = artifact.source
        self._file = artifact.origin
        self._size = artifact.size

    def read(self, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `offset`, or `length` of them, 4 MiB at a time. Raises SourceChanged, SourceRefused."""
        end = self._size if length is None else min(self._size, offset + length)
        with _named_faults(self._source), self._opened() as file:
            file.seek(offset)
            while offset < end:
                chunk = file.read(min(_BLOCK, end - offset))
                if not chunk:
                    raise self._changed()
                offset += len(chunk)
                yield chunk

    def slice(self, offset: int, length: int) -> bytes:
        """Return at most `length` bytes from `offset`. Raises SourceChanged, SourceRefused."""
        with _named_faults(self._source), self._opened() as file:
            file.seek(offset)
            found = bytearray()
            while missing := min(length, self._size - offset) - len(found):
                chunk = file.read(missing) if missing > 0 else b""
                if not chunk:
                    break
                found += chunk
            return bytes(found)

    def check(self) -> None:
        """Raise SourceChanged when size or time differ from those that `resolve` saw."""
        with _named_faults(self._source):
            self._compare(self._file.path.stat())

    def close(self) -> None:
        """Do nothing: each read closes its own handle."""

    @contextlib.contextmanager
    def _opened(self) -> Iterator[FileIO]:
        # Unbuffered: blocks are big already, and another copy of them costs time.
        with self._file.path.open("rb", buffering=0) as file:
            self._compare(os.fstat(file.fileno()))
            yield file

    def _compare(self, now: os.stat_result) -> None:
        if (now.st_size, now.st_mtime_ns) != (self._size, self._file.mtime_ns):
            raise self._changed()

    def _changed(self) -> SourceChanged:
        return SourceChanged(
            f"{self._source} changed while it was read",
            remedy="Wait until the program that writes it is done, then run the same command again.",
        )


def _matches(pattern: str) -> list[str]:
    # pathlib's glob takes relative patterns alone, and reads hidden files too.
    return glob.glob(pattern, recursive=True)  # noqa: PTH207


def _all(paths: list[str]) -> list[Artifact]:
    artifacts: list[Artifact] = []
    faults: list[UploaderError] = []
    for path in paths:
        try:
            artifacts.append(_artifact(path, path))
        except UploaderError as fault:
            faults.append(fault)
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise Several(faults)
    return artifacts


def _artifact(source: str, path: str) -> Artifact:
    absolute = Path(path).absolute()
    _refuse_odd_name(absolute.name)
    with _named_faults(source):
        found = absolute.stat()
        _refuse_what_is_no_file(source, found)
        with absolute.open("rb", buffering=0) as file:
            found = os.fstat(file.fileno())
            _refuse_what_is_no_file(source, found)
            digest = hashlib.sha256(b"%d\n" % found.st_size)
            digest.update(file.read(_ENDS))
            file.seek(max(found.st_size - _ENDS, 0))
            digest.update(file.read(_ENDS))
    return Artifact(
        source=source,
        name=absolute.name,
        size=found.st_size,
        origin=LocalFile(absolute, found.st_mtime_ns),
        identity=digest.hexdigest()[:8],
    )


def _refuse_what_is_no_file(source: str, found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise UsageError(
            f"{source} is a folder",
            remedy=f"push takes files; give {Path(source) / '*.safetensors'}",
        )
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{source} is a device or a pipe, not a file", remedy="Save it to a file and push that.")
    if found.st_size == 0:
        raise NotAModel(f"{source} is empty (0 bytes)", remedy="Get the file again.")


def _refuse_odd_name(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"the file name {name!a} is not readable text (UTF-8)", remedy="Rename the file, then push it."
        ) from None


def _expanded(typed: str) -> str:
    try:
        return str(Path(typed).expanduser())
    except RuntimeError:
        raise UsageError(f"{typed}: nobody's home folder is known by that name", remedy="Write the path out.") from None


def _exists(path: str, typed: str) -> bool:
    try:
        Path(path).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        # A long pattern may be no possible name at all, and a good pattern none the less.
        if glob.has_magic(typed):
            return False
        raise _named(typed, error) from error
    return True


@contextlib.contextmanager
def _named_faults(source: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _named(source, error) from error


def _named(source: str, error: OSError) -> UploaderError:
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return SourceMissing(f"there is no file {source}", remedy="Check the path.")
        case PermissionError():
            return SourceRefused(f"{source} may not be read by you", remedy="Check the file's permissions.")
        case _:
            return SourceRefused(f"{source} cannot be read: {error.strerror or 'unknown reason'}")
