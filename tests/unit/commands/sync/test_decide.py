"""What a sync decides: reasons, and limits of deletion."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from typing import Any

from uploader.commands.sync.decide import Answers, Questions, SyncStep, decide, questions
from uploader.commands.sync.state import SyncOptions, SyncState
from uploader.result import Evidence
from uploader.scan.tree import LocalEntry, LocalTree, Refused, RemoteEntry, RemoteTree, spelling
from uploader.state.manifest import PlacedFile

BASE = "/root/models"
NOON = 1_790_000_000


def here(path: str, size: int = 100, mtime: float = NOON) -> LocalEntry:
    return LocalEntry(path, size, int(mtime * 1e9))


def there(path: str, size: int = 100, mtime: int | None = NOON) -> RemoteEntry:
    return RemoteEntry(path, size, mtime)


def known(path: str, size: int = 100, mtime: float = NOON, **facts: Any) -> tuple[str, PlacedFile]:
    """Return the manifest entry of a file that this program placed from the folder."""
    facts = {"sha256": "aa", "seen": int(mtime), "origin": f"/disk/{path}", **facts}
    return f"{BASE}/{path}", PlacedFile(size, mtime_ns=int(mtime * 1e9), **facts)


def scene(*files: LocalEntry | RemoteEntry | tuple[str, PlacedFile], **facts: Any) -> SyncState:
    local, remote = LocalTree(), RemoteTree()
    local.files = {spelling(file.path): file for file in files if isinstance(file, LocalEntry)}
    remote.files = {spelling(file.path): file for file in files if isinstance(file, RemoteEntry)}
    manifest = dict(file for file in files if isinstance(file, tuple))
    for file in remote.files.values():
        *above, _ = file.path.split("/")
        for depth in range(1, len(above) + 1):
            folder = "/".join(above[:depth])
            remote.folders[spelling(folder)] = folder
    return replace(SyncState(BASE, "/disk", local, remote, manifest), **facts)


def steps(scene: SyncState, answers: Answers | None = None, **options: Any) -> dict[str, SyncStep]:
    return {step.key: step for step in decide(scene, SyncOptions(**options), answers or Answers())}


def actions(scene: SyncState, answers: Answers | None = None, **options: Any) -> dict[str, str]:
    return {key: str(step.action) for key, step in steps(scene, answers, **options).items()}


# what is the same -------------------------------------------------------------------------------------


def test_decide_missing_file_is_sent_and_same_file_kept() -> None:
    scenery = scene(here("new"), here("same"), there("same"), here("empty", 0), there("empty", 0, 1))
    assert questions(scenery, SyncOptions()) == Questions()
    assert actions(scenery) == {"new": "send", "same": "keep", "empty": "keep"}


def test_decide_placed_file_is_compared_to_the_nanosecond() -> None:
    placed = known("a", mtime=NOON + 0.25)
    assert actions(scene(here("a", mtime=NOON + 0.25), there("a"), placed)) == {"a": "keep"}
    changed = scene(here("a", mtime=NOON + 0.75), there("a"), placed)
    assert questions(changed, SyncOptions()) == Questions(hash=["a"])
    assert actions(changed, Answers(sha256={"a": "bb"})) == {"a": "replace"}
    assert actions(changed, Answers(sha256={"a": "aa"})) == {"a": "keep"}


def test_decide_other_mtime_lets_the_bytes_decide() -> None:
    scenery = scene(here("a"), there("a", mtime=NOON - 9))
    assert questions(scenery, SyncOptions()) == Questions(compare=["a"])
    assert actions(scenery, Answers(same={"a": Evidence.READ_BACK})) == {"a": "keep"}
    assert actions(scenery, Answers(same={"a": None})) == {"a": "refuse"}


def test_decide_checksum_compares_also_known_files() -> None:
    scenery = scene(here("a"), there("a"), known("a"), here("b", 5), there("b", 6))
    assert questions(scenery, SyncOptions(checksum=True)) == Questions(compare=["a"])
    assert actions(scenery, Answers(same={"a": None}), checksum=True)["a"] == "replace"


# what may be replaced ---------------------------------------------------------------------------------


def test_decide_file_of_another_person_needs_replace() -> None:
    newer = scene(here("a", 5), there("a", 6, NOON + 1))
    refused = steps(newer)["a"]
    assert refused.action == "refuse"
    assert refused.error is not None
    assert refused.error.code == "exists"
    assert "is not known to be what was placed from here" in refused.reason
    assert actions(newer, replace=True) == {"a": "replace"}
    assert actions(scene(here("a", 5), there("a", 6, NOON - 1))) == {"a": "refuse"}
    assert actions(scene(here("a", 5), there("a", 6, None))) == {"a": "refuse"}
    assert actions(scene(here("a", 5), there("a", 6, NOON))) == {"a": "refuse"}


def test_decide_placed_file_is_replaced_by_an_older_one() -> None:
    assert actions(scene(here("a", 5, NOON - 99), there("a"), known("a"))) == {"a": "replace"}
    touched_there = scene(here("a", 5, NOON - 99), there("a", mtime=NOON + 5), known("a"))
    assert actions(touched_there) == {"a": "refuse"}
    found_only = scene(here("a", 5, NOON - 99), there("a"), known("a", placed=False))
    assert actions(found_only) == {"a": "refuse"}


def test_decide_placed_file_without_seen_mtime_is_not_ours() -> None:
    unseen = known("a", seen=None)
    for mtime in (NOON, NOON + 9, None):
        changed = scene(here("a", 100, NOON + 99), there("a", mtime=mtime), unseen)
        assert actions(changed, Answers(sha256={"a": "bb"})) == {"a": "refuse"}
    for mtime in (NOON, None):
        gone = scene(*kept_files(3), there("a", mtime=mtime), unseen)
        assert "a" not in actions(gone, delete=True)


def test_decide_file_in_place_of_a_folder_is_refused() -> None:
    assert actions(scene(here("a"), there("a/b")))["a"] == "refuse"
    assert actions(scene(here("a/b"), there("a")))["a/b"] == "refuse"


# moving and copying -----------------------------------------------------------------------------------


def test_decide_renamed_file_with_known_sha256_is_moved() -> None:
    scenery = scene(here("new"), there("old"), known("old"))
    assert questions(scenery, SyncOptions()) == Questions(hash=["new"])
    moved = steps(scenery, Answers(sha256={"new": "aa"}))["new"]
    assert (moved.action, moved.origin, moved.path) == ("move", f"{BASE}/old", f"{BASE}/new")
    assert actions(scenery, Answers(sha256={"new": "bb"})) == {"new": "send"}
    assert actions(scenery, Answers()) == {"new": "send"}


def test_decide_file_that_is_not_ours_is_not_moved() -> None:
    proof = Answers(sha256={"new": "aa"})
    others = scene(here("new"), there("old"), known("old", origin="/elsewhere/old"))
    unread = scene(here("new"), there("old"), known("old"))
    unread.local.complete = False
    excluded = scene(here("new"), there("old"), known("old"), takes=lambda path: path != "old")
    touched = scene(here("new"), there("old", mtime=NOON + 1), known("old"))
    found = scene(here("new"), there("old"), known("old", placed=False))
    for scenery in (others, unread, excluded, touched, found):
        assert actions(scenery, proof) == {"new": "send"}


def test_decide_one_old_name_is_moved_once_and_then_copied() -> None:
    size = 1 << 20
    scenery = scene(here("n1", size), here("n2", size), there("old", size), known("old", size), duplicates=True)
    assert actions(scenery, Answers(sha256={"n1": "aa", "n2": "aa"})) == {"n1": "move", "n2": "send"}


def test_decide_large_file_is_copied_on_the_server() -> None:
    size = 1 << 20
    kept = (here("a", size), there("a", size), known("a", size))
    proof = Answers(sha256={"b": "aa"})
    copied = steps(scene(*kept, here("b", size), duplicates=True), proof)["b"]
    assert (copied.action, copied.origin) == ("copy", f"{BASE}/a")
    assert actions(scene(*kept, here("b", size)), proof)["b"] == "send"
    small = scene(here("a", 9), there("a", 9), known("a", 9), here("b", 9), duplicates=True)
    assert actions(small, proof)["b"] == "send"


def test_decide_bytes_elsewhere_below_the_root_are_copied() -> None:
    size = 1 << 20
    path, placed = "/root/other/x", PlacedFile(size, "aa", NOON * 10**9, NOON)
    scenery = scene(here("b", size), (path, placed), elsewhere={path: RemoteEntry(path, size, NOON)}, duplicates=True)
    assert steps(scenery, Answers(sha256={"b": "aa"}))["b"].origin == path
    gone = replace(scenery, elsewhere={path: RemoteEntry(path, size, NOON + 1)})
    assert actions(gone, Answers(sha256={"b": "aa"})) == {"b": "send"}


# deleting ---------------------------------------------------------------------------------------------


def placed_files(count: int) -> list[RemoteEntry | tuple[str, PlacedFile]]:
    return [item for number in range(count) for item in (there(f"old{number}"), known(f"old{number}", sha256=None))]


def kept_files(count: int) -> list[LocalEntry | RemoteEntry | tuple[str, PlacedFile]]:
    return [item for n in range(count) for item in (here(f"k{n}"), there(f"k{n}"), known(f"k{n}", sha256=None))]


def test_decide_deletes_only_what_was_placed_from_here() -> None:
    scenery = scene(
        *kept_files(3),
        *placed_files(1),
        there("foreign"),
        there("touched", mtime=NOON + 1),
        known("touched"),
        there("others"),
        known("others", origin="/another/others"),
        there("beside"),
        known("beside", origin="/disk-2/beside"),
        there("found"),
        known("found", placed=False),
    )
    assert set(actions(scenery).values()) == {"keep"}
    assert {key: what for key, what in actions(scenery, delete=True).items() if what != "keep"} == {"old0": "delete"}
    assert actions(scenery, delete=True, trash=True)["old0"] == "trash"


def test_decide_more_than_ten_or_half_deletes_nothing() -> None:
    many = scene(*kept_files(20), *placed_files(11))
    refused = steps(many, delete=True)["old0"]
    assert (refused.action, refused.error and refused.error.code) == ("refuse", "delete-limit")
    assert "11 files would be deleted, and 10 are allowed" in refused.reason
    assert "delete" not in actions(many, delete=True).values()
    assert actions(many, delete=True, max_delete=11)["old0"] == "delete"
    assert actions(scene(*kept_files(10), *placed_files(10)), delete=True)["old0"] == "delete"
    half = scene(*kept_files(2), *placed_files(3))
    assert "more than half" in steps(half, delete=True)["old0"].reason
    assert actions(half, delete=True, max_delete=3)["old0"] == "delete"
    assert actions(half, delete=True, max_delete=2)["old0"] == "refuse"


def test_decide_empty_or_unread_folder_deletes_nothing() -> None:
    empty = scene(*placed_files(1))
    assert "holds no file" in steps(empty, delete=True, max_delete=99)["old0"].reason
    unread = scene(*kept_files(5), *placed_files(1))
    unread.local.complete = False
    assert "it is not known what is gone" in steps(unread, delete=True, max_delete=99)["old0"].reason
    assert actions(unread, delete=True, max_delete=99)["old0"] == "refuse"


def test_decide_refused_local_file_is_not_gone() -> None:
    scenery = scene(*kept_files(5), *placed_files(1), there("d/x"), known("d/x"))
    scenery.local.refused += [Refused("old0", "it is a link that leads out of the folder"), Refused("d", "so is it")]
    assert "delete" not in actions(scenery, delete=True).values()


def test_decide_file_with_another_key_is_not_gone() -> None:
    scenery = scene(*kept_files(5), here("x"), there("deep/x"), known("deep/x", origin="/disk/x"))
    proof = Answers(sha256={"x": "aa"})
    assert actions(scenery, proof)["x"] == "send"
    assert "deep/x" not in actions(scenery, proof, delete=True)
    other = scene(*kept_files(5), *placed_files(1))
    other.local.others.add("old0")
    assert "delete" not in actions(other, delete=True).values()


def test_decide_excluded_file_takes_no_part() -> None:
    scenery = scene(*kept_files(5), *placed_files(1), takes=lambda path: path != "old0")
    assert "old0" not in actions(scenery, delete=True)


# names ------------------------------------------------------------------------------------------------


def test_decide_other_unicode_form_is_the_same_name() -> None:
    nfd, nfc = unicodedata.normalize("NFD", "é/ü"), unicodedata.normalize("NFC", "é/ü")
    step = steps(scene(here(nfd), there(nfd)))[nfc]
    assert (step.action, step.path) == ("keep", f"{BASE}/{nfd}")
    step = steps(scene(here(f"{nfc}2"), there(nfd)))[f"{nfc}2"]
    folder = unicodedata.normalize("NFD", "é")
    assert (step.action, step.path) == ("send", f"{BASE}/{folder}/ü2")


def test_decide_case_insensitive_server_refuses_two_cases() -> None:
    clash = scene(here("Dir/A"), here("dir/a"))
    assert actions(clash) == {"Dir/A": "send", "dir/a": "send"}
    clash.remote.insensitive = True
    assert actions(clash) == {"Dir/A": "refuse", "dir/a": "refuse"}
    assert "takes Dir/A and dir/a for one name" in steps(clash)["Dir/A"].reason
    one = scene(here("DIR/A"), here("DIR/b"), there("dir/a"))
    one.remote.insensitive = True
    found = steps(one)
    assert (found["DIR/A"].action, found["DIR/A"].path) == ("keep", f"{BASE}/dir/a")
    assert (found["DIR/b"].action, found["DIR/b"].path) == ("send", f"{BASE}/dir/b")
