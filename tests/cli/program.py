"""The program as its users start it: within this process by default, as a process of its own where that matters."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from tests.contract.world import save_target
from tests.servers.openssh import OpenSSH
from uploader.cli import main


@dataclass(frozen=True)
class Done:
    """What a run left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """stdout as the one JSON document that it is."""
        try:
            return json.loads(self.out)
        except ValueError:
            raise AssertionError(f"no JSON document: {self}") from None


@dataclass(frozen=True)
class Program:
    """`uploader` with a home and state of its own below `home`, run in `home`."""

    home: Path

    @property
    def state(self) -> Path:
        return self.home / "state"

    def environment(self, **more: str) -> dict[str, str]:
        kept = {
            name: os.environ[name]
            for name in ("PATH", "PYTHONPATH", "TMPDIR", "SYSTEMROOT", "COVERAGE_PROCESS_CONFIG")
            if name in os.environ
        }
        return {
            **kept,
            "HOME": str(self.home),
            "UPLOADER_HOME": str(self.state),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
            **more,
        }

    def run(self, *arguments: str, stdin: str = "", **more: str) -> Done:
        """Run it within this process. `more` are environment variables. A traceback is a failure of the test."""
        with self._surroundings(stdin, more) as (out, err):
            code = main(arguments)
        return self._checked(Done(code, _text(out), _text(err)), arguments)

    def run_process(self, *arguments: str, stdin: str = "", timeout: float = 90, **more: str) -> Done:
        """Run it as a process of its own, for at most `timeout` seconds; otherwise as `run`."""
        with self.start(*arguments, **more) as process:
            out, err = process.communicate(stdin.encode(), timeout=timeout)
        return self._checked(Done(process.returncode, out.decode(), err.decode()), arguments)

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[bytes]:
        """Start it as a process of its own, and return at once."""
        return subprocess.Popen(
            [sys.executable, "-m", "uploader", *arguments],
            cwd=self.home,
            env=self.environment(**more),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def login(self, server: OpenSSH, root: str, *more: str, **environment: Any) -> Done:
        """Save the server as the target `box`, by the verb `login`."""
        key = () if server.password else ("--identity-file", str(server.identity_file))
        return self.run(
            *("login", "generic", "--name", "box", "--webui", "a1111", "--root", root),
            *("--host", server.host, "--port", str(server.port), "--user", server.user, *key, *more),
            **environment,
        )

    def save(self, server: OpenSSH, root: str) -> None:
        """Save the server as the target `box`, without a connection."""
        save_target(self.state, server, root, name="box")

    @contextmanager
    def _surroundings(self, stdin: str, more: dict[str, str]) -> Iterator[tuple[io.TextIOWrapper, io.TextIOWrapper]]:
        """Give this process the environment, the folder and the streams of a new one."""
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
        with (
            mock.patch.dict(os.environ, self.environment(**more), clear=True),
            mock.patch.multiple(sys, stdin=_stream(stdin), stdout=out, stderr=err),
            mock.patch.object(tempfile, "tempdir", None),
            chdir(self.home),
        ):
            yield out, err

    @staticmethod
    def _checked(done: Done, arguments: tuple[str, ...]) -> Done:
        assert "Traceback" not in done.err, (arguments, done)
        assert "internal error" not in done.err, (arguments, done)
        assert "defect of uploader" not in done.err, (arguments, done)
        return done


def _stream(text: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(text.encode()), "utf-8")


def _text(stream: io.TextIOWrapper) -> str:
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()
