"""One complete push on each shape of server that the fixture `every` leaves out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.world import CHECKPOINTS, World, serve, sha256, world
from tests.servers.faulty import NoPosixRename
from uploader.api import PullRequest
from uploader.result import Evidence, Report

DREAM = f"{CHECKPOINTS}/dream.safetensors"


@pytest.fixture(params=["sftp_only", "chroot", "banner", "without posix-rename"])
def shape(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "without posix-rename":
        (tmp_path / "server").mkdir()
        with NoPosixRename(tmp_path / "server") as embedded:
            yield world(tmp_path, embedded)
        return
    with serve(tmp_path / "server", request.param) as server:
        yield world(tmp_path, server)


def test_push_to_each_shape_places_and_keeps_the_model(shape: World) -> None:
    model = shape.model()
    placed = shape.placed(model)
    assert placed.sha256 == sha256(model)
    assert placed.evidence in (Evidence.REMOTE_HASH, Evidence.READ_BACK)
    assert (shape.root / DREAM).read_bytes() == model.read_bytes()
    assert shape.parts == []
    (kept,) = shape.push(model).outcomes
    assert (kept.status, kept.bytes_sent) == ("kept", 0)
    back = shape.app.pull(PullRequest(DREAM, str(shape.disk / "back")))
    assert isinstance(back, Report)
    assert back.ok, back.outcomes
    assert (shape.disk / "back" / model.name).read_bytes() == model.read_bytes()
