"""What the walk of a server's folder finds."""

from __future__ import annotations

import posixpath

import pytest

from tests.remote_memory import MemoryConnection, MemoryConnector, MemoryFiles, MemoryServer
from uploader.errors import NoPermission
from uploader.remote.interface import Entry
from uploader.scan.filters import Filters
from uploader.scan.remote import is_insensitive, list_tree

BASE = "/home/user/webui"


class Linked(MemoryFiles):
    """Files and links. `links` maps a path to where it leads."""

    links: dict[str, str]

    def stat(self, path: str) -> Entry | None:
        for link, target in self.links.items():
            if path == link or path.startswith(f"{link}/"):
                path = target + path.removeprefix(link)
        return super().stat(path)

    def list_folder(self, path: str) -> list[Entry]:
        for link, target in self.links.items():
            if path == link or path.startswith(f"{link}/"):
                path = target + path.removeprefix(link)
        found = super().list_folder(path)
        names = [posixpath.basename(link) for link in self.links if posixpath.dirname(link) == path]
        return found + [Entry(name, 9, 1, is_folder=False, is_link=True) for name in names]


class Caseless(MemoryFiles):
    """A disk that takes `A` and `a` for one name."""

    def stat(self, path: str) -> Entry | None:
        for name in (path, *self.server.folders, *self.server.files):
            there = name in self.server.folders or name in self.server.files
            if there and name.casefold() == path.casefold():
                return super().stat(name)
        return None


def connection(server: MemoryServer, files: type[MemoryFiles] = MemoryFiles, **links: str) -> MemoryConnection:
    found = MemoryConnector(server).connect()
    found.files = files(found, None)
    if links:
        found.files.links = {f"{BASE}/{name}": f"{BASE}/{target}".rstrip("/") for name, target in links.items()}  # type: ignore[attr-defined]
    return found


@pytest.fixture
def server() -> MemoryServer:
    server = MemoryServer()
    for path in ("a", "one/b", "one/two/c", "other/d", "one/x.0123abcd.part", ".uploader-trash/old/e"):
        server.make_folders(posixpath.dirname(f"{BASE}/{path}"))
        server.files[f"{BASE}/{path}"] = bytearray(path.encode())
        server.mtimes[f"{BASE}/{path}"] = 5
    return server


def test_list_tree_finds_files_with_size_and_time(server: MemoryServer) -> None:
    tree = list_tree(connection(server), BASE, Filters(exclude=["two/"]))
    assert {key: (there.size, there.mtime) for key, there in tree.files.items()} == {
        "a": (1, 5),
        "one/b": (5, 5),
        "other/d": (7, 5),
    }
    assert sorted(tree.folders) == ["one", "other"]
    assert tree.exists


def test_list_tree_lists_only_folders_of_concern(server: MemoryServer) -> None:
    tree = list_tree(connection(server), BASE, Filters(), concerns=lambda folder: folder == "one")
    assert sorted(tree.files) == ["a", "one/b"]
    assert sorted(list_tree(connection(server), BASE, Filters(), ["one/two", "none"]).files) == ["one/two/c"]


def test_list_tree_of_a_missing_folder_is_empty(server: MemoryServer) -> None:
    tree = list_tree(connection(server), f"{BASE}/nothing", Filters())
    assert (tree.files, tree.exists) == ({}, False)


def test_list_tree_of_a_closed_folder_raises(server: MemoryServer) -> None:
    class Closed(MemoryFiles):
        def list_folder(self, path: str) -> list[Entry]:
            if path.endswith("two"):
                raise NoPermission(f"cannot list {path}")
            return super().list_folder(path)

    with pytest.raises(NoPermission):
        list_tree(connection(server, Closed), BASE, Filters())


def test_list_tree_follows_links_once(server: MemoryServer) -> None:
    line = connection(server, Linked, **{"link": "one", "one/up": "", "short": "a", "broken": "nothing"})
    tree = list_tree(line, BASE, Filters())
    assert {"link/b", "link/two/c", "one/up/a", "one/up/one/b", "short"} <= set(tree.files)
    assert not [path for path in tree.files if "up/one/up" in path or "up/link" in path or path.startswith("link/up")]
    assert "broken" not in tree.files
    assert tree.files["short"].size == 1


def test_is_insensitive_tells_by_names_that_exist(server: MemoryServer) -> None:
    assert not is_insensitive(connection(server), BASE)
    assert is_insensitive(connection(server, Caseless), BASE)
    assert is_insensitive(connection(server, Caseless), "/")
    assert not is_insensitive(connection(server), "/")
    for name in ("A", "ONE", "OTHER"):
        server.make_folders(f"{BASE}/{name}")
    server.make_folders(f"{BASE}/.UPLOADER-TRASH")
    server.make_folders("/home/user/WEBUI")
    assert not is_insensitive(connection(server, Caseless), BASE)
