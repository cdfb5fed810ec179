"""The program without its command line: real models pushed to real servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.world import CHECKPOINTS, LORAS, MIB, World, serve, sha256, world
from tests.servers.faulty import ChangesByte, HashesFiles
from tests.servers.models import safetensors
from tests.servers.openssh import OpenSSH, needs_sshd
from tests.servers.torch_files import Call, Name, embedding, torch_zip
from uploader.artifact import Digest, Kind
from uploader.errors import UsageError
from uploader.events import Progress
from uploader.placement import part_name
from uploader.result import Evidence

DREAM = f"{CHECKPOINTS}/dream.safetensors"


# every kind of server ---------------------------------------------------------------------------------


def test_push_places_a_model_and_keeps_it_the_second_time(every: tuple[str, World]) -> None:
    kind, here = every
    model = here.model(size=9 * MIB)
    evidence = Evidence.REMOTE_HASH if kind == "full" else Evidence.READ_BACK
    outcome = here.placed(model)
    assert here.there == {DREAM: 9 * MIB}
    assert (here.root / DREAM).read_bytes() == model.read_bytes()
    assert (outcome.kind, outcome.route, outcome.path) == (Kind.CHECKPOINT, "local", f"webui/{DREAM}")
    assert (outcome.evidence, outcome.sha256) == (evidence, sha256(model))
    assert (outcome.bytes_sent, outcome.resumed_from, outcome.size) == (9 * MIB, 0, 9 * MIB)

    again = here.push(model)
    assert again.exit_code == 0
    (kept,) = again.outcomes
    assert (kept.status, kept.bytes_sent, kept.evidence, kept.sha256) == ("kept", 0, evidence, sha256(model))


@pytest.mark.parametrize("size", [9 * MIB, 9 * MIB + 8])
def test_push_over_other_bytes_needs_replace(every: tuple[str, World], size: int) -> None:
    _, here = every
    here.placed(here.model(size=9 * MIB))
    before = (here.root / DREAM).read_bytes()
    (here.disk / "dream.safetensors").write_bytes(safetensors("checkpoint", size_bytes=size, seed=77))
    outcome = here.one(here.disk / "dream.safetensors")
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.exit_code, outcome.bytes_sent) == ("exists", 1, 0)
    assert (here.root / DREAM).read_bytes() == before
    assert here.placed(here.disk / "dream.safetensors", replace=True).bytes_sent == size
    assert (here.root / DREAM).read_bytes() == (here.disk / "dream.safetensors").read_bytes()
    assert here.parts == []


def test_push_of_several_models_fills_their_folders(every: tuple[str, World]) -> None:
    _, here = every
    models = [here.model("a.safetensors", 17 * MIB), here.model("b.safetensors", preset="lora")]
    report = here.push(*models, connections=4)
    assert [(outcome.status, outcome.kind) for outcome in report.outcomes] == [
        ("placed", Kind.CHECKPOINT),
        ("placed", Kind.LORA),
    ]
    assert sha256(here.root / CHECKPOINTS / "a.safetensors") == sha256(models[0])
    assert sha256(here.root / LORAS / "b.safetensors") == sha256(models[1])
    assert report.exit_code == 0


def test_dry_run_tells_the_plan_and_changes_nothing(every: tuple[str, World]) -> None:
    _, here = every
    models = [here.model(), here.model("up.safetensors", preset="upscaler")]
    before = sorted(here.state.rglob("*"))
    plan = here.dry(*models)
    assert [(step.action, step.item.path, step.make) for step in plan.steps] == [
        ("send", f"webui/{DREAM}", ()),
        ("send", "webui/models/ESRGAN/up.safetensors", ("models/ESRGAN",)),
    ]
    assert here.there == {}
    assert not (here.root / "models/ESRGAN").exists()
    assert sorted(here.state.rglob("*")) == before


def test_push_kind_folder_with_parent_is_created(every: tuple[str, World]) -> None:
    _, here = every
    here.placed(here.model("up.safetensors", preset="upscaler"))
    assert list(here.there) == ["models/ESRGAN/up.safetensors"]


# evidence ---------------------------------------------------------------------------------------------


def test_verify_of_a_large_file_reads_samples_or_all(tmp_path: Path) -> None:
    with serve(tmp_path / "server", "sftp_only") as server:
        here = world(tmp_path, server)
        model = here.model(size=130 * MIB)
        assert here.placed(model).evidence is Evidence.SAMPLES
        assert sha256(here.root / DREAM) == sha256(model)
        kept = here.one(model, verify="full")
        assert (kept.status, kept.evidence) == ("kept", Evidence.READ_BACK)


def test_push_hash_extension_without_shell_is_used(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    with HashesFiles(tmp_path / "server") as server:
        here = world(tmp_path, server)
        outcome = here.placed(here.model(size=9 * MIB))
        assert outcome.evidence is Evidence.REMOTE_HASH
        assert server.hashed > 0


@pytest.mark.parametrize("kind", ["embedded", "full"])
def test_push_verify_sampled_reads_only_samples(tmp_path: Path, kind: str) -> None:
    with serve(tmp_path / "server", kind) as server:
        here = world(tmp_path, server)
        assert here.placed(here.model(size=9 * MIB), verify="samples").evidence is Evidence.SAMPLES


# folders and space ------------------------------------------------------------------------------------


def test_push_missing_root_needs_mkdir(here: World) -> None:
    for folder in sorted(here.root.rglob("*"), reverse=True):
        folder.rmdir()
    here.root.rmdir()
    model = here.model()
    report = here.push(model)
    assert [outcome.error and outcome.error.code for outcome in report.outcomes] == ["no-root"]
    assert report.exit_code == 6
    assert not here.root.exists()
    here.placed(model, mkdir=True)
    assert list(here.there) == [DREAM]


def test_push_below_a_missing_parent_needs_mkdir(here: World) -> None:
    for folder in (CHECKPOINTS, LORAS, "models"):
        (here.root / folder).rmdir()
    model = here.model()
    assert here.fails(model) == "no-root"
    assert not (here.root / "models").exists()
    here.placed(model, mkdir=True)


def test_push_that_does_not_fit_is_refused_before_it_sends(tmp_path: Path) -> None:
    needs_sshd("full", disk=True)
    with OpenSSH(tmp_path / "server", "full", disk_mib=24) as server:
        here = world(tmp_path, server)
        report = here.push(here.model(size=40 * MIB), here.model("small.safetensors"))
        big, small = report.outcomes
        assert big.error is not None
        assert (big.error.code, big.error.exit_code, big.bytes_sent) == ("space", 6, 0)
        assert small.status == "placed"
        assert list(here.there) == [f"{CHECKPOINTS}/small.safetensors"]
        assert report.exit_code == 6


# options ----------------------------------------------------------------------------------------------


def test_push_two_sources_for_one_name_send_nothing(here: World) -> None:
    (here.disk / "other").mkdir()
    report = here.push(here.model(), here.model("other/dream.safetensors"))
    assert [outcome.error and outcome.error.code for outcome in report.outcomes] == ["usage", "usage"]
    assert report.exit_code == 2
    assert here.there == {}


def test_push_same_file_named_twice_is_one_item(here: World) -> None:
    model = here.model()
    assert [outcome.status for outcome in here.push(model, here.disk / "*.safetensors").outcomes] == ["placed"]


@pytest.mark.parametrize("option", [{"name": "x.safetensors"}, {"sha256": Digest("0" * 64)}])
def test_push_name_or_sha256_for_two_files_is_refused(here: World, option: dict[str, object]) -> None:
    models = [here.model("a.safetensors"), here.model("b.safetensors")]
    with pytest.raises(UsageError, match="is for one file, and there are 2"):
        here.push(*models, **option)
    assert here.there == {}


def test_push_name_option_sets_the_final_name(here: World) -> None:
    assert here.placed(here.model(), name="夢 v2.safetensors").name == "夢 v2.safetensors"
    assert list(here.there) == [f"{CHECKPOINTS}/夢 v2.safetensors"]


def test_push_of_another_file_than_promised_sends_nothing(here: World) -> None:
    report = here.push(here.model(), sha256=Digest("0" * 64))
    (outcome,) = report.outcomes
    assert outcome.error is not None
    assert (outcome.error.code, report.exit_code, outcome.bytes_sent) == ("hash", 7, 0)
    assert here.there == {}


def test_push_right_sha256_is_placed(here: World) -> None:
    model = here.model()
    here.placed(model, sha256=Digest(sha256(model)))


def test_push_reports_all_bad_references_and_moves_nothing(here: World) -> None:
    page = here.disk / "page.safetensors"
    page.write_text("<!DOCTYPE html><html><body>Log in</body></html>")
    report = here.push(here.model(), page, here.disk / "nowhere.safetensors")
    assert [outcome.error and outcome.error.code for outcome in report.outcomes] == ["source-missing", "not-a-model"]
    assert report.exit_code == 4
    assert here.there == {}


def test_push_truncated_model_is_refused(here: World) -> None:
    model = here.model(size=MIB)
    model.write_bytes(model.read_bytes()[:-1])
    report = here.push(model)
    assert (report.exit_code, [o.error and o.error.code for o in report.outcomes]) == (7, ["truncated"])


def test_push_clean_pickle_is_placed_by_its_content(here: World) -> None:
    old = here.disk / "old.pt"
    old.write_bytes(torch_zip(embedding()))
    here.placed(old)
    assert list(here.there) == ["embeddings/old.pt"]


def test_push_of_a_pickle_that_runs_code_needs_consent(here: World) -> None:
    old = here.disk / "old.pt"
    old.write_bytes(torch_zip({"hook": Call(Name("os", "system"), ("id",))}))
    report = here.push(old, kind=Kind.EMBEDDING)
    assert report.outcomes[0].error
    assert "os.system" in report.outcomes[0].error.message
    assert (report.exit_code, report.outcomes[0].error and report.outcomes[0].error.code) == (4, "not-a-model")
    assert here.there == {}
    here.placed(old, kind=Kind.EMBEDDING, allow_pickle=True)
    assert list(here.there) == ["embeddings/old.pt"]


def test_push_unknown_kind_asks_for_the_option(here: World) -> None:
    odd = here.disk / "odd.safetensors"
    odd.write_bytes(safetensors({"what.is.this": (4, 4)}))
    report = here.push(odd)
    assert report.exit_code == 2
    error = report.outcomes[0].error
    assert error is not None
    assert "--kind" in (error.remedy or "")
    here.placed(odd, kind=Kind.VAE)


def test_push_of_a_kind_without_folder_tells_the_reason(here: World) -> None:
    report = here.push(here.model("te.safetensors", preset="text-encoder"))
    assert report.exit_code == 2
    error = report.outcomes[0].error
    assert error is not None
    assert "come inside the checkpoint" in error.message


# progress and messages --------------------------------------------------------------------------------


def test_push_progress_counts_acknowledged_bytes_to_the_end(here: World) -> None:
    here.placed(here.model(size=9 * MIB))
    counts = [event.done for event in here.events if isinstance(event, Progress)]
    assert counts[-1] == max(counts) == 9 * MIB


def test_push_part_name_is_hidden_from_webuis(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    with ChangesByte(tmp_path / "server", offset=5) as server:
        here = world(tmp_path, server)
        seen: set[str] = set()
        plain = server.verdict

        def verdict(total: int, offset: int, data: bytes) -> bytes | None:
            seen.update(here.there)
            return plain(total, offset, data)

        server.verdict = verdict  # type: ignore[method-assign]
        assert here.fails(here.model()) == "hash"
        assert len(seen) == 1
        (name,) = seen
        identity = name.split(".")[-2]
        assert name == f"{CHECKPOINTS}/{part_name('dream.safetensors', identity)}"
        assert here.there == {}


# names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "two words.safetensors",
        'it\'s "quoted".safetensors',
        "$(touch pwned).safetensors",
        "`touch pwned`; touch pwned.safetensors",
        "-rf.safetensors",
        "夢の絵 ① é.safetensors",
        "a\\'b*?[x].safetensors".replace("\\", ""),
        "~ & | < > # % .safetensors",
    ],
)
def test_push_name_with_shell_syntax_runs_nothing(tmp_path: Path, name: str) -> None:
    with serve(tmp_path / "server", "full") as server:
        here = world(tmp_path, server)
        model = here.model(name, size=9 * MIB)
        outcome = here.placed(model)
        assert outcome.evidence is Evidence.REMOTE_HASH
        assert here.there == {f"{CHECKPOINTS}/{name}": 9 * MIB}
        assert sha256(here.root / CHECKPOINTS / name) == sha256(model)
        assert here.one(model).status == "kept"
        assert not list(tmp_path.rglob("*pwned"))
