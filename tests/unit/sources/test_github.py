from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from tests.servers.github import RESET, GitHub
from tests.servers.models import safetensors
from uploader.artifact import Artifact, Service, WebFile
from uploader.errors import NetworkError, NotAModel, RateLimited, SourceMissing, UsageError
from uploader.http import Http
from uploader.reference import parse
from uploader.sources import Choice, Sources, open_stream, resolve

MODEL = safetensors("lora", size_bytes=200_000)
OTHER = safetensors("lora", size_bytes=200_000, seed=1)
LATEST = "https://github.com/owner/repo/releases/latest/download/a.safetensors"
TAGGED = "https://github.com/owner/repo/releases/download/v1.0/a.safetensors"


@pytest.fixture
def github() -> Iterator[GitHub]:
    with GitHub() as server:
        yield server


@pytest.fixture
def sources(github: GitHub) -> Iterator[Sources]:
    with Http() as http:
        yield Sources(http, environ={"GITHUB_ENDPOINT": github.url("")})


def found(sources: Sources, text: str, file: str | None = None) -> Artifact:
    (artifact,) = resolve(parse(text), sources, Choice(file=file))
    return artifact


def read(sources: Sources, artifact: Artifact) -> bytes:
    return b"".join(open_stream(artifact, sources).read())


def asked_api(github: GitHub) -> bool:
    return any(request.path.startswith("/repos/") for request in github.requests)


@pytest.mark.parametrize("tag", ["v1.0", "release/1.0", "v1+x%"])
def test_an_asset_has_the_size_and_the_sha256_that_github_took(github: GitHub, sources: Sources, tag: str) -> None:
    github.release("owner/repo", tag, {"a.safetensors": MODEL, "notes.txt": b"x"})
    typed = tag.replace("%", "%25")
    artifact = found(sources, f"https://github.com/owner/repo/releases/download/{typed}/a.safetensors")
    assert (artifact.name, artifact.size) == ("a.safetensors", len(MODEL))
    assert str(artifact.digest) == hashlib.sha256(MODEL).hexdigest()
    assert isinstance(artifact.origin, WebFile)
    assert artifact.origin.service is Service.GITHUB
    assert github.storage.requests == []
    assert read(sources, artifact) == MODEL


def test_the_latest_release_is_pinned_when_it_is_looked_at(github: GitHub, sources: Sources) -> None:
    github.release("owner/repo", "v1.0", {"a.safetensors": MODEL})
    artifact = found(sources, LATEST)
    assert artifact.source == LATEST
    github.release("owner/repo", "v2.0", {"a.safetensors": OTHER})
    assert read(sources, artifact) == MODEL
    assert read(sources, found(sources, LATEST)) == OTHER


def test_an_asset_older_than_the_digests_is_known_by_its_link(github: GitHub, sources: Sources) -> None:
    github.release("owner/repo", "v1.0", {"a.safetensors": MODEL}, digests=False)
    artifact = found(sources, TAGGED)
    assert (artifact.size, artifact.digest) == (len(MODEL), None)
    assert isinstance(artifact.origin, WebFile)
    assert artifact.origin.validator is not None
    assert artifact.origin.ranges


@pytest.mark.parametrize("text", [TAGGED, LATEST])
@pytest.mark.parametrize("status", [403, 429])
def test_where_the_api_answers_no_more_the_link_itself_does(
    github: GitHub, sources: Sources, text: str, status: int
) -> None:
    github.release("owner/repo", "v1.0", {"a.safetensors": MODEL})
    github.calls_left, github.refusal = 0, status
    artifact = found(sources, text)
    assert asked_api(github)
    assert (artifact.name, artifact.size, artifact.digest) == ("a.safetensors", len(MODEL), None)
    (note,) = artifact.notes
    assert "sha256" in note
    github.release("owner/repo", "v2.0", {"a.safetensors": OTHER})
    assert read(sources, artifact) == MODEL


def test_where_the_api_is_out_of_order_the_link_itself_answers(github: GitHub, sources: Sources) -> None:
    github.release("owner/repo", "v1.0", {"a.safetensors": MODEL})
    github.outage = True
    assert found(sources, TAGGED).size == len(MODEL)


@pytest.mark.parametrize(
    "text",
    [
        "https://github.com/owner/repo/releases",
        "https://github.com/owner/repo/releases/latest",
        "https://github.com/owner/repo/releases/tag/v1.0",
    ],
)
def test_resolve_release_lists_models_and_asks_for_one(github: GitHub, sources: Sources, text: str) -> None:
    release = github.release(
        "owner/repo", "v1.0", {"b.pth": OTHER, "a.safetensors": MODEL, "x.zip": b"PK", "c.pt": b"c"}
    )
    release.draft_of_upload.add("c.pt")
    with pytest.raises(UsageError) as caught:
        found(sources, text)
    assert caught.value.exit_code == 2
    assert caught.value.message.splitlines() == [
        "the release v1.0 of owner/repo is not one file; it holds 2 model files:",
        "  200.00 kB  https://github.com/owner/repo/releases/download/v1.0/a.safetensors",
        "  200.00 kB  https://github.com/owner/repo/releases/download/v1.0/b.pth",
    ]
    assert found(sources, text, file="b.pth").name == "b.pth"


def test_resolve_quota_of_an_hour_is_not_waited_for(github: GitHub, sources: Sources) -> None:
    github.release("owner/repo", "v1.0", {"a.safetensors": MODEL})
    github.calls_left = 0
    with pytest.raises(RateLimited) as caught:
        found(sources, "https://github.com/owner/repo/releases/latest")
    assert caught.value.wait is not None
    assert caught.value.wait < RESET
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("https://github.com/owner/nothing/releases/latest", None),
        ("https://github.com/owner/repo/releases/tag/v9", None),
        ("https://github.com/owner/repo/releases/download/v9/a.safetensors", None),
        ("https://github.com/owner/repo/releases/download/v9/a.safetensors", 0),
        ("https://github.com/owner/repo/releases/download/v1.0/b.safetensors", None),
        ("https://github.com/owner/repo/releases/download/v1.0/b.safetensors", 0),
        ("https://github.com/owner/nothing/releases/latest/download/a.safetensors", 0),
    ],
)
def test_what_is_not_there_is_told(github: GitHub, sources: Sources, text: str, calls: int | None) -> None:
    github.release("owner/repo", "v1.0", {"a.safetensors": MODEL})
    github.calls_left = calls
    with pytest.raises(SourceMissing) as caught:
        found(sources, text)
    assert caught.value.exit_code == 4
    assert "/owner/" in caught.value.message + str(caught.value.remedy)


def test_an_empty_asset_is_no_model(github: GitHub, sources: Sources) -> None:
    github.release("owner/repo", "v1.0", {"a.safetensors": b""})
    with pytest.raises(NotAModel):
        found(sources, TAGGED)


def test_read_expired_link_is_made_again(github: GitHub, sources: Sources) -> None:
    github.release("owner/repo", "v1.0", {"a.safetensors": MODEL})
    stream = open_stream(found(sources, TAGGED), sources)
    github.storage.life = 1
    assert stream.slice(0, 10) + stream.slice(10, 10) == MODEL[:20]
    github.storage.life = 0
    with pytest.raises(NetworkError, match="run out") as caught:
        stream.slice(0, 10)
    assert caught.value.retryable
