"""A second push of a file that the manifest proves: it reads no byte on either side unless something changed."""

from __future__ import annotations

import os
from pathlib import Path

from tests.contract.world import CHECKPOINTS, MIB, World, sha256
from tests.servers.models import write_safetensors
from uploader.api import LoginRequest, SyncRequest
from uploader.artifact import Digest
from uploader.events import Phase
from uploader.result import Outcome

DREAM = f"{CHECKPOINTS}/dream.safetensors"


def again(here: World, model: Path, **options: object) -> tuple[Outcome, set[str]]:
    """Push once more. Return the outcome and its phases."""
    here.events.clear()
    outcome = here.one(model, **options)
    return outcome, {event.name for event in here.events if isinstance(event, Phase)}


def pushed(here: World) -> tuple[Path, Outcome]:
    model = here.model(size=9 * MIB)
    return model, here.placed(model)


def test_unchanged_file_is_kept_with_the_recorded_evidence(every: tuple[str, World]) -> None:
    _, here = every
    model, first = pushed(here)
    kept, phases = again(here, model)
    assert phases == set()
    assert (kept.status, kept.bytes_sent) == ("kept", 0)
    assert (kept.evidence, kept.sha256, kept.path) == (first.evidence, first.sha256, first.path)


def test_dry_run_says_that_an_unchanged_file_is_kept(here: World) -> None:
    model, _ = pushed(here)
    (step,) = here.dry(model).steps
    assert (step.action, step.bytes) == ("keep", 0)


def test_changed_time_here_hashes_again(here: World) -> None:
    model, _ = pushed(here)
    os.utime(model, (1_700_000_000, 1_700_000_000))
    kept, phases = again(here, model)
    assert kept.status == "kept"
    assert "comparing" in phases
    assert again(here, model)[1] == set()  # the new time is recorded


def test_changed_bytes_here_are_not_kept(here: World) -> None:
    model, _ = pushed(here)
    with model.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))
    outcome, _ = again(here, model)
    assert outcome.error is not None
    assert outcome.error.code == "exists"


def test_changed_file_on_the_server_is_compared(here: World) -> None:
    model, _ = pushed(here)
    there = here.root / DREAM
    with there.open("r+b") as file:
        file.write(b"\0")
    os.utime(there, (1_700_000_000, 1_700_000_000))
    outcome, phases = again(here, model)
    assert "comparing" in phases
    assert outcome.error is not None
    assert outcome.error.code == "exists"


def test_changed_size_on_the_server_is_not_kept(here: World) -> None:
    model, _ = pushed(here)
    before = (here.root / DREAM).stat()
    with (here.root / DREAM).open("ab") as file:
        file.write(b"more")
    os.utime(here.root / DREAM, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert here.fails(model) == "exists"


def test_verify_full_hashes_an_unchanged_file(here: World) -> None:
    model, _ = pushed(here)
    kept, phases = again(here, model, verify="full")
    assert kept.status == "kept"
    assert "comparing" in phases


def test_sha256_of_the_user_is_checked(here: World) -> None:
    model, _ = pushed(here)
    kept, phases = again(here, model, sha256=Digest(sha256(model)))
    assert (kept.status, phases) == ("kept", set())
    assert here.fails(model, sha256=Digest("ab" * 32)) == "hash"


def test_same_bytes_of_another_file_are_compared(here: World) -> None:
    model, _ = pushed(here)
    other = here.disk / "other" / model.name
    other.parent.mkdir()
    other.write_bytes(model.read_bytes())
    kept, phases = again(here, other)
    assert kept.status == "kept"
    assert "comparing" in phases


def test_sync_of_another_file_carries_no_proof_over_to_it(here: World) -> None:
    model, _ = pushed(here)
    stamp = model.stat()
    other = here.disk / "other" / model.name
    other.parent.mkdir()
    write_safetensors(other, "checkpoint", stamp.st_size, seed=4711)
    os.utime(other, ns=(stamp.st_mtime_ns, stamp.st_mtime_ns))
    here.app.sync(SyncRequest(str(other.parent), into=CHECKPOINTS))
    outcome, phases = again(here, other)
    assert (outcome.status, "comparing" in phases) == ("failed", True), outcome


def test_samples_prove_no_file_that_is_read_in_full(here: World) -> None:
    model = here.model(size=9 * MIB)
    here.placed(model, verify="samples")
    assert "comparing" in again(here, model)[1]
    assert again(here, model, verify="samples")[0].status == "kept"


def test_login_under_the_same_name_ends_what_was_proven(here: World) -> None:
    model, _ = pushed(here)
    here.app.login(LoginRequest("generic", name="canvas", check=False))
    assert "comparing" in again(here, model)[1]
    assert again(here, model)[1] == set()  # proven again, on the machine of now
