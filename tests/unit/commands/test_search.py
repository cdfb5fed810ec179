"""`search`: the models of Civitai that can be pushed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.world import App
from tests.servers.civitai import Civitai, Refusal, file, model, version
from uploader.api import SearchRequest
from uploader.artifact import Kind
from uploader.errors import RateLimited, UsageError
from uploader.reference import CivitaiReference, parse

BYTES = bytes(2_000_000)


@pytest.fixture
def civitai() -> Iterator[Civitai]:
    with Civitai() as service:
        draft = version(4, status="Draft")
        service.add(model(1, "majicMIX realistic", draft, version(10, file(1, BYTES), name="v7")))
        twins = (file(2, BYTES, "a.safetensors"), file(3, BYTES + b"x", "b.safetensors"))
        service.add(model(2, "majicMIX fantasy", version(20, *twins, baseModel="SDXL 1.0"), type="LORA"))
        service.add(model(3, "majicMIX held", version(30, file(4, BYTES), usageControl="Generation")))
        service.add(model(4, "other", version(40, file(5, BYTES))))
        yield service
        service.assert_no_token_strayed()


@pytest.fixture
def here(tmp_path: Path, civitai: Civitai) -> App:
    environ = {"CIVITAI_ENDPOINT": civitai.endpoint, "CIVITAI_TOKEN": Civitai.token}
    return App(environ=environ, prompter=None, state=tmp_path, wait=lambda _: False)


def test_search_hit_has_the_reference_to_push(here: App) -> None:
    first, second = here.search(SearchRequest("MAJICmix"))
    assert (first.reference, first.name, first.version) == ("civitai:1@10", "majicMIX realistic", "v7")
    assert (first.kind, first.base, first.file, first.size) == (
        Kind.CHECKPOINT, "SD 1.5", "dreamshaper_8.safetensors", len(BYTES),
    )  # fmt: skip
    assert (first.downloads, first.creator) == (12345, "Lykon")
    assert parse(first.reference) == CivitaiReference(1, 10)
    assert (second.reference, second.file, second.kind) == ("civitai:2@20", None, Kind.LORA)


def test_search_hides_what_cannot_be_downloaded(here: App) -> None:
    assert "civitai:3@30" not in [hit.reference for hit in here.search(SearchRequest("majicMIX"))]
    assert here.search(SearchRequest("nothing of that name")) == []


def test_search_sends_kind_and_base(here: App, civitai: Civitai) -> None:
    assert [hit.reference for hit in here.search(SearchRequest("majic", kind=Kind.LORA))] == ["civitai:2@20"]
    assert [hit.reference for hit in here.search(SearchRequest("majic", base="sdxl 1.0"))] == ["civitai:2@20"]
    assert "baseModels=SDXL+1.0" in civitai.seen[-1].path
    with pytest.raises(UsageError) as caught:
        here.search(SearchRequest("majic", base="SD XL"))
    assert "SDXL 1.0" in (caught.value.remedy or "")


def test_search_without_list_of_bases_sends_the_typed_one(here: App, civitai: Civitai) -> None:
    civitai.failures["site"] = [Refusal(500)]
    assert here.search(SearchRequest("majic", base="SD 1.5"))[0].reference == "civitai:1@10"


def test_search_busy_answer_is_tried_again(here: App, civitai: Civitai) -> None:
    civitai.failures["site"] = [Refusal(503, "", {"Retry-After": "2"})] * 4
    assert len(here.search(SearchRequest("majic"))) == 2
    civitai.failures["site"] = [Refusal(429)] * 20
    with pytest.raises(RateLimited):
        here.search(SearchRequest("majic"))


def test_search_returns_at_most_the_limit(here: App) -> None:
    assert len(here.search(SearchRequest("majic", count=1))) == 1
