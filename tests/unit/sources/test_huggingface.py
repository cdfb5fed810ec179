from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator

import pytest

from tests.servers.huggingface import HuggingFace
from tests.servers.models import safetensors
from uploader.artifact import Artifact, Digest, Service, WebFile
from uploader.errors import (
    CredentialsMissing,
    CredentialsRefused,
    NetworkError,
    NotAModel,
    RateLimited,
    ReferenceInvalid,
    SourceMissing,
    SourceRefused,
    UploaderError,
    UsageError,
)
from uploader.events import silence
from uploader.http import Http
from uploader.reference import parse
from uploader.retry import Retry
from uploader.secret import Secret, Token
from uploader.sources import Choice, Sources, open_stream, resolve
from uploader.sources.endpoints import DefaultEndpoint

MODEL = safetensors("lora", size_bytes=300_000)
OTHER = safetensors("lora", size_bytes=300_000, seed=1)
TOKEN = "hf_theTokenOfThisTest"
REPO = "org/model"


@pytest.fixture
def hub() -> Iterator[HuggingFace]:
    with HuggingFace() as server:
        yield server


@pytest.fixture
def http() -> Iterator[Http]:
    with Http() as client:
        yield client


def at(hub: HuggingFace, http: Http, token: str | None = None) -> Sources:
    known = None if token is None else Token(Secret(token), explicit=True)
    return Sources(http, environ={"HF_ENDPOINT": hub.url("")}, tokens=lambda _: known)


def found(hub: HuggingFace, http: Http, text: str, token: str | None = None, file: str | None = None) -> Artifact:
    (artifact,) = resolve(parse(text), at(hub, http, token), Choice(file=file))
    return artifact


def read(hub: HuggingFace, http: Http, artifact: Artifact, token: str | None = None) -> bytes:
    return b"".join(open_stream(artifact, at(hub, http, token)).read())


# a file -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "hf://org/model/loras/a b.safetensors",
        "https://huggingface.co/org/model/blob/main/loras/a%20b.safetensors",
        "https://huggingface.co/org/model/resolve/main/loras/a%20b.safetensors?download=true",
        "https://hf.co/org/model/raw/main/loras/a%20b.safetensors",
    ],
)
def test_a_file_has_the_size_and_the_sha256_that_the_hub_tells(hub: HuggingFace, http: Http, text: str) -> None:
    repo = hub.repo(REPO, {"loras/a b.safetensors": MODEL})
    artifact = found(hub, http, text)
    commit = repo.refs["main"]
    assert (artifact.name, artifact.size) == ("a b.safetensors", len(MODEL))
    assert str(artifact.digest) == hashlib.sha256(MODEL).hexdigest()
    assert isinstance(artifact.origin, WebFile)
    assert artifact.origin.url == hub.url(f"/org/model/resolve/{commit}/loras/a%20b.safetensors")
    assert artifact.origin.service is Service.HUGGINGFACE
    assert read(hub, http, artifact) == MODEL


def test_the_hub_itself_is_asked_once_and_its_store_not_at_all(hub: HuggingFace, http: Http) -> None:
    hub.repo(REPO, {"a.safetensors": MODEL})
    home = DefaultEndpoint((hub.url(""),), "HF_ENDPOINT", frozenset())
    resolve(parse("hf://org/model/a.safetensors"), Sources(http, defaults={Service.HUGGINGFACE: home}))
    assert [(request.method, request.headers["accept-encoding"]) for request in hub.requests] == [("HEAD", "identity")]
    assert hub.storage.requests == []


def test_of_a_mirror_it_is_seen_whether_it_can_do_ranges(hub: HuggingFace, http: Http) -> None:
    hub.repo(REPO, {"a.safetensors": MODEL})
    hub.storage.ranges = False
    origin = found(hub, http, "hf://org/model/a.safetensors").origin
    assert isinstance(origin, WebFile)
    assert not origin.ranges


def test_resolve_pins_the_commit_of_a_branch(hub: HuggingFace, http: Http) -> None:
    repo = hub.repo(REPO, {"a.safetensors": MODEL})
    artifact = found(hub, http, "hf://org/model/a.safetensors")
    stream = open_stream(artifact, at(hub, http))
    chunks = stream.read()
    begun = next(chunks)
    repo.commit({"a.safetensors": OTHER})
    assert begun + b"".join(stream.read(len(begun))) == MODEL
    stream.check()
    assert found(hub, http, "hf://org/model/a.safetensors").identity != artifact.identity


@pytest.mark.parametrize("cache", [False, True])
def test_a_small_file_of_git_s_own_has_no_sha256(hub: HuggingFace, http: Http, cache: bool) -> None:
    hub.small_by_cache = cache
    hub.repo(REPO, {"tiny.pt": b"\x80\x02" * 50})
    artifact = found(hub, http, "hf://org/model/tiny.pt")
    assert (artifact.size, artifact.digest) == (100, None)
    assert isinstance(artifact.origin, WebFile)
    assert artifact.origin.validator is not None
    assert read(hub, http, artifact) == b"\x80\x02" * 50


@pytest.mark.parametrize("revision", ["v1", "refs/pr/1", "feature/x"])
def test_a_revision_may_be_named(hub: HuggingFace, http: Http, revision: str) -> None:
    repo = hub.repo(REPO, {"a.safetensors": OTHER})
    repo.commit({"a.safetensors": MODEL}, revision)
    text = f"hf://org/model@{revision}/a.safetensors" if revision != "feature/x" else None
    artifact = found(hub, http, text or "hf://org/model@feature%2Fx/a.safetensors")
    assert read(hub, http, artifact) == MODEL


@pytest.mark.parametrize("kind", ["datasets", "spaces"])
def test_datasets_and_spaces_hold_models_too(hub: HuggingFace, http: Http, kind: str) -> None:
    hub.repo(REPO, {"a.safetensors": MODEL}, kind=kind)
    assert read(hub, http, found(hub, http, f"hf://{kind}/org/model/a.safetensors")) == MODEL
    with pytest.raises(UsageError, match=rf"hf://{kind}/org/model/a\.safetensors"):
        found(hub, http, f"https://huggingface.co/{kind}/org/model")


@pytest.mark.parametrize(
    "text",
    [
        "hf://buckets/org/model/loras/a b.safetensors",
        "https://huggingface.co/buckets/org/model/resolve/loras/a%20b.safetensors?download=true",
    ],
)
@pytest.mark.parametrize("sha256", [True, False])
def test_resolve_bucket_file_has_no_revision(hub: HuggingFace, http: Http, text: str, sha256: bool) -> None:
    bucket = hub.repo(REPO, {"loras/a b.safetensors": MODEL}, kind="buckets")
    if not sha256:  # the store's own hash in its place
        bucket.claimed["loras/a b.safetensors"] = hashlib.sha256(b"xet" + MODEL).hexdigest()
    artifact = found(hub, http, text)
    assert (artifact.name, artifact.size) == ("a b.safetensors", len(MODEL))
    assert artifact.digest == (Digest(hashlib.sha256(MODEL).hexdigest()) if sha256 else None)
    assert isinstance(artifact.origin, WebFile)
    assert artifact.origin.url == hub.url("/buckets/org/model/resolve/loras/a%20b.safetensors")
    assert read(hub, http, artifact) == MODEL


def test_resolve_private_bucket_with_its_token(hub: HuggingFace, http: Http) -> None:
    hub.repo(REPO, {"a.safetensors": MODEL}, kind="buckets", private=True)
    hub.tokens[TOKEN] = {REPO}
    assert read(hub, http, found(hub, http, "hf://buckets/org/model/a.safetensors", TOKEN), TOKEN) == MODEL
    assert type(refused(hub, http, "hf://buckets/org/model/a.safetensors", None)) is CredentialsMissing


def test_resolve_bucket_lists_its_models(hub: HuggingFace, http: Http) -> None:
    files = {"a.safetensors": MODEL, "vae/b.safetensors": OTHER, "vae-old/c.safetensors": OTHER}
    hub.repo(REPO, files, kind="buckets")
    told = refused(hub, http, "hf://buckets/org/model", None)
    assert [line.split()[2] for line in told.message.splitlines()[1:]] == [
        f"hf://buckets/org/model/{path}" for path in sorted(files)
    ]
    told = refused(hub, http, "https://huggingface.co/buckets/org/model/tree/vae", None)
    assert [line.split()[2] for line in told.message.splitlines()[1:]] == ["hf://buckets/org/model/vae/b.safetensors"]
    missing = refused(hub, http, "hf://buckets/org/model/d.safetensors", None)
    assert "hf://buckets/org/model" in str(missing.remedy)
    assert "/tree/main" not in str(missing.remedy)


@pytest.mark.parametrize("text", ["hf://models/org/model/a.safetensors", "hf://org/model/blob/main/a.safetensors"])
def test_resolve_other_forms_of_the_hub(hub: HuggingFace, http: Http, text: str) -> None:
    hub.repo(REPO, {"a.safetensors": MODEL})
    assert read(hub, http, found(hub, http, text)) == MODEL


def test_a_repository_of_the_early_days_has_no_organization(hub: HuggingFace, http: Http) -> None:
    hub.repo("gpt2", {"a.safetensors": MODEL})
    assert read(hub, http, found(hub, http, "https://huggingface.co/gpt2/blob/main/a.safetensors")) == MODEL
    with pytest.raises(UsageError, match=r"huggingface\.co/gpt2/resolve/main/a\.safetensors"):
        found(hub, http, "https://huggingface.co/gpt2/tree/main")


def test_a_path_that_is_no_text_is_no_reference() -> None:
    with pytest.raises(ReferenceInvalid):
        parse("hf://org/model/\udcff.safetensors")


def test_resolve_old_name_leads_to_new_one_with_token(hub: HuggingFace, http: Http) -> None:
    hub.repo("org/new", {"a.safetensors": MODEL}, private=True)
    hub.renamed["org/old"] = "org/new"
    hub.tokens[TOKEN] = {"org/new"}
    artifact = found(hub, http, "hf://org/old/a.safetensors", TOKEN)
    assert read(hub, http, artifact, TOKEN) == MODEL


def test_the_same_bytes_keep_their_identity_wherever_they_lie(hub: HuggingFace, http: Http) -> None:
    hub.repo(REPO, {"a.safetensors": MODEL, "b.safetensors": MODEL})
    hub.repo("org/other", {"a.safetensors": OTHER})
    a, b, other = (
        found(hub, http, f"hf://{name}")
        for name in ("org/model/a.safetensors", "org/model/b.safetensors", "org/other/a.safetensors")
    )
    assert a.identity == b.identity != other.identity


def test_an_empty_file_is_no_model(hub: HuggingFace, http: Http) -> None:
    hub.repo(REPO, {"a.safetensors": b""})
    with pytest.raises(NotAModel, match="empty"):
        found(hub, http, "hf://org/model/a.safetensors")


def test_a_part_of_a_split_model_says_so(hub: HuggingFace, http: Http) -> None:
    hub.repo(REPO, {"model-00001-of-00003.safetensors": MODEL})
    (note,) = found(hub, http, "hf://org/model/model-00001-of-00003.safetensors").notes
    assert "part 1 of 3" in note


# signed links -----------------------------------------------------------------------------------------


def test_read_expired_link_is_made_again(hub: HuggingFace, http: Http) -> None:
    hub.repo(REPO, {"a.safetensors": MODEL})
    hub.storage.life = 1
    stream = open_stream(found(hub, http, "hf://org/model/a.safetensors"), at(hub, http))
    assert stream.slice(0, 10) + stream.slice(10, 10) == MODEL[:20]
    hub.storage.expire()
    assert b"".join(stream.read(20)) == MODEL[20:]


def test_read_asks_the_hub_once_for_all_chunks(hub: HuggingFace, http: Http) -> None:
    hub.repo(REPO, {"a.safetensors": MODEL})
    sources = at(hub, http)
    (artifact,) = resolve(parse("hf://org/model/a.safetensors"), sources)
    hub.forget()
    stream = open_stream(artifact, sources)
    assert b"".join(stream.slice(offset, 30_000) for offset in range(0, len(MODEL), 30_000)) == MODEL
    assert len(hub.requests) <= 1


def test_read_link_expired_on_the_way_is_retryable(hub: HuggingFace, http: Http) -> None:
    hub.repo(REPO, {"a.safetensors": MODEL})
    stream = open_stream(found(hub, http, "hf://org/model/a.safetensors"), at(hub, http))
    hub.storage.expire()
    hub.storage.life = 0
    with pytest.raises(NetworkError, match="run out") as caught:
        stream.slice(0, 10)
    assert caught.value.retryable
    hub.storage.life = None
    assert stream.slice(0, 10) == MODEL[:10]


# refusals ---------------------------------------------------------------------------------------------


def refused(hub: HuggingFace, http: Http, text: str, token: str | None) -> UploaderError:
    with pytest.raises(UploaderError) as caught:
        found(hub, http, text, token)
    assert TOKEN not in caught.value.message + str(caught.value.remedy)
    return caught.value


@pytest.mark.parametrize(
    ("text", "token", "error", "exit_code", "says"),
    [
        ("hf://org/gated/a.safetensors", None, CredentialsMissing, 3, "/org/gated"),
        ("hf://org/gated/a.safetensors", "hf_stranger", CredentialsRefused, 3, "/org/gated"),
        ("hf://org/private/a.safetensors", None, CredentialsMissing, 3, "/org/private"),
        ("hf://org/private/a.safetensors", "hf_stranger", SourceMissing, 4, "/org/private"),
        ("hf://org/private", None, CredentialsMissing, 3, "/org/private"),
        ("hf://org/nothing/a.safetensors", None, CredentialsMissing, 3, "/org/nothing"),
        ("hf://org/nothing/a.safetensors", "hf_stranger", SourceMissing, 4, "/org/nothing"),
        ("hf://org/nothing", "hf_stranger", SourceMissing, 4, "/org/nothing"),
        ("hf://org/model/b.safetensors", None, SourceMissing, 4, "no such file"),
        ("hf://org/model@v9/a.safetensors", None, SourceMissing, 4, "no such revision"),
        ("hf://org/model@v9", None, SourceMissing, 4, "no such revision"),
        ("https://huggingface.co/org/model/tree/main/nowhere", None, SourceMissing, 4, "no such file"),
        ("hf://org/disabled/a.safetensors", None, SourceRefused, 4, "/org/disabled"),
        ("hf://org/model/a.safetensors", "hf_outdated", CredentialsRefused, 3, "/settings/tokens"),
    ],
)
def test_each_refusal_says_what_it_is_and_where_to_go(
    hub: HuggingFace,
    http: Http,
    text: str,
    token: str | None,
    error: type[UploaderError],
    exit_code: int,
    says: str,
) -> None:
    hub.tokens["hf_stranger"] = set()
    hub.repo(REPO, {"a.safetensors": MODEL})
    hub.repo("org/gated", {"a.safetensors": MODEL}, gate=True)
    hub.repo("org/private", {"a.safetensors": MODEL}, private=True)
    hub.repo("org/disabled", {"a.safetensors": MODEL}, disabled=True)
    told = refused(hub, http, text, token)
    assert (type(told), told.exit_code, told.retryable) == (error, exit_code, False)
    assert says in told.message + " " + str(told.remedy)


@pytest.mark.parametrize("token", [None, "hf_stranger"])
def test_a_mirror_that_tells_no_code_is_understood_by_its_status(
    hub: HuggingFace, http: Http, token: str | None
) -> None:
    hub.tokens["hf_stranger"] = set()
    hub.repo(REPO, {"a.safetensors": MODEL})
    hub.codes = False
    assert type(refused(hub, http, "hf://org/model/b.safetensors", token)) is SourceMissing


def test_a_gate_opens_to_those_on_its_list(hub: HuggingFace, http: Http) -> None:
    hub.repo("org/gated", {"a.safetensors": MODEL}, gate=True)
    hub.tokens[TOKEN] = {"org/gated"}
    artifact = found(hub, http, "hf://org/gated/a.safetensors", TOKEN)
    assert read(hub, http, artifact, TOKEN) == MODEL


def test_resolve_gated_repository_lists_its_models(hub: HuggingFace, http: Http) -> None:
    hub.repo("org/gated", {"a.safetensors": MODEL}, gate=True)
    assert "hf://org/gated/a.safetensors" in refused(hub, http, "hf://org/gated", None).message


def test_read_lost_right_names_the_page_to_open(hub: HuggingFace, http: Http) -> None:
    hub.repo("org/gated", {"a.safetensors": MODEL}, gate=True)
    hub.tokens[TOKEN] = {"org/gated"}
    artifact = found(hub, http, "hf://org/gated/a.safetensors", TOKEN)
    hub.tokens[TOKEN] = set()
    hub.storage.expire()
    with pytest.raises(CredentialsRefused) as caught:
        read(hub, http, artifact, TOKEN)
    assert hub.url("/org/gated") in str(caught.value.remedy)


def test_a_used_up_quota_is_waited_for_as_long_as_the_hub_says(hub: HuggingFace, http: Http) -> None:
    hub.repo(REPO, {"a.safetensors": MODEL})
    hub.throttle = [37, 12]
    waited: list[float] = []

    def wait(seconds: float) -> bool:
        waited.append(seconds)
        return False

    retry = Retry(threading.Event(), silence, wait)
    artifact = retry(lambda: found(hub, http, "hf://org/model/a.safetensors"))
    assert artifact.size == len(MODEL)
    assert waited == [37.0, 12.0]


def test_a_used_up_quota_says_who_may_ask_more_often(hub: HuggingFace, http: Http) -> None:
    hub.throttle = [3]
    with pytest.raises(RateLimited, match="slow down") as caught:
        found(hub, http, "hf://org/model/a.safetensors")
    assert "login huggingface" in str(caught.value.remedy)


# a repository -----------------------------------------------------------------------------------------

FILES = {
    "README.md": b"# A model",
    "model.safetensors": MODEL,
    "model_index.json": b"{}",
    "old/model.ckpt": b"x" * 2_500,
    "text_encoder/model-00001-of-00002.safetensors": b"y" * 5_000_000,
    "text_encoder/model-00002-of-00002.safetensors": b"z" * 2_000,
}


@pytest.mark.parametrize("text", ["hf://org/model", "https://huggingface.co/org/model", "hf.co/org/model/tree/main"])
def test_resolve_repository_lists_models_and_asks_for_one(hub: HuggingFace, http: Http, text: str) -> None:
    hub.repo(REPO, FILES)
    hub.page_size = 2
    told = refused(hub, http, text, None)
    assert (type(told), told.exit_code) == (UsageError, 2)
    repo = "hf://org/model@main" if "tree" in text else "hf://org/model"
    assert told.message.splitlines() == [
        "org/model on Hugging Face is not one file; it holds 4 model files:",
        f"  300.00 kB  {repo}/model.safetensors",
        f"    2.50 kB  {repo}/old/model.ckpt",
        f"    5.00 MB  {repo}/text_encoder/model-00001-of-00002.safetensors  (part 1 of 2 of one model)",
        f"    2.00 kB  {repo}/text_encoder/model-00002-of-00002.safetensors  (part 2 of 2 of one model)",
    ]


def test_each_line_of_the_list_can_be_pushed(hub: HuggingFace, http: Http) -> None:
    hub.repo(REPO, {"odd name #1%/a?b@c.safetensors": MODEL})
    (line,) = refused(hub, http, "hf://org/model", None).message.splitlines()[1:]
    assert read(hub, http, found(hub, http, line.split("kB", 1)[1].strip())) == MODEL


def test_a_folder_lists_what_is_in_it(hub: HuggingFace, http: Http) -> None:
    hub.repo(REPO, FILES)
    told = refused(hub, http, "https://huggingface.co/org/model/tree/main/text_encoder", None)
    assert [line.split()[2] for line in told.message.splitlines()[1:]] == [
        f"hf://org/model@main/text_encoder/model-0000{part}-of-00002.safetensors" for part in (1, 2)
    ]


@pytest.mark.parametrize("name", ["old/model.ckpt", "model.ckpt"])
def test_a_repository_s_file_may_be_named_beside_it(hub: HuggingFace, http: Http, name: str) -> None:
    hub.repo(REPO, FILES)
    artifact = found(hub, http, "hf://org/model", file=name)
    assert (artifact.name, artifact.size, artifact.source) == ("model.ckpt", 2_500, "hf://org/model")


def test_a_name_that_is_there_twice_is_not_guessed(hub: HuggingFace, http: Http) -> None:
    hub.repo(REPO, {"a/m.safetensors": MODEL, "b/m.safetensors": OTHER, "c.safetensors": MODEL})
    with pytest.raises(UsageError, match="more than once") as caught:
        found(hub, http, "hf://org/model", file="m.safetensors")
    assert "c.safetensors" not in caught.value.message


def test_a_name_that_is_not_there_is_told_with_what_is(hub: HuggingFace, http: Http) -> None:
    hub.repo(REPO, FILES)
    with pytest.raises(SourceMissing, match=r"no file z\.safetensors") as caught:
        found(hub, http, "hf://org/model", file="z.safetensors")
    assert "hf://org/model/model.safetensors" in caught.value.message


def test_a_repository_without_models_says_so(hub: HuggingFace, http: Http) -> None:
    hub.repo(REPO, {"README.md": b"# Nothing"})
    with pytest.raises(SourceMissing, match="no file that a WebUI would list"):
        found(hub, http, "hf://org/model")


def test_a_repository_without_end_is_listed_as_far_as_is_of_use(hub: HuggingFace, http: Http) -> None:
    hub.repo(REPO, {f"{number:05}.safetensors": b"x" for number in range(10_050)})
    told = refused(hub, http, "hf://org/model", None)
    assert len(told.message.splitlines()) == 43
    assert "beyond the first 10,000" in told.message
    assert len(hub.requests) == 10


def test_a_listing_that_leads_on_for_ever_ends(hub: HuggingFace, http: Http) -> None:
    hub.repo(REPO, {"a.safetensors": MODEL})
    hub.page_size = 0
    with pytest.raises(SourceMissing):
        found(hub, http, "hf://org/model")
    assert len(hub.requests) <= 50


def test_a_next_page_elsewhere_is_never_visited(hub: HuggingFace, http: Http) -> None:
    hub.repo(REPO, FILES)
    hub.page_size = 3
    hub.tokens[TOKEN] = {REPO}
    with HuggingFace() as stranger:
        hub.next_at = stranger.url("")
        assert "4 model files" in refused(hub, http, "hf://org/model", TOKEN).message
        assert stranger.requests == []
