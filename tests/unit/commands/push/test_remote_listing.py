from __future__ import annotations

from pathlib import Path

import pytest

from tests.remote_memory import MemoryConnection, MemoryConnector, MemoryFiles, MemoryServer
from uploader.artifact import Artifact, Kind, LocalFile
from uploader.commands.push.plan import Item
from uploader.commands.push.remote_listing import RemoteLook
from uploader.errors import NetworkError, NoPermission
from uploader.placement import part_name
from uploader.remote.interface import Entry
from uploader.state.database import Database
from uploader.state.manifest import Manifests
from uploader.state.uploads import UploadRecords
from uploader.steps import Route

ROOT = "/home/user/webui"
MODELS, LORAS = "models/Stable-diffusion", "models/Lora"


class GuardedFiles(MemoryFiles):
    """Files that record what was asked. Those of `refused` may not be looked at; each folder of `disks` is a disk."""

    def __init__(self, connection: MemoryConnection) -> None:
        super().__init__(connection, None)
        self.refused: set[tuple[str, str]] = set()
        self.asked: list[tuple[str, str]] = []
        self.disks: dict[str, int] = {}

    def stat(self, path: str) -> Entry | None:
        self._ask("stat", path)
        return super().stat(path)

    def list_folder(self, path: str) -> list[Entry]:
        self._ask("list", path)
        return super().list_folder(path)

    def free_bytes(self, path: str) -> int | None:
        self._ask("free", path)
        return self.disks.get(path)

    def _ask(self, what: str, path: str) -> None:
        self.asked.append((what, path))
        if (what, path) in self.refused:
            raise NoPermission(f"cannot {what} {path}")


class Place:
    """A server in memory with the folders of a WebUI, and the records of this machine."""

    def __init__(self, base: Path) -> None:
        self.server = MemoryServer()
        for folder in (MODELS, LORAS):
            self.server.make_folders(f"{ROOT}/{folder}")
        self.connection = MemoryConnector(self.server).connect()
        self.files = self.connection.files = GuardedFiles(self.connection)
        database = Database(base)
        self.uploads = UploadRecords(database)
        self.manifest = Manifests(database).of("box")

    def look(self) -> RemoteLook:
        return RemoteLook(self.connection, "webui", "box", self.uploads, self.manifest, 4 << 20)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def item(name: str, folder: str = MODELS) -> Item:
    artifact = Artifact(name, name, 10, LocalFile(Path("/d") / name, 1), "0123abcd")
    return Item(artifact, Kind.CHECKPOINT, name, Route.LOCAL, f"webui/{folder}/{name}", folder)


def put(place: Place, name: str, size: int) -> None:
    place.server.files[f"{ROOT}/{MODELS}/{name}"] = bytearray(size)


FOUR = [item(f"{n}.safetensors") for n in range(4)]


def test_look_lists_a_folder_of_several_items_once(place: Place) -> None:
    put(place, "1.safetensors", 7)
    put(place, part_name("2.safetensors", "0123abcd"), 5)
    listings = place.look().at(FOUR)
    assert [(listing.final, listing.part) for listing in listings] == [
        (None, None),
        (7, None),
        (None, 5),
        (None, None),
    ]
    assert [asked for asked in place.files.asked if asked[0] == "list"] == [("list", f"{ROOT}/{MODELS}")]


def test_folder_that_cannot_be_listed_is_asked_by_file(place: Place) -> None:
    put(place, "1.safetensors", 7)
    place.files.refused = {("list", f"{ROOT}/{MODELS}")}
    assert [(listing.final, listing.error) for listing in place.look().at(FOUR)] == [
        (None, None),
        (7, None),
        (None, None),
        (None, None),
    ]


def test_look_forbidden_file_is_an_error_of_its_item(place: Place) -> None:
    place.files.refused = {("list", f"{ROOT}/{MODELS}"), ("stat", f"{ROOT}/{MODELS}/2.safetensors")}
    put(place, "3.safetensors", 9)
    listings = place.look().at(FOUR)
    assert [type(listing.error) for listing in listings] == [type(None), type(None), NoPermission, type(None)]
    assert listings[3].final == 9


def test_folder_that_is_refused_fails_its_items_alone(place: Place) -> None:
    place.files.refused = {("stat", f"{ROOT}/{MODELS}")}
    listings = place.look().at([*FOUR, item("x.safetensors", LORAS)])
    assert [listing.error is not None for listing in listings] == [True, True, True, True, False]


def test_look_lost_connection_raises_a_network_error(place: Place) -> None:
    place.connection.interrupt()
    with pytest.raises(NetworkError):
        place.look().at(FOUR)


def test_free_bytes_asks_once_for_each_folder(place: Place) -> None:
    place.files.disks = {ROOT: 1, f"{ROOT}/{MODELS}": 500, f"{ROOT}/{LORAS}": 600}
    assert place.look().free_bytes([*FOUR, item("x.safetensors", LORAS)]) == {MODELS: 500, LORAS: 600}
    assert [path for what, path in place.files.asked if what == "free"] == [f"{ROOT}/{MODELS}", f"{ROOT}/{LORAS}"]


def test_space_of_a_missing_folder_is_that_above_it(place: Place) -> None:
    place.files.disks = {f"{ROOT}/models": 700}
    assert place.look().free_bytes([item("x.pth", "models/ESRGAN")]) == {"models/ESRGAN": 700}


@pytest.mark.parametrize("what", ["free", "stat"])
def test_free_bytes_leaves_out_unknown_folders(place: Place, what: str) -> None:
    place.files.disks = {f"{ROOT}/{LORAS}": 600}
    place.files.refused = {(what, f"{ROOT}/{MODELS}")}
    assert place.look().free_bytes([item("x"), item("y", LORAS)]) == {LORAS: 600}
