"""The program, and servers that hold a WebUI's folders, for the tests from end to end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.program import Program
from tests.servers.models import write_safetensors
from tests.servers.openssh import OpenSSH
from tests.servers.shared import openssh

REPOSITORY = Path(__file__).parents[2]
ROOT = "home/data"


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    home = tmp_path / "home"
    home.mkdir()
    return Program(home)


@pytest.fixture
def full() -> Iterator[OpenSSH]:
    """A server with a shell, that no target is saved for."""
    with openssh("full") as server:
        server.make_folder(f"{ROOT}/models")
        yield server


@pytest.fixture
def chroot() -> Iterator[OpenSSH]:
    """A server without a shell, whose account has a password, that no target is saved for."""
    with openssh("chroot") as server:
        server.make_folder(f"{ROOT}/models/Stable-diffusion")
        yield server


@pytest.fixture
def box(program: Program, full: OpenSSH) -> OpenSSH:
    """The server with a shell, saved as the target `box`."""
    program.save(full, str(full.home / ROOT))
    return full


@pytest.fixture
def model(program: Program) -> Path:
    path = program.home / "model.safetensors"
    write_safetensors(path, "checkpoint", 3_000_000)
    return path
