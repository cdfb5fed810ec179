"""A user with a saved target, for the tests of the commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.world import World, serve, world


@pytest.fixture(params=["embedded", "full"])
def every(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, World]]:
    """Yield a server with the fewest abilities and one with all. test_server_shapes.py has the shapes between."""
    with serve(tmp_path / "server", request.param) as server:
        yield request.param, world(tmp_path, server)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    """Yield the embedded server: no shell, no statvfs."""
    with serve(tmp_path / "server", "embedded") as server:
        yield world(tmp_path, server)
