"""What the end-to-end tests share: the program, and servers that hold a WebUI's folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.program import Program
from tests.servers.models import write_safetensors
from tests.servers.openssh import OpenSSH, needs_sshd

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    home = tmp_path / "home"
    home.mkdir()
    return Program(home)


@pytest.fixture
def full(tmp_path: Path) -> Iterator[OpenSSH]:
    needs_sshd()
    with OpenSSH(tmp_path / "full") as server:
        server.make_folder("home/data/models")
        yield server


@pytest.fixture
def chroot(tmp_path: Path) -> Iterator[OpenSSH]:
    needs_sshd("chroot")
    with OpenSSH(tmp_path / "chroot", "chroot") as server:
        server.make_folder("home/data/models/Stable-diffusion")
        yield server


@pytest.fixture
def model(program: Program) -> Path:
    path = program.home / "model.safetensors"
    write_safetensors(path, "checkpoint", 3_000_000)
    return path
