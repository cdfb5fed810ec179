"""Logout: this machine keeps no record of the target."""

from __future__ import annotations

from tests.contract.world import World
from tests.state_rows import rows
from uploader.api import PullRequest, SyncRequest


def test_logout_drops_manifest_records_and_keeps_files(here: World) -> None:
    (here.disk / "a.txt").write_text("a")
    here.app.sync(SyncRequest(str(here.disk), into="outputs"))
    here.app.pull(PullRequest("outputs", str(here.disk / "got")))
    assert {row[:2] for row in rows(here.state, "placed")} == {("canvas", "push"), ("canvas", "pull")}
    here.app.logout("canvas")
    assert rows(here.state, "placed") == []
    assert list(here.there) == ["outputs/a.txt"]
    assert (here.disk / "got/a.txt").exists()
