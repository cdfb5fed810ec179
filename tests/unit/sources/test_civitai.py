"""Civitai: which file a reference means, what each of its answers means, and who sees the token."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.servers.civitai import Civitai, Refusal, file, model, version
from tests.servers.models import safetensors
from uploader.artifact import Artifact, Digest, Kind, Service
from uploader.errors import (
    CredentialsMissing,
    CredentialsRefused,
    NetworkError,
    NotAModel,
    RateLimited,
    SourceChanged,
    SourceMissing,
    SourceRefused,
    UploaderError,
    UsageError,
)
from uploader.http import Http
from uploader.reference import parse
from uploader.secret import Secret, Token
from uploader.sources import Choice, Sources, open_stream, resolve
from uploader.sources.endpoints import DEFAULT_ENDPOINTS

CONTENT = safetensors("checkpoint", size_bytes=300_000)
OTHER = safetensors("checkpoint", size_bytes=310_000, seed=2)


@pytest.fixture
def civitai() -> Iterator[Civitai]:
    with Civitai() as service:
        service.add(model(4384, "DreamShaper", version(128713, file(77, CONTENT))))
        yield service
        service.assert_no_token_strayed()


@pytest.fixture
def sources(civitai: Civitai) -> Iterator[Sources]:
    with Http() as http:
        yield visiting(civitai, http)


def visiting(civitai: Civitai, http: Http, token: str | None = Civitai.token) -> Sources:
    known = None if token is None else Token(Secret(token), explicit=True)
    return Sources(http, environ={"CIVITAI_ENDPOINT": civitai.endpoint}, tokens=lambda _: known)


def one(text: str, sources: Sources, **choice: Any) -> Artifact:
    (artifact,) = resolve(parse(text), sources, Choice(**choice))
    return artifact


def content(artifact: Artifact, sources: Sources) -> bytes:
    return b"".join(open_stream(artifact, sources).read())


# what it becomes --------------------------------------------------------------------------------------


def test_resolve_version_gives_all_facts_of_the_api(civitai: Civitai, sources: Sources) -> None:
    artifact = one("civitai:4384@128713", sources)
    assert (artifact.source, artifact.name) == ("civitai:4384@128713", "dreamshaper_8.safetensors")
    assert (artifact.size, artifact.kind) == (len(CONTENT), Kind.CHECKPOINT)
    assert artifact.digest == Digest(hashlib.sha256(CONTENT).hexdigest())
    assert artifact.notes[0] == "DreamShaper 8 on Civitai, base model SD 1.5"
    assert "trigger words: dreamy style, masterpiece" in artifact.notes
    assert content(artifact, sources) == CONTENT


@pytest.mark.parametrize(
    "text",
    [
        "civitai:4384",
        "civitai:@128713",
        "civitai:4384+77",
        "urn:air:sd1:checkpoint:civitai:4384@128713",
        "https://civitai.com/models/4384/dreamshaper",
        "https://civitai.red/models/4384?modelVersionId=128713",
        "https://civitai.com/api/download/models/128713?type=Model&format=SafeTensor&size=pruned&fp=fp16&token=x",
    ],
)
def test_every_form_leads_to_the_same_file(sources: Sources, text: str) -> None:
    assert one(text, sources).identity == one("civitai:4384@128713+77", sources).identity


def test_resolve_asks_by_get_with_the_file_id(civitai: Civitai, sources: Sources) -> None:
    decoy = file(78, OTHER, "full.safetensors", metadata={"size": "full", "fp": "fp32"})
    civitai.add(model(4384, "DreamShaper", version(128713, file(77, CONTENT), decoy)))
    assert content(one("civitai:4384@128713", sources), sources) == CONTENT
    assert {seen.method for seen in civitai.seen} == {"GET"}
    assert {seen.path for seen in civitai.asked("site", "/api/download/")} == {"/api/download/models/128713?fileId=77"}
    agents = {seen.headers["user-agent"].lower() for seen in civitai.seen}
    assert not any(word in agent for agent in agents for word in ("mozilla", "chrome", "safari", "edge", "urllib"))


def test_of_a_model_the_first_published_version_is_taken(civitai: Civitai, sources: Sources) -> None:
    draft = version(3, file(1, OTHER), status="Draft")
    civitai.add(model(9, "Several", draft, version(2, file(2, CONTENT)), version(1, file(3, OTHER))))
    assert content(one("civitai:9", sources), sources) == CONTENT
    civitai.add(model(10, "None", draft))
    with pytest.raises(SourceMissing, match="no published version"):
        one("civitai:10", sources)


def test_a_version_of_another_model_is_not_passed_off(sources: Sources) -> None:
    with pytest.raises(SourceMissing, match="belongs to model 4384"):
        one("civitai:1@128713", sources)


def test_resolve_asks_the_second_address_for_a_missing_model(civitai: Civitai) -> None:
    civitai.on_red_alone.add(4384)
    addresses = (civitai.address("site"), civitai.address("red"))
    hosts = frozenset(address.removeprefix("http://") for address in addresses)
    defaults = {Service.CIVITAI: replace(DEFAULT_ENDPOINTS[Service.CIVITAI], addresses=addresses, hosts=hosts)}
    with Http() as http:
        sources = Sources(http, tokens=lambda _: Token(Secret(Civitai.token), explicit=False), defaults=defaults)
        assert content(one("civitai:4384@128713", sources), sources) == CONTENT
        with pytest.raises(SourceMissing):
            one("civitai:5", sources)
    assert civitai.asked("red", "/api/download/")


# which file -------------------------------------------------------------------------------------------

PRUNED = file(1, CONTENT, "pruned.safetensors")
FULL = file(2, OTHER, "full.safetensors", metadata={"size": "full", "fp": "fp32"})
PICKLE = file(3, OTHER, "old.ckpt", metadata={"format": "PickleTensor"})
GGUF = file(4, OTHER, "q8.gguf", metadata={"format": "GGUF", "size": "full", "fp": "", "quantType": "Q8_0"})
VAE = file(5, OTHER, "x.vae.safetensors", type="VAE")
TRAINING = file(6, b"zip", "data.zip", type="Training Data", metadata={"format": "Other"})
TWIN = file(7, OTHER, "low_noise.safetensors")
NO_FP = file(10, OTHER, "low_noise.safetensors", metadata={"fp": ""})
NO_SIZE = file(11, OTHER, "low_noise.safetensors", metadata={"size": None})
NOTHING = file(12, OTHER, "low_noise.safetensors", metadata={"format": None, "size": "", "fp": None})
SAME = file(13, CONTENT, "copy.safetensors", metadata={"fp": ""})
UNET = file(8, OTHER, "unet.safetensors", type="UNet", metadata={"size": "full"})


@pytest.mark.parametrize(
    ("files", "choice", "chosen"),
    [
        ([FULL, PRUNED], {}, "pruned.safetensors"),
        ([FULL, PRUNED], {"prefer": ("full",)}, "full.safetensors"),
        ([PRUNED, FULL], {"prefer": ("fp32", "pruned")}, "full.safetensors"),
        ([FULL | {"metadata": {"format": "SafeTensor", "size": "full"}}, PRUNED], {}, "pruned.safetensors"),
        ([PRUNED, SAME], {}, "pruned.safetensors"),
        ([FULL, PICKLE], {}, "full.safetensors"),
        ([FULL, PICKLE], {"prefer": ("pickle",)}, "old.ckpt"),
        ([PICKLE], {}, "old.ckpt"),
        ([GGUF, FULL], {}, "full.safetensors"),
        ([GGUF, FULL], {"prefer": ("gguf",)}, "q8.gguf"),
        ([VAE, TRAINING, FULL], {}, "full.safetensors"),
        ([VAE, TRAINING], {}, "x.vae.safetensors"),
        ([PRUNED, TWIN], {"file": "LOW_noise.safetensors"}, "low_noise.safetensors"),
        ([PRUNED, VAE], {"file": "x.vae.safetensors"}, "x.vae.safetensors"),
    ],
)
def test_the_file_is_the_one_that_is_preferred(
    civitai: Civitai, sources: Sources, files: list[dict[str, Any]], choice: dict[str, Any], chosen: str
) -> None:
    civitai.add(model(9, "Several", version(90, *files)))
    artifact = one("civitai:9@90", sources, **choice)
    assert artifact.name == chosen
    if sum(each["name"] != "data.zip" for each in files) > 1:
        assert any("chosen among" in note for note in artifact.notes)


@pytest.mark.parametrize(
    "files",
    [
        [PRUNED, TWIN],
        [PRUNED, UNET],
        [PRUNED, TWIN, FULL],
        [VAE, GGUF | {"type": "Other"}],
        [PRUNED, NO_FP],
        [NO_SIZE, PRUNED],
        [PRUNED, NOTHING],
    ],
)
def test_among_different_models_nothing_is_guessed(
    civitai: Civitai, sources: Sources, files: list[dict[str, Any]]
) -> None:
    civitai.add(model(9, "Several", version(90, *files)))
    with pytest.raises(UsageError) as caught:
        one("civitai:9@90", sources)
    assert all(f"{each['name']} (" in caught.value.message for each in files[:2])
    assert "0.3 MB" in caught.value.message
    assert "--file" in (caught.value.remedy or "")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("civitai:9@90+7", "low_noise.safetensors"),
        ("https://civitai.com/api/download/models/90?fileId=8", "unet.safetensors"),
        ("https://civitai.com/api/download/models/90?type=UNet&format=SafeTensor", "unet.safetensors"),
    ],
)
def test_a_file_that_is_named_is_taken(civitai: Civitai, sources: Sources, text: str, name: str) -> None:
    civitai.add(model(9, "Several", version(90, PRUNED, TWIN, UNET)))
    assert one(text, sources).name == name


@pytest.mark.parametrize(
    ("text", "choice"),
    [("civitai:9@90+55", {}), ("civitai:9@90", {"file": "no.pt"}), ("civitai:9@90?format=GGUF", {})],
)
def test_a_file_that_is_not_there_is_told_with_those_that_are(
    civitai: Civitai, sources: Sources, text: str, choice: dict[str, Any]
) -> None:
    civitai.add(model(9, "Several", version(90, PRUNED)))
    with pytest.raises(SourceMissing, match=r"pruned\.safetensors"):
        one(text, sources, **choice)


@pytest.mark.parametrize(
    ("of", "type", "metadata", "kind"),
    [
        ("Checkpoint", "Model", {}, Kind.CHECKPOINT),
        ("Checkpoint", "Pruned Model", {}, Kind.CHECKPOINT),
        ("Checkpoint", "UNet", {}, Kind.DIFFUSION_MODEL),
        ("Checkpoint", "Diffusion Model", {}, Kind.DIFFUSION_MODEL),
        ("Checkpoint", "Model", {"format": "GGUF"}, Kind.DIFFUSION_MODEL),
        ("Checkpoint", "VAE", {}, Kind.VAE),
        ("Checkpoint", "Text Encoder", {}, Kind.TEXT_ENCODER),
        ("LORA", "Model", {}, Kind.LORA),
        ("LoCon", "Model", {}, Kind.LORA),
        ("DoRA", "Model", {}, Kind.LORA),
        ("TextualInversion", "Model", {}, Kind.EMBEDDING),
        ("TextualInversion", "Negative", {}, Kind.EMBEDDING),
        ("Controlnet", "Model", {}, Kind.CONTROLNET),
        ("MotionModule", "Model", {}, Kind.MOTION_MODULE),
        ("Detection", "Model", {}, Kind.DETECTOR),
        ("Poses", "Model", {}, None),
    ],
)
def test_the_kind_follows_the_file_and_then_the_model(
    civitai: Civitai, sources: Sources, of: str, type: str, metadata: dict[str, str], kind: Kind | None
) -> None:
    civitai.add(model(9, "One", version(90, file(1, CONTENT, type=type, metadata=metadata)), type=of))
    assert one("civitai:9@90", sources).kind == kind


# what its answers mean --------------------------------------------------------------------------------

DISABLED = {"error": "Unauthorized", "message": "The creator of this asset has disabled downloads on this file"}
EARLY = {"error": "Early Access", "deadline": "2026-12-24T10:00:00.000Z", "message": "buy it"}
LOGIN = "/login?returnUrl=x&reason=download-auth"


@pytest.mark.parametrize(
    ("refusal", "error", "said"),
    [
        (
            Refusal(401, {"error": "Unauthorized", "message": "logged in"}),
            CredentialsRefused,
            "does not take the token",
        ),
        (Refusal(307, location=LOGIN), CredentialsRefused, "does not take the token"),
        (Refusal(401, DISABLED), SourceRefused, "disabled"),
        (Refusal(403, EARLY), SourceRefused, "until 2026-12-24"),
        (Refusal(302, location="/model-versions/90"), SourceRefused, "early access"),
        (Refusal(403, "You do not have access to download this file"), CredentialsRefused, "not granted"),
        (Refusal(403, "Forbidden"), CredentialsRefused, "turns this machine"),
        (Refusal(410, {"error": "Archived"}), SourceRefused, "archived"),
        (Refusal(429, "unusual amount of downloading", {"Retry-After": "7"}), RateLimited, "slow down"),
        (Refusal(451, {"code": "REGION_BLOCKED"}), SourceRefused, "country"),
        (Refusal(404, {"error": "File not found"}), SourceMissing, "does not find it"),
        (Refusal(503, "", {"Retry-After": "2"}), RateLimited, "slow down"),
        (Refusal(500, "oops"), NetworkError, "trouble"),
    ],
)
def test_each_refusal_of_a_download_is_told_by_its_name(
    civitai: Civitai, sources: Sources, refusal: Refusal, error: type[UploaderError], said: str
) -> None:
    civitai.refusals[128713] = refusal
    with pytest.raises(error, match=said) as caught:
        one("civitai:4384@128713", sources)
    assert type(caught.value) is error
    # An outage of its storage looks like a file that is not there, and passes.
    assert caught.value.retryable is (refusal.status in (404, 429, 500, 503))


@pytest.mark.parametrize("status", [451, 403, 503, 404, 400])
def test_each_refusal_of_the_api_is_told_by_its_name(civitai: Civitai, sources: Sources, status: int) -> None:
    civitai.failures["site"] = [Refusal(status, {"code": "REGION_BLOCKED"})]
    expected = {404: SourceMissing, 403: CredentialsRefused, 503: NetworkError}.get(status, SourceRefused)
    with pytest.raises(expected) as caught:
        one("civitai:4384@128713", sources)
    assert type(caught.value) is expected
    assert caught.value.retryable is (status == 503)


def test_without_a_token_it_says_how_to_log_in(civitai: Civitai) -> None:
    with Http() as http, pytest.raises(CredentialsMissing) as caught:
        one("civitai:4384@128713", visiting(civitai, http, token=None))
    assert "uploader login civitai" in (caught.value.remedy or "")
    with Http() as http, pytest.raises(CredentialsRefused):
        one("civitai:4384@128713", visiting(civitai, http, token="outdated"))
    civitai.needs_login = False
    with Http() as http:
        assert one("civitai:4384@128713", visiting(civitai, http, token=None)).size == len(CONTENT)


@pytest.mark.parametrize(
    ("fields", "around", "error"),
    [
        ({}, {"mode": "Archived"}, SourceRefused),
        ({}, {"mode": "TakenDown"}, SourceRefused),
        ({"usageControl": "Generation"}, {}, SourceRefused),
        ({"files": []}, {}, SourceMissing),
    ],
)
@pytest.mark.parametrize("text", ["civitai:9@90", "civitai:9"])
def test_what_is_withheld_is_not_asked_for(
    civitai: Civitai, sources: Sources, fields: dict[str, Any], around: dict[str, Any], error: type, text: str
) -> None:
    civitai.add(model(9, "Held", version(90, file(1, CONTENT), **fields), **around))
    with pytest.raises(error):
        one(text, sources)
    assert not civitai.asked("site", "/api/download/")


def test_an_empty_file_is_no_model(civitai: Civitai, sources: Sources) -> None:
    civitai.add(model(9, "Empty", version(90, file(1, b""))))
    with pytest.raises((NotAModel, SourceMissing)):
        one("civitai:9@90", sources)


@pytest.mark.parametrize("said", [b"[]", b"{}", b'{"id": "x"}', b"<html>"])
def test_resolve_foreign_answer_is_retryable(civitai: Civitai, sources: Sources, said: bytes) -> None:
    civitai.failures["site"] = [Refusal(200, said.decode())]
    with pytest.raises(NetworkError):
        one("civitai:4384@128713", sources)


# reading ----------------------------------------------------------------------------------------------


def test_read_expired_link_is_asked_for_again(civitai: Civitai, sources: Sources) -> None:
    artifact = one("civitai:4384@128713", sources)
    stream = open_stream(artifact, sources)
    civitai.cuts = [100_000, 50_000]
    got, cuts = bytearray(), 0
    while len(got) < len(CONTENT):
        try:
            for chunk in stream.read(len(got)):
                got += chunk
        except NetworkError:
            cuts += 1
    assert (bytes(got), cuts) == (CONTENT, 2)
    signatures = [seen.path.partition("sig=")[2] for seen in civitai.asked("storage")]
    assert len(set(signatures)) == 3


def test_a_link_is_not_asked_for_again_while_it_works(civitai: Civitai, sources: Sources) -> None:
    stream = open_stream(one("civitai:4384@128713", sources), sources)
    for at in range(0, len(CONTENT), 100_000):
        assert stream.slice(at, 100_000) == CONTENT[at : at + 100_000]
    assert len(civitai.asked("site", "/api/download/")) == 1
    civitai.forget_signatures()
    assert content(one("civitai:4384@128713", sources), sources) == CONTENT
    assert len(civitai.asked("site", "/api/download/")) == 2


def test_a_link_that_the_storage_refuses_is_worth_another_try(civitai: Civitai, sources: Sources) -> None:
    artifact = one("civitai:4384@128713", sources)
    civitai.failures["storage"] = [Refusal(403, "<Error>expired</Error>")] * 2
    with pytest.raises(NetworkError, match="storage"):
        content(artifact, sources)
    assert content(artifact, sources) == CONTENT


def test_a_file_that_was_replaced_in_the_meantime_is_noticed(civitai: Civitai, sources: Sources) -> None:
    artifact = one("civitai:4384@128713", sources)
    civitai.etags[77] = '"77-2"'
    stream = open_stream(artifact, sources)
    with pytest.raises(SourceChanged):
        list(stream.read(1000))


def test_early_access_that_is_over_is_no_news(civitai: Civitai, sources: Sources) -> None:
    held = civitai.models[4384]["modelVersions"][0]
    for ends, told in (("2023-01-01T00:00:00.000Z", False), ("2999-01-01T00:00:00.000Z", True)):
        held["earlyAccessEndsAt"] = ends
        assert any("early access" in note for note in one("civitai:4384@128713", sources).notes) is told


def test_identity_changes_with_the_file_alone(civitai: Civitai, sources: Sources) -> None:
    first = one("civitai:4384@128713", sources).identity
    assert one("civitai:@128713", sources).identity == first
    civitai.models[4384]["modelVersions"][0]["files"][0] = file(77, OTHER)
    assert one("civitai:4384@128713", sources).identity != first


@pytest.mark.parametrize("sha256", [None, "", "not a hash", 7])
def test_a_hash_that_is_missing_or_odd_is_none(civitai: Civitai, sources: Sources, sha256: object) -> None:
    civitai.models[4384]["modelVersions"][0]["files"][0]["hashes"] = {"SHA256": sha256}
    artifact = one("civitai:4384@128713", sources)
    assert artifact.digest is None
    assert "Civitai publishes no sha256 of it" in artifact.notes
