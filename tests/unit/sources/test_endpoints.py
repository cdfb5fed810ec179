"""Where the services are, and who of them sees which token."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from uploader.artifact import Service
from uploader.errors import UsageError
from uploader.http import Http
from uploader.secret import Secret, Token
from uploader.sources import Sources
from uploader.sources.endpoints import DEFAULT_ENDPOINTS, Endpoint

C, H = Service.CIVITAI, Service.HUGGINGFACE


@pytest.fixture
def http() -> Iterator[Http]:
    with Http() as client:
        yield client


def endpoint_of(http: Http, service: Service, *, explicit: bool = False, **environ: str) -> Endpoint:
    token = Token(Secret("t"), explicit)
    return Sources(http, environ=environ, tokens=lambda _: token).endpoint(service)


def test_by_itself_each_service_is_where_it_is(http: Http) -> None:
    assert endpoint_of(http, C).address == "https://civitai.com"
    assert endpoint_of(http, H).scope.hosts == {"huggingface.co"}
    assert "b2.civitai.com" not in endpoint_of(http, C).scope.hosts
    assert all(Sources(http).endpoint(service).scope.token is None for service in Service)
    assert set(DEFAULT_ENDPOINTS) == set(Service)


@pytest.mark.parametrize(
    ("endpoint", "explicit", "shown"),
    [
        ("https://hf-mirror.com", False, False),
        ("https://hf-mirror.com/", True, False),
        ("http://127.0.0.1:8080", False, True),
        ("http://localhost:8080", False, True),
        ("https://huggingface.co", False, True),
        ("https://huggingface.co.evil.example", False, False),
    ],
)
def test_endpoint_mirror_gets_no_token_and_a_note(http: Http, endpoint: str, explicit: bool, shown: bool) -> None:
    visited = endpoint_of(http, H, explicit=explicit, HF_ENDPOINT=endpoint)
    assert visited.replaced
    assert visited.address == endpoint.rstrip("/")
    assert (visited.scope.token is not None) is shown
    assert (visited.note is None) is shown
    assert shown or "a mirror: it is sent no token" in (visited.note or "")
    assert visited.scope.hosts == {endpoint.rstrip("/").partition("://")[2]}


@pytest.mark.parametrize("endpoint", ["mirror", "ftp://x", "https://", "https://u:p@x", "https://x?y", "https://[x"])
def test_what_is_no_address_is_told_without_repeating_it(http: Http, endpoint: str) -> None:
    with pytest.raises(UsageError, match=r"\$CIVITAI_ENDPOINT") as caught:
        endpoint_of(http, C, CIVITAI_ENDPOINT=endpoint)
    assert endpoint not in caught.value.message


def test_a_token_is_not_looked_for_before_its_service_is(http: Http) -> None:
    asked: list[Service] = []
    sources = Sources(http, tokens=lambda service: asked.append(service))
    assert asked == []
    for _ in range(2):
        sources.endpoint(C)
    assert asked == [C]
