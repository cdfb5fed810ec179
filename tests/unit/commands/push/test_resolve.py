from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.servers.huggingface import HuggingFace
from tests.servers.models import PRESETS, safetensors
from tests.servers.torch_files import torch_zip, weights
from tests.unit.reference.test_parse import REFUSED_WITH_A_SECRET
from uploader import profiles as profiles
from uploader.artifact import Service
from uploader.commands.push.request import PushRequest
from uploader.commands.push.resolve import Place, Resolver
from uploader.errors import ReferenceInvalid, UsageError
from uploader.events import silence
from uploader.http import Http
from uploader.profile import Target
from uploader.reference import parse
from uploader.retry import Retry
from uploader.secret import Secret, Token
from uploader.sources import Sources, resolve
from uploader.sources.endpoints import DEFAULT_ENDPOINTS, DefaultEndpoint, Endpoint

PLACE = Place(Target("box", "generic", "a1111", "h", "webui"), profiles.load().webui("a1111"), {})


@pytest.fixture
def http() -> Iterator[Http]:
    with Http() as http:
        yield http


def resolving(http: Http, *sources: str) -> Resolver:
    return Resolver(PushRequest(sources), PLACE, Sources(http), Retry(threading.Event(), silence))


@pytest.mark.parametrize("text", REFUSED_WITH_A_SECRET)
def test_fault_of_a_refused_reference_shows_no_secret(http: Http, text: str) -> None:
    looked = resolving(http, text)
    assert looked.run() == []
    (fault,) = looked.faults
    assert isinstance(fault.error, ReferenceInvalid)
    assert "secret" not in fault.source.lower()


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("https://[bad", "https://…"),
        ("x://[", "x://…"),
        ("civitai:0@128713", "civitai:0@128713"),
        ("civitai:4384@128713?token=x", "civitai:4384@128713…"),
        ("urn:air:sd1:lora:orchestrator:1@2", "urn:air:sd1:lora:orchestrator:1@2"),
        ("hf://a", "hf://a"),
        ("ftp://me:x@h/a.safetensors?key=x", "ftp://h/a.safetensors?…"),
        ("http:/h/x", "http:…"),
    ],
)
def test_malformed_reference_is_an_outcome_of_its_own(http: Http, text: str, source: str) -> None:
    looked = resolving(http, text, "also/not there.safetensors")
    looked.run()
    assert [fault.source for fault in looked.faults] == [source, "also/not there.safetensors"]


def test_fault_of_a_path_shows_it_as_typed(http: Http, tmp_path: Path) -> None:
    looked = resolving(http, f"{tmp_path}/a://b?c#d@e")
    looked.run()
    assert [fault.source for fault in looked.faults] == [f"{tmp_path}/a://b?c#d@e"]


def test_sources_of_one_name_are_a_fault_each(http: Http, tmp_path: Path) -> None:
    sources = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        sources.append(tmp_path / folder / "x.safetensors")
        sources[-1].write_bytes(safetensors("lora"))
    looked = resolving(http, *map(str, sources))
    looked.run()
    assert [fault.source for fault in looked.faults] == [str(source) for source in sources]
    (message,) = {fault.error.message for fault in looked.faults}
    assert all(str(source) in message for source in sources)
    assert all(isinstance(fault.error, UsageError) for fault in looked.faults)


@pytest.mark.parametrize("mirror", [False, True])
def test_digest_of_a_mirror_does_not_vouch_for_a_pickle(http: Http, mirror: bool) -> None:
    content = torch_zip({"state_dict": weights(PRESETS["checkpoint"])})
    with HuggingFace() as hub:
        hub.repo("org/model", {"old.ckpt": content})
        homes = {**DEFAULT_ENDPOINTS, Service.HUGGINGFACE: DefaultEndpoint((hub.url(""),), "HF_ENDPOINT", frozenset())}
        sources = Sources(http, environ={"HF_ENDPOINT": hub.url("")} if mirror else {}, defaults=homes)
        request = PushRequest(("hf://org/model/old.ckpt",))
        (item,) = Resolver(request, PLACE, sources, Retry(threading.Event(), silence)).run()
    assert item.artifact.digest is not None
    assert ("looked through as a whole" in item.here) is mirror
    assert (item.route == "local") is mirror


def test_token_kept_from_a_mirror_is_noted(http: Http) -> None:
    class Mirrored(Sources):
        """Sources whose Hub is a mirror on this machine."""

        def endpoint(self, service: Service) -> Endpoint:
            return replace(super().endpoint(service), note=note)

    kept = Token(Secret("t"), explicit=True)
    elsewhere = Sources(http, environ={"HF_ENDPOINT": "https://hf-mirror.com"}, tokens=lambda _: kept)
    note = elsewhere.endpoint(Service.HUGGINGFACE).note
    with HuggingFace() as hub:
        hub.repo("org/model", {"a.safetensors": safetensors("lora")})
        (artifact,) = resolve(
            parse("hf://org/model/a.safetensors"), Mirrored(http, environ={"HF_ENDPOINT": hub.url("")})
        )
    assert artifact.notes[-1] == note
    assert "hf-mirror.com" in artifact.notes[-1]
