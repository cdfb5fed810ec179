"""The program as a process of its own, as its users start it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.openssh import OpenSSH


@dataclass(frozen=True)
class Done:
    """What a run left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """stdout as the one JSON document it is."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Program:
    """`uploader` with a home and state of its own below `home`, run in `home`."""

    home: Path

    def environment(self, **more: str) -> dict[str, str]:
        kept = {
            name: os.environ[name]
            for name in ("PATH", "TMPDIR", "SYSTEMROOT", "COVERAGE_PROCESS_CONFIG")
            if name in os.environ
        }
        return {
            **kept,
            "HOME": str(self.home),
            "UPLOADER_HOME": str(self.home / "state"),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
            **more,
        }

    def run(self, *arguments: str, feed: str = "", timeout: float = 60, **more: str) -> Done:
        """Runs it to its end. `more` are environment variables. A traceback is a failure, whoever caused it."""
        with self.start(*arguments, **more) as process:
            out, err = process.communicate(feed.encode(), timeout=timeout)
        done = Done(process.returncode, out.decode(), err.decode())
        assert "Traceback" not in done.err, done.err
        assert "internal error" not in done.err, done.err
        return done

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[bytes]:
        """Starts it and returns at once."""
        return subprocess.Popen(
            [sys.executable, "-m", "uploader", *arguments],
            cwd=self.home,
            env=self.environment(**more),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def login(self, server: OpenSSH, root: str, *more: str, **environment: Any) -> Done:
        """Saves the server as the target `box`."""
        key = () if server.password else ("--identity-file", str(server.identity_file))
        return self.run(
            *("login", "generic", "--name", "box", "--webui", "a1111", "--root", root),
            *("--host", server.host, "--port", str(server.port), "--user", server.user, *key, *more),
            **environment,
        )
