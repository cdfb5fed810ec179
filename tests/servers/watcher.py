"""A watcher on the server that reads arguments, environments and files all the time.

with Watcher(server.home, ["the secret"]) as watcher:
    ...
assert watcher.found == [] and watcher.rounds > 10
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_MOST = 1 << 20


class Watcher:
    """Looks round and round for `secrets` until the block ends. `found` says where each was seen; `names` are the
    names of the programs that ran."""

    def __init__(self, home: Path, secrets: Sequence[str]) -> None:
        self._home = home
        self._secrets = [secret.encode() for secret in secrets]
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self.found: list[str] = []
        self.names: set[str] = set()
        self.rounds = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.is_set():
            for where, text in (*self._processes(), *self._files()):
                self.found += [f"{where}: {secret!r}" for secret in self._secrets if secret in text]
            self.rounds += 1
            self._done.wait(0.002)

    def _processes(self) -> Iterator[tuple[str, bytes]]:
        for folder in Path("/proc").glob("[0-9]*"):
            for name in ("cmdline", "environ"):
                with suppress(OSError):
                    text = (folder / name).read_bytes()
                    yield f"{folder.name}/{name}", text
                    if name == "cmdline":
                        self.names.add(text.partition(b"\0")[0].decode(errors="replace").rpartition("/")[2])

    def _files(self) -> Iterator[tuple[str, bytes]]:
        with suppress(OSError):
            for path in self._home.rglob("*"):
                yield str(path), str(path).encode()
                with suppress(OSError):
                    if path.is_file():
                        with path.open("rb") as file:
                            yield str(path), file.read(_MOST)
