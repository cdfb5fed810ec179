"""What push decides before it sends anything, and what it reports when one item or all of them fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import paramiko
import pytest
from paramiko.sftp import SFTP_PERMISSION_DENIED

from tests.contract.world import CHECKPOINTS, LORAS, MIB, World, sha256, world
from tests.servers.faulty import Forbidding, ObservedServer
from tests.servers.http_origin import Origin
from tests.servers.models import safetensors
from tests.servers.openssh import OpenSSH, needs_sshd
from tests.servers.tcp_proxy import Proxy
from uploader.api import PushRequest
from uploader.artifact import Kind
from uploader.demo.server import EmbeddedServer
from uploader.demo.tree import Tree
from uploader.events import Message
from uploader.result import Report

LINK = "/get/linked.safetensors"
LINKED = f"{CHECKPOINTS}/linked.safetensors"
MODEL = safetensors("checkpoint", size_bytes=2 * MIB, seed=5)


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


# folders and files that may not be read ---------------------------------------------------------------


class _HidingTree(Tree):
    def list_folder(self, path: str) -> list[paramiko.SFTPAttributes] | int:
        if "list" in cast(HidesFiles, self.server).hidden:
            return SFTP_PERMISSION_DENIED
        return super().list_folder(path)

    def stat(self, path: str) -> paramiko.SFTPAttributes | int:
        if path.rpartition("/")[2] in cast(HidesFiles, self.server).hidden:
            return SFTP_PERMISSION_DENIED
        return super().stat(path)


class HidesFiles(ObservedServer):
    """A server that refuses to list folders (`list`), or to stat the named files."""

    tree = _HidingTree
    hidden: frozenset[str] = frozenset()


@pytest.mark.parametrize(
    ("hidden", "statuses"),
    [
        (["list"], ["placed", "placed", "placed"]),
        (["list", "b.safetensors"], ["placed", "failed", "placed"]),
    ],
)
def test_refusal_about_one_item_keeps_no_other_back(tmp_path: Path, hidden: list[str], statuses: list[str]) -> None:
    (tmp_path / "server").mkdir()
    with HidesFiles(tmp_path / "server") as server:
        here = world(tmp_path, server)
        server.hidden = frozenset(hidden)
        report = here.push(*(here.model(f"{letter}.safetensors") for letter in "abc"))
        assert [outcome.status for outcome in report.outcomes] == statuses
        codes = [outcome.error.code for outcome in report.outcomes if outcome.error is not None]
        assert codes == ["permission"] * statuses.count("failed")


def test_folder_that_cannot_be_made_tells_the_refusal(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    with Forbidding(tmp_path / "server", "mkdir") as server:
        here = world(tmp_path, server)
        outcome = here.one(here.model("up.safetensors", preset="upscaler"))
        assert outcome.error is not None
        assert outcome.error.code == "permission"
        assert "models/ESRGAN" in outcome.error.message


# space ------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[World]:
    """Yield an account on a disk of 24 MiB."""
    needs_sshd("full", disk=True)
    with OpenSSH(tmp_path / "server", "full", disk_mib=24) as server:
        yield world(tmp_path, server)


def test_space_is_that_of_the_folder_of_the_kind(tmp_path: Path, small_disk: World) -> None:
    large = tmp_path / "large"
    large.mkdir()
    (small_disk.root / CHECKPOINTS).rmdir()
    (small_disk.root / CHECKPOINTS).symlink_to(large)
    model = small_disk.model(size=40 * MIB)
    small_disk.placed(model)
    assert sha256(large / model.name) == sha256(model)
    assert small_disk.fails(small_disk.model("big.safetensors", 40 * MIB, "lora")) == "space"


def test_push_folders_on_one_disk_share_its_space(small_disk: World) -> None:
    report = small_disk.push(small_disk.model(size=15 * MIB), small_disk.model("b.safetensors", 15 * MIB, "lora"))
    assert [outcome.error and outcome.error.code for outcome in report.outcomes] == [None, "space"]
    assert report.outcomes[1].bytes_sent == 0


def test_push_old_part_counts_as_free_space(small_disk: World) -> None:
    model = small_disk.model(size=15 * MIB)
    (step,) = small_disk.dry(model).steps
    part = small_disk.root / f"{CHECKPOINTS}/dream.safetensors.{step.item.artifact.identity}.part"
    part.write_bytes(bytes(14 * MIB))  # from a run whose upload record is lost
    assert small_disk.placed(model).resumed_from == 0
    assert sha256(small_disk.root / CHECKPOINTS / "dream.safetensors") == sha256(model)


# links without a size ---------------------------------------------------------------------------------


def test_push_link_without_size_keeps_identical_file(here: World, origin: Origin) -> None:
    origin.serve(LINK, MODEL, ranges=False, length="close")
    assert here.placed(origin.url(LINK)).route == "local"
    again = here.one(origin.url(LINK))
    assert (again.status, again.bytes_sent, again.size) == ("kept", 0, len(MODEL))


@pytest.mark.parametrize("size", [len(MODEL), len(MODEL) + 8])
def test_link_without_size_replaces_only_when_told(here: World, origin: Origin, size: int) -> None:
    origin.serve(LINK, MODEL, ranges=False, length="close")
    (here.root / LINKED).write_bytes(bytes(size))
    outcome = here.one(origin.url(LINK))
    assert outcome.error is not None
    assert (outcome.error.code, outcome.bytes_sent) == ("exists", 0)
    assert (here.root / LINKED).read_bytes() == bytes(size)
    here.placed(origin.url(LINK), replace=True)
    assert (here.root / LINKED).read_bytes() == MODEL


# downloads --------------------------------------------------------------------------------------------


class _RecordBlockingTree(Tree):
    def rename(self, oldpath: str, newpath: str) -> int:
        for path in cast(BlocksCacheRecords, self.server).cache.glob(".*.json"):
            path.unlink()
            path.mkdir()
        return super().rename(oldpath, newpath)


class BlocksCacheRecords(ObservedServer):
    """A server that replaces the records in `cache` with folders just before it renames a file.

    No unlink removes a folder, so the program cannot remove the records.
    """

    tree = _RecordBlockingTree
    cache = Path()


def test_download_that_cannot_be_removed_is_only_a_note(tmp_path: Path, origin: Origin) -> None:
    (tmp_path / "server").mkdir()
    with BlocksCacheRecords(tmp_path / "server") as server:
        here = world(tmp_path, server, UPLOADER_CACHE_LIMIT="0")
        server.cache = here.state / "cache"
        origin.serve(LINK, MODEL, ranges=False)
        here.placed(origin.url(LINK))
        assert (here.root / LINKED).read_bytes() == MODEL
        (note,) = [event.text for event in here.events if isinstance(event, Message) and event.level == "note"]
        assert "could not be removed" in note


# names ------------------------------------------------------------------------------------------------


def test_two_sources_of_one_name_are_two_failed_outcomes(here: World) -> None:
    (here.disk / "other").mkdir()
    mine, other = here.model(), here.model("other/dream.safetensors")
    report = here.push(mine, other, here.model("innocent.safetensors"))
    assert [(outcome.source, outcome.name, outcome.kind) for outcome in report.outcomes] == [
        (str(mine), None, None),
        (str(other), None, None),
    ]
    messages = {outcome.error.message for outcome in report.outcomes if outcome.error is not None}
    assert len(messages) == 1
    assert all(str(source) in messages.copy().pop() for source in (mine, other))
    assert here.there == {}


# faults of all items ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dry_run", [False, True])
def test_push_unreachable_server_fails_every_item(tmp_path: Path, dry_run: bool) -> None:
    (tmp_path / "server").mkdir()
    with EmbeddedServer(tmp_path / "server") as server, Proxy(server.host, server.port) as line:
        here = world(tmp_path, server, line=line)
    sources = [here.model(), here.model("style.safetensors", preset="lora")]
    report = here.app.push(PushRequest(tuple(map(str, sources)), dry_run=dry_run))
    assert isinstance(report, Report)
    assert [(o.source, o.name, o.kind, o.route, o.path, o.status) for o in report.outcomes] == [
        (
            str(sources[0]),
            "dream.safetensors",
            Kind.CHECKPOINT,
            "local",
            f"webui/{CHECKPOINTS}/dream.safetensors",
            "failed",
        ),
        (str(sources[1]), "style.safetensors", Kind.LORA, "local", f"webui/{LORAS}/style.safetensors", "failed"),
    ]
    first, second = (outcome.error for outcome in report.outcomes)
    assert first is not None
    assert first == second
    assert (first.code, report.exit_code) == ("network", 5)


def test_push_changed_host_key_fails_every_item(tmp_path: Path) -> None:
    needs_sshd("full")
    with OpenSSH(tmp_path / "server", "full") as server:
        here = world(tmp_path, server)
        server.stop()
        server.start(new_host_key=True)
        report = here.push(here.model(), here.model("b.safetensors"))
        assert [outcome.error and outcome.error.code for outcome in report.outcomes] == ["host-key-changed"] * 2
        assert report.exit_code == 8
