"""OpenSSH servers that the tests of one process use one after the other: starting one takes longer than many a test."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.openssh import OpenSSH, Shape, needs_sshd

_idle: defaultdict[Shape, list[OpenSSH]] = defaultdict(list)


@contextmanager
def openssh(shape: Shape = "full") -> Iterator[OpenSSH]:
    """Lend a running server with an empty account; skip the test where this shape cannot run.

    A test that needs more lines of sshd_config, a disk of its own or new keys makes an `OpenSSH` itself."""
    needs_sshd(shape)
    server = _idle[shape].pop() if _idle[shape] else _started(shape)
    try:
        server.reset()
        yield server
    finally:
        _idle[shape].append(server)


def _started(shape: Shape) -> OpenSSH:
    base = Path(tempfile.mkdtemp(prefix="sshd-"))
    base.chmod(0o755)
    server = OpenSSH(base, shape)
    atexit.register(_end, server)
    server.start()
    return server


def _end(server: OpenSSH) -> None:
    server.stop()
    shutil.rmtree(server.base, ignore_errors=True)
