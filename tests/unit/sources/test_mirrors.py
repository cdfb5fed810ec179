"""Mirrors that redirect to the service itself: what they tell is kept, what they are not told is said."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator

import pytest

from tests.servers.civitai import Civitai, file, model, version
from tests.servers.http_origin import Origin, Request, Resource
from tests.servers.huggingface import HuggingFace
from tests.servers.models import safetensors
from uploader.artifact import Artifact, Service, WebFile
from uploader.errors import CredentialsMissing, NetworkError, SourceMissing, SourceRefused, UploaderError, UsageError
from uploader.http import Http
from uploader.reference import parse
from uploader.secret import Secret, Token
from uploader.sources import Sources, hand_over, open_stream, resolve

MODEL = safetensors("lora", size_bytes=300_000)
SHA256 = hashlib.sha256(MODEL).hexdigest()
TOKEN = "the-token-of-this-test"
REPO = "org/model"


class Mirror(Origin):
    """A mirror that redirects each request to the same path of `to`."""

    def __init__(self, to: str) -> None:
        super().__init__()
        self.to = to

    def choose(self, request: Request) -> Resource | None:
        return Resource(b"moved", status=308, location=f"{self.to}{request.path}")


@pytest.fixture
def hub() -> Iterator[HuggingFace]:
    with HuggingFace() as server:
        yield server


@pytest.fixture
def civitai() -> Iterator[Civitai]:
    with Civitai() as server:
        server.add(model(4384, "DreamShaper", version(128713, file(77, MODEL))))
        yield server


@pytest.fixture
def http() -> Iterator[Http]:
    with Http() as client:
        yield client


def through(mirror: Mirror, http: Http) -> Sources:
    environ = {"HF_ENDPOINT": mirror.url(""), "CIVITAI_ENDPOINT": mirror.url("")}
    return Sources(http, environ=environ, tokens=lambda _: Token(Secret(TOKEN), explicit=True))


def found(text: str, sources: Sources) -> Artifact:
    (artifact,) = resolve(parse(text), sources)
    return artifact


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://localhost:{listener.getsockname()[1]}"


def test_resolve_redirecting_mirror_keeps_commit_and_sha256(hub: HuggingFace, http: Http) -> None:
    repo = hub.repo(REPO, {"a.safetensors": MODEL})
    with Mirror(hub.url("", "localhost")) as mirror:
        sources = through(mirror, http)
        artifact = found("hf://org/model/a.safetensors", sources)
        assert str(artifact.digest) == SHA256
        assert isinstance(artifact.origin, WebFile)
        assert artifact.origin.url == mirror.url(f"/org/model/resolve/{repo.refs['main']}/a.safetensors")
        assert [
            note for note in artifact.notes if "$HF_ENDPOINT names 127.0.0.1" in note and "leads to localhost" in note
        ]
        assert b"".join(open_stream(artifact, sources).read()) == MODEL
        assert hand_over(artifact, sources).header is None
    assert [request for request in hub.requests if "authorization" in request.headers] == []


@pytest.mark.parametrize("large", [1000, 10**9])
def test_resolve_redirecting_mirror_pins_a_renamed_file(hub: HuggingFace, http: Http, large: int) -> None:
    repo = hub.repo("org/new", {"a.safetensors": MODEL}, large=large)
    hub.renamed["org/old"] = "org/new"
    with Mirror(hub.url("", "localhost")) as mirror:
        origin = found("hf://org/old/a.safetensors", through(mirror, http)).origin
        assert isinstance(origin, WebFile)
        assert repo.refs["main"] in origin.url


def test_resolve_redirecting_mirror_lists_models(hub: HuggingFace, http: Http) -> None:
    hub.repo(REPO, {"a.safetensors": MODEL, "b.safetensors": MODEL})
    with Mirror(hub.url("", "localhost")) as mirror, pytest.raises(UsageError, match="2 model files"):
        resolve(parse("hf://org/model"), through(mirror, http))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("hf://org/gated/a.safetensors", CredentialsMissing),
        ("hf://org/nothing/a.safetensors", CredentialsMissing),
        ("hf://org/nothing", CredentialsMissing),
        ("hf://org/model/b.safetensors", SourceMissing),
    ],
)
def test_resolve_redirecting_mirror_refusal_is_the_hubs(
    hub: HuggingFace, http: Http, text: str, error: type[UploaderError]
) -> None:
    hub.repo(REPO, {"a.safetensors": MODEL})
    hub.repo("org/gated", {"a.safetensors": MODEL}, gate=True)
    with Mirror(hub.url("", "localhost")) as mirror, pytest.raises(UploaderError) as caught:
        resolve(parse(text), through(mirror, http))
    assert type(caught.value) is error
    if error is CredentialsMissing:
        assert "take $HF_ENDPOINT away" in str(caught.value.remedy)


@pytest.mark.parametrize(
    ("text", "variable"),
    [
        ("hf://org/model/a.safetensors", "$HF_ENDPOINT"),
        ("hf://org/model", "$HF_ENDPOINT"),
        ("civitai:4384@128713", "$CIVITAI_ENDPOINT"),
    ],
)
def test_resolve_unreachable_service_names_its_mirror(http: Http, text: str, variable: str) -> None:
    with Mirror(closed_port()) as mirror, pytest.raises(NetworkError) as caught:
        resolve(parse(text), through(mirror, http))
    assert f"{variable} names 127.0.0.1, a mirror that leads to localhost" in caught.value.message
    assert variable in str(caught.value.remedy)


def test_read_unreachable_host_names_the_one_that_led_there(origin_http: tuple[Origin, Http]) -> None:
    origin, http = origin_http
    origin.redirect("/a", f"{closed_port()}/b")
    with pytest.raises(NetworkError, match=r"localhost .*; 127\.0\.0\.1 led there"):
        http.probe(origin.url("/a"))


@pytest.fixture
def origin_http(http: Http) -> Iterator[tuple[Origin, Http]]:
    with Origin() as origin:
        yield origin, http


def test_resolve_mirror_without_commit_is_noted(http: Http) -> None:
    with Origin() as origin:
        origin.serve("/org/model/resolve/main/a.safetensors", MODEL)
        sources = Sources(http, environ={"HF_ENDPOINT": origin.url("")})
        artifact = found("hf://org/model/a.safetensors", sources)
    assert artifact.digest is None
    assert [note for note in artifact.notes if "tells neither commit nor sha256" in note]


def test_resolve_civitai_redirecting_mirror_keeps_sha256(civitai: Civitai, http: Http) -> None:
    civitai.needs_login = False
    with Mirror(civitai.endpoint.replace("127.0.0.1", "localhost")) as mirror:
        sources = through(mirror, http)
        artifact = found("civitai:4384@128713", sources)
        assert str(artifact.digest) == SHA256
        assert "$CIVITAI_ENDPOINT names 127.0.0.1, a mirror that leads to localhost" in " ".join(artifact.notes)
        assert b"".join(open_stream(artifact, sources).read()) == MODEL
    assert [seen for seen in civitai.seen if "authorization" in seen.headers] == []


def test_resolve_civitai_redirecting_mirror_needs_login(civitai: Civitai, http: Http) -> None:
    with Mirror(civitai.endpoint.replace("127.0.0.1", "localhost")) as mirror:
        with pytest.raises(CredentialsMissing, match="logged in") as caught:
            found("civitai:4384@128713", through(mirror, http))
        assert "take $CIVITAI_ENDPOINT away" in str(caught.value.remedy)
        with pytest.raises(SourceMissing, match="no such thing"):
            found("civitai:4384@1", through(mirror, http))


def test_ask_never_leads_from_elsewhere_to_this_machine(http: Http) -> None:
    with pytest.raises(SourceRefused, match="this very machine"):
        http.ask("http://127.0.0.1:1/x/resolve/main/y", origin="https://mirror.example/x/resolve/main/y")


def test_mirror_that_answers_itself_is_no_note(hub: HuggingFace, http: Http) -> None:
    hub.repo(REPO, {"a.safetensors": MODEL})
    sources = Sources(http, environ={"HF_ENDPOINT": hub.url("")})
    assert found("hf://org/model/a.safetensors", sources).notes == ()
    assert sources.moved(Service.HUGGINGFACE) is None
