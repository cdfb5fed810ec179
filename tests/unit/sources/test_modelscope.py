from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from tests.servers.models import safetensors
from tests.servers.modelscope import ModelScope
from uploader.artifact import Artifact, Service, WebFile
from uploader.errors import CredentialsRefused, NetworkError, SourceMissing, UsageError
from uploader.http import Http
from uploader.reference import parse
from uploader.sources import Choice, Sources, open_stream, resolve
from uploader.sources.endpoints import DefaultEndpoint

MODEL = safetensors("lora", size_bytes=200_000)
PAGE = "https://modelscope.cn/models/org/name"
FILE = f"{PAGE}/resolve/master/loras/a.safetensors"


@pytest.fixture
def scope() -> Iterator[ModelScope]:
    with ModelScope() as server:
        yield server


@pytest.fixture
def sources(scope: ModelScope) -> Iterator[Sources]:
    with Http() as http:
        yield Sources(http, environ={"MODELSCOPE_ENDPOINT": scope.url("")})


def found(sources: Sources, text: str, file: str | None = None) -> Artifact:
    (artifact,) = resolve(parse(text), sources, Choice(file=file))
    return artifact


def read(sources: Sources, artifact: Artifact) -> bytes:
    return b"".join(open_stream(artifact, sources).read())


@pytest.mark.parametrize(
    "text",
    [
        FILE,
        f"{PAGE}/file/view/master/loras/a.safetensors?status=2",
        "https://www.modelscope.cn/api/v1/models/org/name/repo?Revision=master&FilePath=loras%2Fa.safetensors",
    ],
)
def test_a_file_has_the_size_and_the_sha256_of_the_list(scope: ModelScope, sources: Sources, text: str) -> None:
    scope.model("org/name", {"loras/a.safetensors": MODEL, "configuration.json": b"{}"})
    artifact = found(sources, text)
    assert (artifact.name, artifact.size) == ("a.safetensors", len(MODEL))
    assert str(artifact.digest) == hashlib.sha256(MODEL).hexdigest()
    assert isinstance(artifact.origin, WebFile)
    assert artifact.origin.service is Service.MODELSCOPE
    assert scope.storage.requests == []
    assert read(sources, artifact) == MODEL


def test_without_a_sha256_the_link_says_what_it_can(scope: ModelScope, sources: Sources) -> None:
    scope.hashes = False
    scope.model("org/name", {"loras/a.safetensors": MODEL})
    artifact = found(sources, FILE)
    assert (artifact.size, artifact.digest) == (len(MODEL), None)
    assert isinstance(artifact.origin, WebFile)
    assert artifact.origin.validator is not None
    assert artifact.origin.ranges


def test_a_revision_may_be_named(scope: ModelScope, sources: Sources) -> None:
    scope.model("org/name", {"a.safetensors": b"other bytes"})
    scope.model("org/name", {"a.safetensors": MODEL}, "v1 beta")
    assert read(sources, found(sources, f"{PAGE}/resolve/v1%20beta/a.safetensors")) == MODEL


def test_the_international_site_has_models_of_its_own(scope: ModelScope) -> None:
    with ModelScope() as international, Http() as http:
        international.model("org/name", {"loras/a.safetensors": MODEL})
        home = DefaultEndpoint((scope.url(""), international.url("")), "MODELSCOPE_ENDPOINT", frozenset())
        sources = Sources(http, defaults={Service.MODELSCOPE: home})
        artifact = found(sources, FILE.replace(".cn", ".ai"))
        assert read(sources, artifact) == MODEL
        with pytest.raises(SourceMissing) as caught:
            found(sources, FILE)
        assert scope.url("/models/org/name") in str(caught.value.remedy)
        assert scope.storage.requests == []


def test_resolve_repository_lists_models_and_asks_for_one(scope: ModelScope, sources: Sources) -> None:
    scope.model("org/name", {"b.ckpt": b"b" * 20, "loras/a.safetensors": MODEL, "README.md": b"#"})
    with pytest.raises(UsageError) as caught:
        found(sources, PAGE)
    assert caught.value.message.splitlines() == [
        "org/name on ModelScope is not one file; it holds 2 model files:",
        "   20 bytes  https://modelscope.cn/models/org/name/resolve/master/b.ckpt",
        f"  200.00 kB  {FILE}",
    ]
    with pytest.raises(UsageError) as caught:
        found(sources, f"{PAGE}/tree/master/loras")
    assert "b.ckpt" not in caught.value.message
    assert found(sources, PAGE, file="a.safetensors").size == len(MODEL)


@pytest.mark.parametrize("text", [f"{PAGE}/resolve/master/b.pt", f"{PAGE}/resolve/v9/a.pt", PAGE[:-1]])
def test_what_is_not_there_is_told(scope: ModelScope, sources: Sources, text: str) -> None:
    scope.model("org/name", {"a.pt": MODEL})
    with pytest.raises(SourceMissing) as caught:
        found(sources, text)
    assert "/models/org/nam" in str(caught.value.remedy)


def test_a_refusal_inside_an_answer_of_200_is_one_too(scope: ModelScope, sources: Sources) -> None:
    scope.serve_list({"Code": 10010205001, "Message": "gone for good", "Success": False})
    with pytest.raises(SourceMissing, match="gone for good"):
        found(sources, FILE)


def test_a_private_model_is_told_with_the_way_round(scope: ModelScope, sources: Sources) -> None:
    scope.private.add("org/name")
    with pytest.raises(CredentialsRefused) as caught:
        found(sources, FILE)
    assert caught.value.exit_code == 3
    assert "browser" in str(caught.value.remedy)


def test_a_signed_link_that_runs_out_is_worth_another_try(scope: ModelScope, sources: Sources) -> None:
    scope.model("org/name", {"loras/a.safetensors": MODEL})
    stream = open_stream(found(sources, FILE), sources)
    scope.storage.life = 0
    with pytest.raises(NetworkError, match="run out"):
        stream.slice(0, 10)
    scope.storage.life = 1
    assert stream.slice(0, 10) == MODEL[:10]
