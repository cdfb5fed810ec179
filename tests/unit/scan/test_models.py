"""The model files of a target, listed level by level."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import Any

import pytest

from tests.remote_memory import MemoryFiles, MemoryServer
from tests.unit.scan.test_remote import BASE, Linked, connection
from uploader.artifact import Kind
from uploader.errors import NoPermission
from uploader.remote.interface import Entry
from uploader.scan.models import ModelFolders

FOLDERS = {Kind.CHECKPOINT: "models/Stable-diffusion", Kind.LORA: "models/Lora", Kind.EMBEDDING: "embeddings"}


@pytest.fixture
def server() -> MemoryServer:
    server = MemoryServer()
    for path in (
        "root.safetensors",
        "readme.txt",
        "outputs/no.safetensors",
        "embeddings/e.pt",
        "models/Lora/a/b/c/deep.safetensors",
        "models/Lora/a/b/c/d/too-deep.safetensors",
        "models/Lora/.hidden/h.safetensors",
        "models/Stable-diffusion/m.safetensors",
        "models/Stable-diffusion/n.safetensors.0123abcd.part",
        "models/Stable-diffusion/notes.txt",
    ):
        server.make_folders(posixpath.dirname(f"{BASE}/{path}"))
        server.files[f"{BASE}/{path}"] = bytearray(b"x")
        server.mtimes[f"{BASE}/{path}"] = 5
    return server


def test_files_in_folders_of_all_kinds_are_found(server: MemoryServer) -> None:
    folders = ModelFolders(connection(server), BASE, FOLDERS)
    assert [file.path for file in folders.files()] == [
        "root.safetensors",
        "embeddings/e.pt",
        "models/Lora/a/b/c/deep.safetensors",
        "models/Stable-diffusion/m.safetensors",
        "models/Stable-diffusion/n.safetensors.0123abcd.part",
    ]


def test_files_reached_by_links_are_found_and_a_loop_ends(server: MemoryServer) -> None:
    links = {"models/Lora/more": "outputs", "outputs/again": "models/Lora", "embeddings/l.pt": "root.safetensors"}
    found = {file.path for file in ModelFolders(connection(server, Linked, **links), BASE, FOLDERS).files()}
    assert {"models/Lora/more/no.safetensors", "embeddings/l.pt"} <= found


def test_files_in_a_closed_folder_are_left_out(server: MemoryServer) -> None:
    class Closed(MemoryFiles):
        def list_folder(self, path: str) -> list[Entry]:
            if path.endswith("Lora"):
                raise NoPermission(f"cannot list {path}")
            return super().list_folder(path)

    found = {file.path for file in ModelFolders(connection(server, Closed), BASE, FOLDERS).files()}
    assert "models/Stable-diffusion/m.safetensors" in found
    assert not any("Lora" in path for path in found)


def test_files_cost_one_listing_per_level(server: MemoryServer) -> None:
    it = connection(server)
    batches: list[Sequence[str]] = []
    list_folders = it.files.list_folders

    def counted(paths: Sequence[str]) -> Any:
        batches.append(paths)
        return list_folders(paths)

    it.files.list_folders = counted  # type: ignore[method-assign]
    ModelFolders(it, BASE, FOLDERS).files()
    assert len(batches) == 5
    assert len(batches[0]) == 3
