"""Somebody with a target, for whoever pushes to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.world import World, serve, world


@pytest.fixture(params=["embedded", "full", "sftp_only", "chroot"])
def every(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, World]]:
    """A server of each kind."""
    with serve(tmp_path / "server", request.param) as server:
        yield request.param, world(tmp_path, server)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    """The embedded server: no shell, no statvfs."""
    with serve(tmp_path / "server", "embedded") as server:
        yield world(tmp_path, server)
