from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.state_rows import rows
from uploader.artifact import Artifact, Digest, WebFile
from uploader.errors import ConfigurationError, UsageError
from uploader.state.cache import Cache, State, limit_of
from uploader.state.database import Database
from uploader.state.uploads import UploadRecords

KIB = 1024
NEVER = "0" * 64


class Shelf:
    """A cache with files. Each file is used at another second, in the order of `put`."""

    def __init__(self, base: Path, limit: int = 1 << 40) -> None:
        self.base = base
        self.clock = 1_000_000_000
        self.cache = self.another(limit)

    def another(self, limit: int = 1 << 40) -> Cache:
        """Return the same cache as another run opens it."""
        return Cache(self.base / "cache", UploadRecords(Database(self.base)), limit)

    def artifact(self, name: str, digest: Digest | None = None) -> Artifact:
        return Artifact(f"https://x/{name}", name, None, WebFile(f"https://x/{name}", '"v1"', True), "0123abcd", digest)

    def put(self, name: str, kib: int = 10, sha256: str = NEVER) -> None:
        self.cache.folder.mkdir(exist_ok=True)
        with self.cache.hold(self.artifact(name)) as hold:
            hold.part.write_bytes(bytes(kib * KIB))
            self.cache.keep(self.artifact(name), hold, sha256)
        self.clock += 1
        os.utime(self.cache.folder / f".0123abcd-{name}.json", (self.clock, self.clock))

    def leave_a_part(self, name: str, kib: int = 10) -> None:
        self.cache.folder.mkdir(exist_ok=True)
        with self.cache.hold(self.artifact(name)) as hold:
            hold.record.begin("x", kib * KIB, KIB, str(hold.part))
            hold.part.write_bytes(bytes(kib * KIB))
        os.utime(hold.part, (1, 1))

    @property
    def names(self) -> list[str]:
        """The names, the one used last first."""
        return [entry.name[9:] for entry in self.cache.entries()]


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def test_empty_cache_holds_nothing_and_clears_nothing(shelf: Shelf) -> None:
    assert shelf.cache.entries() == []
    assert shelf.cache.clear() == ([], [])
    shelf.cache.trim()
    assert not shelf.cache.folder.exists()


def test_entries_are_in_the_order_of_their_last_use(shelf: Shelf) -> None:
    for name in ("a", "b", "c"):
        shelf.put(name)
    shelf.leave_a_part("d")
    artifact = shelf.artifact("a")
    with shelf.cache.hold(artifact) as hold:
        assert shelf.cache.whole(artifact, hold) is not None
    assert shelf.names == ["a", "c", "b", "d.part"]
    assert [entry.state for entry in shelf.cache.entries()] == [State.WHOLE] * 3 + [State.PART]


def test_whole_without_a_sha256_needs_the_same_link(shelf: Shelf) -> None:
    shelf.put("a")
    artifact = shelf.artifact("a")
    other = replace(artifact, origin=WebFile("https://x/a?id=2", '"v1"', True))
    with shelf.cache.hold(artifact) as hold:
        assert shelf.cache.whole(artifact, hold) is not None
        assert shelf.cache.whole(other, hold) is None
        assert shelf.cache.whole(replace(other, digest=Digest(NEVER)), hold) is not None


def test_keep_records_no_link(shelf: Shelf) -> None:
    signed = replace(shelf.artifact("a"), origin=WebFile("https://x/a?token=SECRET", '"v1"', True))
    shelf.cache.folder.mkdir()
    with shelf.cache.hold(signed) as hold:
        hold.part.write_bytes(b"x")
        shelf.cache.keep(signed, hold, NEVER)
        assert shelf.cache.whole(signed, hold) is not None
    assert all(b"SECRET" not in path.read_bytes() for path in shelf.cache.folder.iterdir())


def test_trim_removes_the_files_not_used_longest(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, limit=25 * KIB)
    for name in ("a", "b", "c", "d"):
        shelf.put(name)
    shelf.cache.trim()
    assert shelf.names == ["d", "c"]
    assert sorted(path.name for path in shelf.cache.folder.iterdir() if "-a" in path.name or "-b" in path.name) == []


def test_trim_and_clear_keep_files_in_use(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, limit=0)
    for name in ("mine", "theirs", "nobody's"):
        shelf.put(name)
    theirs = shelf.another()
    with shelf.cache.hold(shelf.artifact("mine")), theirs.hold(shelf.artifact("theirs")):
        shelf.cache.trim()
        assert shelf.names == ["theirs", "mine"]
        removed, in_use = shelf.cache.clear()
        assert (removed, [entry.name[9:] for entry in in_use]) == ([], ["theirs", "mine"])
    shelf.cache.trim()
    assert shelf.names == []


def test_make_room_removes_the_files_not_used_longest(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, limit=35 * KIB)
    for name in ("a", "b", "c"):
        shelf.put(name)
    with shelf.cache.hold(shelf.artifact("new")) as hold:
        shelf.cache.make_room(hold, 20 * KIB)
    assert shelf.names == ["c"]


def test_make_room_above_the_limit_removes_nothing(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, limit=35 * KIB)
    shelf.put("a")
    with shelf.cache.hold(shelf.artifact("new")) as hold:
        shelf.cache.make_room(hold, 100 * KIB)
    assert shelf.names == ["a"]


def test_make_room_on_a_small_disk_is_told(shelf: Shelf) -> None:
    shelf.put("a")
    free = shutil.disk_usage(shelf.base).free
    with shelf.cache.hold(shelf.artifact("new")) as hold, pytest.raises(ConfigurationError) as caught:
        shelf.cache.make_room(hold, free * 2)
    assert f"{free * 2:,}" in caught.value.message
    assert "--via relay" in (caught.value.remedy or "")
    assert shelf.names == []


def test_clear_takes_file_names_and_model_names(shelf: Shelf) -> None:
    for name in ("a.pt", "b.pt", "c.pt"):
        shelf.put(name)
    removed, _ = shelf.cache.clear(["a.pt", "0123abcd-b.pt"])
    assert sorted(entry.name for entry in removed) == ["0123abcd-a.pt", "0123abcd-b.pt"]
    assert shelf.names == ["c.pt"]
    with pytest.raises(UsageError, match=r"no d\.pt"):
        shelf.cache.clear(["c.pt", "d.pt"])
    assert shelf.names == ["c.pt"]


def test_clear_removes_the_record_of_a_part(shelf: Shelf) -> None:
    shelf.leave_a_part("a")
    assert rows(shelf.base, "upload")
    shelf.cache.clear()
    assert shelf.names == []
    assert rows(shelf.base, "upload") == []


def test_record_that_makes_no_sense_counts_as_none(shelf: Shelf) -> None:
    shelf.put("a")
    record = shelf.cache.folder / ".0123abcd-a.json"
    for nonsense in ("", "[]", "{}", '{"version": 1}', '{"version": 2}', record.read_text().replace(NEVER, "x")):
        record.write_text(nonsense)
        (entry,) = shelf.cache.entries()
        assert entry.sha256 is None
        with shelf.cache.hold(shelf.artifact("a")) as hold:
            assert shelf.cache.whole(shelf.artifact("a"), hold) is None


@pytest.mark.parametrize(
    ("said", "limit"),
    [("0", 0), ("500", 500), ("500M", 500 << 20), ("20G", 20 << 30), ("1.5 gb", 3 << 29), ("2TiB", 2 << 40)],
)
def test_limit_is_given_as_a_size(tmp_path: Path, said: str, limit: int) -> None:
    assert limit_of({"UPLOADER_CACHE_LIMIT": said}, tmp_path) == limit


@pytest.mark.parametrize("said", ["much", "-1", "1X", "1e9"])
def test_limit_that_is_no_size_is_refused(tmp_path: Path, said: str) -> None:
    with pytest.raises(ConfigurationError, match="UPLOADER_CACHE_LIMIT"):
        limit_of({"UPLOADER_CACHE_LIMIT": said}, tmp_path)


def test_limit_by_default_is_20_gb_or_a_tenth_of_the_disk(tmp_path: Path) -> None:
    tenth = shutil.disk_usage(tmp_path).total // 10
    assert limit_of({}, tmp_path / "not" / "there") == min(20_000_000_000, tenth)
