"""Locks across processes. Each is a lock file, which the system releases when its process dies."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from uploader.errors import Busy
from uploader.state.folder import unwritable

_WAIT_SECONDS = 10.0
_SPARE_FILES = 512
"""Open files for everything else, beside the lock files."""


@contextmanager
def exclusive(lock_file: Path, what: str, seconds: float = _WAIT_SECONDS) -> Iterator[None]:
    """Hold `lock_file` until the block ends. Create its folder (0700) when it is missing.

    Wait at most `seconds` for another process. Raises Busy, which names `what`, and OSError."""
    lock_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = FileLock(lock_file, timeout=seconds, mode=0o600)
    try:
        lock.acquire()
    except Timeout:
        raise Busy(f"another run of uploader is writing {what}", remedy="Wait until it ends, and try again.") from None
    try:
        yield
    finally:
        lock.release()


class Claims:
    """Names that one run at a time may hold, each as a lock file in one folder (0700)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def hold(self, names: Iterable[str]) -> Iterator[set[str]]:
        """Hold `names` until the block ends or the process dies. Yield those that no other run holds.

        Raises ConfigurationError when the folder cannot be written, Busy when it stays locked."""
        wanted = list(dict.fromkeys(names))
        _allow_open_files(2 * len(wanted))
        held: dict[str, FileLock] = {}
        try:
            with self._gate():
                for name in wanted:
                    key = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]
                    lock = FileLock(self._folder / f"{key}.lock", timeout=0, mode=0o600, thread_local=False)
                    with suppress(Timeout):
                        lock.acquire()
                        held[name] = lock
            yield set(held)
        finally:
            if held:
                self._release(held.values())

    def _release(self, locks: Iterable[FileLock]) -> None:
        try:
            with self._gate():
                for lock in locks:
                    lock.release()
                    with suppress(OSError):
                        Path(lock.lock_file).unlink(missing_ok=True)
        finally:
            for lock in locks:
                lock.release()  # also when the gate failed; a second release does nothing

    @contextmanager
    def _gate(self) -> Iterator[None]:
        """Hold the lock under which lock files are opened and removed.

        Without it, one run could lock a file that another has just removed, while a third locks its successor."""
        try:
            with exclusive(self._folder / "gate.lock", f"its locks in {self._folder}"):
                yield
        except OSError as error:
            raise unwritable(self._folder, error) from error


def _allow_open_files(count: int) -> None:
    """Raise this process's limit of open files: each lock is one, and some systems begin with 256."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + _SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
