"""The law of sync: after any edits and any lost connection, the next whole sync makes both sides the same.

It touches nothing else, and leaves nothing to do.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.unit.commands.sync.bench import NOON, Bench
from uploader.errors import UploaderError

FOLDERS = ("", "one/", "two/", "two/deep/")
NAMES = ("a", "b", "c.bin", "é.txt")
CONTENTS = (b"", b"1", b"2", b"33", b"44", b"5" * 70_000, b"6" * 70_000)

paths = st.builds(lambda folder, name: folder + name, st.sampled_from(FOLDERS), st.sampled_from(NAMES))
edits = st.one_of(
    st.tuples(st.just("write"), paths, st.sampled_from(CONTENTS)),
    st.tuples(st.just("move"), paths, paths),
    st.tuples(st.just("remove"), paths, st.none()),
)
rounds = st.lists(
    st.tuples(
        st.lists(edits, max_size=5),
        st.lists(st.integers(0, 60), max_size=8),  # operations after which a connection is lost
        st.booleans(),  # whether deleted files go to the trash
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=examples(30))
@given(rounds=rounds, hashes=st.booleans(), copies=st.sampled_from([None, "copy", "link"]))
def test_sync_mirrors_the_folder_and_touches_nothing_else(
    rounds: list[tuple[list[tuple[str, str, object]], list[int], bool]], hashes: bool, copies: None
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        here = Bench(Path(folder), into="mine")
        here.server.hashes, here.server.copies = hashes, copies
        here.put("theirs/a", b"not ours")
        here.put("mine/foreign.bin", b"not ours either")
        now = NOON
        here.write("always", b"so that the folder is never empty")
        for edited, cuts, trash in rounds:
            for edit in edited:
                now += 1
                _edit(here, edit, now)
            here.cuts[:] = cuts
            try:
                here.sync(delete=True, max_delete=99, trash=trash)
            except UploaderError:
                assert cuts, "only a lost line may end it"
            here.cuts.clear()
        here.sync(delete=True, max_delete=99)
        there = {path: data for path, data in here.there.items() if not path.startswith(".uploader-trash/")}
        assert there == {f"mine/{path}": data for path, data in here.here.items()} | {
            "theirs/a": b"not ours",
            "mine/foreign.bin": b"not ours either",
        }
        assert set(here.actions(delete=True, max_delete=99).values()) == {"keep"}
        assert set(here.actions(checksum=True).values()) == {"keep"}


def _edit(here: Bench, edit: tuple[str, str, object], now: int) -> None:
    what, path, more = edit
    file = here.disk / path
    if what == "write":
        assert isinstance(more, bytes)
        here.write(path, more, now)
    elif file.exists() and what == "remove":
        file.unlink()
    elif file.exists() and what == "move":
        target = here.disk / str(more)
        target.parent.mkdir(parents=True, exist_ok=True)
        file.replace(target)
