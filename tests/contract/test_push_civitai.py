"""Models of Civitai, pushed to real servers: expired links, files with a wrong hash, sidecars."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.world import CHECKPOINTS, LORAS, MIB, World, serve, world
from tests.servers.civitai import PICTURE, Civitai, Refusal, file, model, version
from tests.servers.models import safetensors
from tests.servers.webuis import FakeA1111
from uploader.api import LoginRequest
from uploader.artifact import Digest
from uploader.result import Notice

MODEL = safetensors("checkpoint", size_bytes=3 * MIB, seed=5)
OTHER = safetensors("checkpoint", size_bytes=3 * MIB, seed=6)
LORA = safetensors("lora", size_bytes=200_000)
NAME = "dreamshaper_8.safetensors"
PLACE = f"{CHECKPOINTS}/{NAME}"
REFERENCE = "civitai:4384@128713"


@pytest.fixture
def civitai() -> Iterator[Civitai]:
    with Civitai() as service:
        service.add(model(4384, "DreamShaper", version(128713, file(77, MODEL), images=[service.picture()])))
        service.add(model(5, "Style", version(50, file(51, LORA, "style.safetensors")), type="LORA"))
        yield service
        service.assert_no_token_strayed()


@pytest.fixture
def here(request: pytest.FixtureRequest, tmp_path: Path, civitai: Civitai) -> Iterator[World]:
    """Yield the embedded server, or the kind of server that the test names."""
    with serve(tmp_path / "server", getattr(request, "param", "embedded")) as server:
        yield world(tmp_path, server, CIVITAI_ENDPOINT=civitai.endpoint, CIVITAI_TOKEN=civitai.token)


on_both = pytest.mark.parametrize("here", ["embedded", "full"], indirect=True)
"""Without a shell, and with one."""


@on_both
@pytest.mark.parametrize("via", ["relay", "local"])
def test_civitai_model_goes_to_the_folder_of_its_kind(here: World, via: str) -> None:
    checkpoint, lora = here.push(REFERENCE, "urn:air:sd1:lora:civitai:5@50", via=via).outcomes
    assert (checkpoint.status, checkpoint.route, checkpoint.source) == ("placed", via, REFERENCE)
    assert (here.root / PLACE).read_bytes() == MODEL
    assert (here.root / LORAS / "style.safetensors").read_bytes() == LORA
    assert (lora.source, lora.kind) == ("civitai:5@50", "lora")
    assert "trigger words: dreamy style, masterpiece" in checkpoint.notes
    assert here.one(REFERENCE, via=via).status == "kept"
    assert here.there == {PLACE: len(MODEL), f"{LORAS}/style.safetensors": len(LORA)}


def test_header_wins_over_the_kind_that_civitai_tells(here: World, civitai: Civitai) -> None:
    civitai.models[5]["type"] = "Checkpoint"
    outcome = here.placed("civitai:5")
    assert outcome.kind == "lora"
    assert any("checkpoint" in note and "lora" in note for note in outcome.notes)


@pytest.mark.parametrize("via", ["relay", "local"])
def test_expired_link_is_replaced_in_the_middle(here: World, civitai: Civitai, via: str) -> None:
    here.dry(REFERENCE, via=via)
    looks = len(civitai.asked("storage"))
    civitai.cuts = [*[10**9] * looks, 1_000_000, 500_000]
    assert here.placed(REFERENCE, via=via).bytes_sent == len(MODEL)
    assert (here.root / PLACE).read_bytes() == MODEL
    assert civitai.cuts == []
    assert civitai.asked("storage")[-1].headers["range"] == "bytes=1500000-"


@on_both
@pytest.mark.parametrize("via", ["relay", "local"])
def test_civitai_wrong_sha256_is_never_placed(here: World, civitai: Civitai, via: str) -> None:
    civitai.models[4384]["modelVersions"][0]["files"][0]["content"] = OTHER
    report = here.push(REFERENCE, via=via)
    assert (report.exit_code, report.outcomes[0].error and report.outcomes[0].error.code) == (7, "hash")
    assert here.there == {}


def test_civitai_users_sha256_overrides_the_published_one(here: World, civitai: Civitai) -> None:
    held = civitai.models[4384]["modelVersions"][0]["files"][0]
    true = Digest.parse(held["hashes"]["SHA256"])
    held["hashes"]["SHA256"] = "A" * 64
    assert here.fails(REFERENCE) == "hash"
    here.placed(REFERENCE, sha256=true)
    assert (here.root / PLACE).read_bytes() == MODEL


def test_civitai_temporary_failure_is_retried(here: World, civitai: Civitai) -> None:
    civitai.failures["site"] = [Refusal(429), Refusal(503, "", {"Retry-After": "2"}), Refusal(429)]
    civitai.failures["storage"] = [Refusal(403, "expired"), Refusal(500)]
    here.placed(REFERENCE)
    assert (here.root / PLACE).read_bytes() == MODEL
    assert "slow down" in here.said


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (Refusal(401, {"message": "The creator has disabled downloads on this file"}), 4),
        (Refusal(403, {"error": "Early Access", "deadline": "2026-12-24T00:00:00Z"}), 4),
        (Refusal(403, "You do not have access to download this file"), 3),
        (Refusal(401, {"error": "Unauthorized"}), 3),
        (Refusal(410), 4),
        (Refusal(451), 4),
        (Refusal(404), 4),
        (Refusal(429), 5),
    ],
)
def test_civitai_each_refusal_has_its_exit_code(civitai: Civitai, tmp_path: Path, refusal: Refusal, code: int) -> None:
    with serve(tmp_path / "server", "embedded") as server:
        here = world(tmp_path, server, CIVITAI_ENDPOINT=civitai.endpoint, CIVITAI_TOKEN=civitai.token)
        civitai.refusals[128713] = refusal
        report = here.push(REFERENCE)
    assert report.exit_code == code
    assert report.outcomes[0].error is not None
    assert report.outcomes[0].error.remedy or code == 4
    assert here.there == {}


# sidecars ---------------------------------------------------------------------------------------------

STEM = PLACE.removesuffix(".safetensors")


@on_both
def test_sidecars_have_the_names_that_the_webui_reads(here: World) -> None:
    outcomes = here.push(REFERENCE, sidecars=True).outcomes
    assert {outcome.status for outcome in outcomes} == {"placed"}
    assert set(here.there) == {PLACE, f"{STEM}.preview.png", f"{STEM}.json", f"{STEM}.civitai.info"}
    assert (here.root / f"{STEM}.preview.png").read_bytes() == PICTURE
    facts = json.loads((here.root / f"{STEM}.json").read_text())
    assert (facts["sd version"], facts["activation text"]) == ("SD1", "dreamy style, masterpiece")
    assert json.loads((here.root / f"{STEM}.civitai.info").read_text())["id"] == 128713
    assert outcomes[0].name == NAME
    assert here.parts == []


def test_sidecars_are_not_looked_for_in_the_webui(here: World) -> None:
    with FakeA1111(here.root) as webui:
        here.app.login(LoginRequest("generic", name="canvas", webui="a1111", webui_url=webui.url))
        model, *beside = here.push(REFERENCE, sidecars=True).outcomes
    assert model.webui == Notice(True, True)
    assert len(beside) == 3
    assert {outcome.webui for outcome in beside} == {None}


def test_sidecar_that_is_there_stays_without_replace(here: World) -> None:
    mine = here.root / f"{STEM}.json"
    mine.write_text("mine")
    report = here.push(REFERENCE, sidecars=True)
    assert report.exit_code == 0
    assert mine.read_text() == "mine"
    again = here.push(REFERENCE, sidecars=True)
    assert [outcome.name for outcome in again.outcomes] == [NAME]
    assert here.push(REFERENCE, sidecars=True, replace=True).exit_code == 0
    assert "activation text" in mine.read_text()


def test_sidecars_are_only_written_on_request(here: World) -> None:
    here.placed(REFERENCE)
    assert set(here.there) == {PLACE}


def test_sidecars_of_a_failed_model_are_not_sent(here: World, civitai: Civitai) -> None:
    civitai.models[4384]["modelVersions"][0]["files"][0]["content"] = OTHER
    assert here.push(REFERENCE, sidecars=True).exit_code == 7
    (here.root / PLACE).write_bytes(b"another")
    assert here.push(REFERENCE, sidecars=True).exit_code == 1
    assert set(here.there) == {PLACE}


@pytest.mark.parametrize("picture", [Refusal(404), Refusal(200, "a film, not a picture"), Refusal(500)])
def test_sidecars_failed_picture_stops_no_model(here: World, civitai: Civitai, picture: Refusal) -> None:
    civitai.failures["images"] = [picture] * 9
    assert here.push(REFERENCE, sidecars=True).exit_code == 0
    assert set(here.there) == {PLACE, f"{STEM}.json", f"{STEM}.civitai.info"}
    assert "goes without its preview" in here.said


def test_sidecars_are_only_those_the_webui_reads(tmp_path: Path, civitai: Civitai) -> None:
    for webui, folder, files in (
        ("comfyui", "models/checkpoints", [f"{NAME[:-12]}.preview.png", NAME]),
        ("fooocus", "models/checkpoints", [NAME]),
    ):
        base = tmp_path / webui
        base.mkdir()
        with serve(base / "server", "embedded") as server:
            environ: dict[str, Any] = {"CIVITAI_ENDPOINT": civitai.endpoint, "CIVITAI_TOKEN": civitai.token}
            here = world(base, server, webui=webui, folders=(folder,), **environ)
            assert here.push(REFERENCE, sidecars=True).exit_code == 0
            assert sorted(here.there) == sorted(f"{folder}/{name}" for name in files)


def test_sidecars_and_notes_are_in_the_plan(here: World) -> None:
    plan = here.dry(REFERENCE, sidecars=True)
    assert plan.steps[0].item.name == NAME
    assert len(plan.steps) == 4
    assert plan.steps[0].item.artifact.notes
    assert here.there == {}


def test_civitai_single_file_needs_no_file_option(here: World) -> None:
    assert here.fails(here.model(), file="x.safetensors") == "usage"


def test_sidecars_of_models_with_one_stem_are_shared(here: World, civitai: Civitai) -> None:
    twin = file(90, pickle.dumps({"epoch": 1}, protocol=2), "dreamshaper_8.ckpt", metadata={"format": "PickleTensor"})
    civitai.models[4384]["modelVersions"][0]["files"].append(twin)
    report = here.push(REFERENCE, f"{REFERENCE}+90", sidecars=True, allow_pickle=True)
    assert (report.exit_code, len(report.outcomes)) == (0, 5)


def test_sidecars_of_a_local_file_are_none(here: World) -> None:
    assert here.push(here.model(), sidecars=True).exit_code == 0
    assert "its source tells nothing" in here.said
