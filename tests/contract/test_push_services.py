"""Models of Hugging Face, GitHub and ModelScope, pushed to a real server: relayed, or downloaded first."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.contract.world import CHECKPOINTS, MIB, World, serve, world
from tests.servers.github import GitHub
from tests.servers.http_origin import Origin
from tests.servers.huggingface import HuggingFace
from tests.servers.models import safetensors
from tests.servers.modelscope import ModelScope
from tests.servers.storage import Storage
from uploader.artifact import Digest

MODEL = safetensors("checkpoint", size_bytes=6 * MIB, seed=5)
OTHER = safetensors("checkpoint", size_bytes=6 * MIB, seed=6)
PLACED = f"{CHECKPOINTS}/dream.safetensors"
TOKEN = "hf_theTokenOfThisTest"
HF = "hf://org/gated/sub/dream.safetensors"
REFERENCES = {
    "huggingface": HF,
    "github": "https://github.com/owner/repo/releases/download/v1/dream.safetensors",
    "modelscope": "https://modelscope.cn/models/org/name/resolve/master/dream.safetensors",
}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Services:
    """All of them, each with the model, and a user with a target who may read it."""

    hub: HuggingFace
    github: GitHub
    scope: ModelScope
    here: World

    @property
    def stores(self) -> dict[str, Storage]:
        return {"huggingface": self.hub.storage, "github": self.github.storage, "modelscope": self.scope.storage}

    @property
    def foreign(self) -> list[Origin]:
        """Return every server that the token does not belong to."""
        return [self.github, self.scope, *self.stores.values()]


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    with HuggingFace() as hub, GitHub() as github, ModelScope() as scope, serve(tmp_path / "server", "embedded") as box:
        hub.repo("org/gated", {"sub/dream.safetensors": MODEL}, gate=True)
        hub.tokens[TOKEN] = {"org/gated"}
        github.release("owner/repo", "v1", {"dream.safetensors": MODEL})
        scope.model("org/name", {"dream.safetensors": MODEL})
        environ: dict[str, Any] = {
            "HF_ENDPOINT": hub.url(""),
            "HF_TOKEN": TOKEN,
            "GITHUB_ENDPOINT": github.url(""),
            "MODELSCOPE_ENDPOINT": scope.url(""),
        }
        yield Services(hub, github, scope, world(tmp_path, box, **environ))


@pytest.mark.parametrize("via", ["relay", "local"])
@pytest.mark.parametrize("service", REFERENCES)
def test_model_of_a_service_has_its_published_sha256(services: Services, service: str, via: str) -> None:
    outcome = services.here.placed(REFERENCES[service], via=via)
    assert (services.here.root / PLACED).read_bytes() == MODEL
    assert (outcome.source, outcome.name, outcome.route) == (REFERENCES[service], "dream.safetensors", via)
    assert (outcome.kind, outcome.sha256, outcome.bytes_sent) == ("checkpoint", sha256(MODEL), len(MODEL))
    again = services.here.one(REFERENCES[service], via=via)
    assert (again.status, again.bytes_sent) == ("kept", 0)


@pytest.mark.parametrize(
    ("service", "via"),
    [("huggingface", "relay"), ("huggingface", "local"), ("github", "relay"), ("modelscope", "local")],
)
def test_expired_signed_link_is_asked_for_again(services: Services, service: str, via: str) -> None:
    store = services.stores[service]
    services.here.dry(REFERENCES[service], via=via)
    (resource,) = store.resources.values()
    resource.cuts = [10**9] * len(store.requests) + [3 * MIB, 2 * MIB]
    store.life = 1
    store.forget()
    services.here.placed(REFERENCES[service], via=via)
    assert (services.here.root / PLACED).read_bytes() == MODEL
    assert resource.cuts == []
    assert len({request.path for request in store.requests}) > 2


def test_quota_is_waited_for_as_long_as_the_hub_says(services: Services) -> None:
    services.here.dry(HF, via="relay")
    (resource,) = services.hub.storage.resources.values()
    resource.cuts = [10**9] * len(services.hub.storage.requests) + [3 * MIB]
    waited: list[float] = []

    def wait(seconds: float) -> bool:
        waited.append(seconds)
        if len(waited) == 1:
            services.hub.throttle = [37]
        return False

    services.here.wait = wait
    services.here.placed(HF, via="relay")
    assert waited[1:] == [37.0]


def test_service_branch_moved_during_push_sends_old_commit(services: Services) -> None:
    services.here.dry(HF, via="relay")
    (resource,) = services.hub.storage.resources.values()
    resource.cuts = [10**9] * len(services.hub.storage.requests) + [5 * MIB]
    resource.gate, resource.gate_at = threading.Event(), 4 * MIB

    def move() -> None:
        resource.reached.wait(20)
        services.hub.repos["org/gated"].commit({"sub/dream.safetensors": OTHER})
        resource.gate.set()  # type: ignore[union-attr]

    moving = threading.Thread(target=move)
    moving.start()
    services.here.placed(HF, via="relay")
    moving.join()
    assert resource.reached.is_set()
    assert (services.here.root / PLACED).read_bytes() == MODEL


@pytest.mark.parametrize("via", ["relay", "local"])
def test_branch_that_moves_between_two_runs_starts_again(services: Services, via: str) -> None:
    services.here.dry(HF, via=via)
    (resource,) = services.hub.storage.resources.values()
    resource.cuts = [10**9] * len(services.hub.storage.requests) + [5 * MIB, *[0] * 30]
    assert services.here.push(HF, via=via).exit_code == 5
    services.hub.repos["org/gated"].commit({"sub/dream.safetensors": OTHER})
    outcome = services.here.placed(HF, via=via)
    assert (services.here.root / PLACED).read_bytes() == OTHER
    assert (outcome.bytes_sent, outcome.resumed_from) == (len(OTHER), 0)


@pytest.mark.parametrize("via", ["relay", "local"])
def test_service_interrupted_run_is_resumed(services: Services, via: str) -> None:
    services.here.dry(HF, via=via)
    (resource,) = services.hub.storage.resources.values()
    resource.cuts = [10**9] * len(services.hub.storage.requests) + [5 * MIB, *[0] * 30]
    assert services.here.push(HF, via=via).exit_code == 5
    resource.cuts = []
    outcome = services.here.placed(HF, via=via)
    assert (services.here.root / PLACED).read_bytes() == MODEL
    assert (outcome.resumed_from > 0) == (via == "relay")  # the download is resumed on this disk, not on the server


# a publisher's sha256 ---------------------------------------------------------------------------------


@pytest.mark.parametrize("via", ["relay", "local"])
def test_file_other_than_published_tells_both_values(services: Services, via: str) -> None:
    services.hub.repos["org/gated"].claimed["sub/dream.safetensors"] = "ab" * 32
    report = services.here.push(HF, via=via)
    error = report.outcomes[0].error
    assert error is not None
    assert (report.exit_code, error.code) == (7, "hash")
    assert "ab" * 32 in error.message
    assert sha256(MODEL) in error.message
    assert services.here.there == {}


@pytest.mark.parametrize("via", ["relay", "local"])
def test_service_users_sha256_wins_and_adds_a_note(services: Services, via: str) -> None:
    services.hub.repos["org/gated"].claimed["sub/dream.safetensors"] = "ab" * 32
    services.here.placed(HF, via=via, sha256=Digest(sha256(MODEL)))
    assert (services.here.root / PLACED).read_bytes() == MODEL
    assert f"published {'ab' * 32}\n  --sha256  {sha256(MODEL)}" in services.here.said


def test_service_equal_sha256_adds_no_note(services: Services) -> None:
    services.here.placed(HF, sha256=Digest(sha256(MODEL)))
    assert "--sha256" not in services.here.said


# the token --------------------------------------------------------------------------------------------


def test_service_token_goes_only_to_its_own_service(services: Services, tmp_path: Path) -> None:
    """Check every request of every service, also of links that redirect into the service."""
    inside = services.hub.url("/org/gated/resolve/main/sub/dream.safetensors")
    with Origin() as elsewhere:
        elsewhere.redirect("/dream.safetensors", inside)
        for number, reference in enumerate(REFERENCES.values()):
            services.here.placed(reference, name=f"{number}.safetensors", via="local" if number else "relay")
        assert services.here.fails("hf://org/gated") == "usage"
        assert services.here.fails("hf://org/gated/nothing.pt") == "source-missing"
        services.hub.forget()
        assert services.here.fails(elsewhere.url("/dream.safetensors")) == "credentials-refused"
        assert services.here.fails(inside) == "credentials-refused"
        seen = [request for server in (*services.foreign, elsewhere, services.hub) for request in server.requests]
    assert len(services.hub.requests) >= 2
    assert len(seen) > 12
    for request in seen:
        assert TOKEN not in f"{request.path} {dict(request.headers)}", request
        assert "authorization" not in request.headers
    assert TOKEN not in services.here.said


def test_service_token_is_sent_with_every_request(services: Services) -> None:
    services.here.placed(HF)
    assert {request.headers.get("authorization") for request in services.hub.requests} == {f"Bearer {TOKEN}"}
