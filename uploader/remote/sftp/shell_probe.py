"""Whether commands run on a server, and which tools they find: asked once for all connections to it."""

from __future__ import annotations

import threading

from uploader.errors import NetworkError
from uploader.remote.sftp import shell
from uploader.remote.sftp.transport import Transport
from uploader.threads import BackgroundCall


class Tools:
    """The answer, as soon as it is there. `known` false: the provider is known to have no shell. Thread-safe."""

    def __init__(self, known: bool | None) -> None:
        self._known = known
        self._lock = threading.Lock()
        self._asked: BackgroundCall[tuple[str, ...] | None] | None = None

    def begin(self, transport: Transport, where: str) -> None:
        """Asks over this line unless that was done, and does not wait for the answer."""
        with self._lock:
            if self._asked is None and self._known is not False:
                self._asked = self._ask(transport, where)

    def of(self, transport: Transport, where: str) -> tuple[str, ...] | None:
        """The tools; None where no command runs. Asks again over this line when the one that asked was lost. Raises
        NetworkError."""
        self.begin(transport, where)
        asked = self._asked
        if asked is None:
            return None
        try:
            return asked.result()
        except NetworkError:
            with self._lock:
                again = self._asked if self._asked not in (None, asked) else self._ask(transport, where)
                self._asked = again
            return again.result() if again is not None else None

    def distrust(self) -> None:
        """Count the account as one without a shell from now on."""
        with self._lock:
            self._known, self._asked = False, None

    def _ask(self, transport: Transport, where: str) -> BackgroundCall[tuple[str, ...] | None]:
        def ask() -> tuple[str, ...] | None:
            found = shell.probe(transport, where)
            # A provider that is known to have one has it, also when a busy server denies it.
            return found if found is not None else () if self._known else None

        return BackgroundCall(ask, name="shell-probe")
