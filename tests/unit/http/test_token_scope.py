"""A token goes to the hosts of its scope alone, wherever redirects lead."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.servers.http_origin import Origin
from uploader.errors import CredentialsMissing, CredentialsRefused, NetworkError, SourceMissing, UploaderError
from uploader.http import Http, Refusal, TokenScope
from uploader.secret import Secret

CONTENT = bytes(range(256)) * 40
TOKEN = Secret("t0p-s3cret")


@pytest.fixture
def home() -> Iterator[Origin]:
    with Origin() as server:
        yield server


@pytest.fixture
def elsewhere() -> Iterator[Origin]:
    with Origin() as server:
        yield server


@pytest.fixture
def http() -> Iterator[Http]:
    with Http() as client:
        yield client


def scope(home: Origin, host: str = "127.0.0.1") -> TokenScope:
    return TokenScope(frozenset({urlsplit(home.url("/", host)).netloc}), TOKEN)


def shown_to(origin: Origin) -> list[str | None]:
    return [request.headers.get("authorization") for request in origin.requests]


def read(http: Http, url: str, scope: TokenScope | None) -> bytes:
    return b"".join(http.stream(url, offset=10, size=len(CONTENT), scope=scope))


def test_scope_shows_the_token_to_its_host(home: Origin, http: Http) -> None:
    home.serve("/m", CONTENT)
    assert http.probe(home.url("/m"), scope=scope(home)).size == len(CONTENT)
    assert read(http, home.url("/m"), scope(home)) == CONTENT[10:]
    assert shown_to(home) == ["Bearer t0p-s3cret"] * 2


def test_scope_missing_or_without_token_shows_nothing(home: Origin, http: Http) -> None:
    home.serve("/m", CONTENT)
    http.probe(home.url("/m"))
    http.probe(home.url("/m"), scope=TokenScope(scope(home).hosts))
    assert shown_to(home) == [None, None]


def test_scope_redirect_to_another_host_drops_token(home: Origin, elsewhere: Origin, http: Http) -> None:
    elsewhere.serve("/m", CONTENT)
    home.redirect("/m", elsewhere.url("/m"), status=307)
    assert read(http, home.url("/m"), scope(home)) == CONTENT[10:]
    assert http.probe(home.url("/m"), scope=scope(home)).ranges
    assert shown_to(home) == ["Bearer t0p-s3cret"] * 2
    assert shown_to(elsewhere) == [None, None]


def test_scope_redirect_within_keeps_token(home: Origin, http: Http) -> None:
    home.serve("/m", CONTENT)
    home.redirect("/a", "/m")
    read(http, home.url("/a"), scope(home))
    assert shown_to(home) == ["Bearer t0p-s3cret"] * 2


def test_scope_redirect_from_elsewhere_gets_no_token(home: Origin, elsewhere: Origin, http: Http) -> None:
    home.serve("/m", CONTENT)
    elsewhere.redirect("/a", home.url("/m"))
    read(http, elsewhere.url("/a"), scope(home))
    assert shown_to(home) == shown_to(elsewhere) == [None]


def test_once_outside_nothing_leads_back_in(home: Origin, elsewhere: Origin, http: Http) -> None:
    home.serve("/m", CONTENT)
    home.redirect("/a", elsewhere.url("/b"))
    elsewhere.redirect("/b", home.url("/m"))
    read(http, home.url("/a"), scope(home))
    assert shown_to(home) == ["Bearer t0p-s3cret", None]
    assert shown_to(elsewhere) == [None]


def test_scope_other_name_or_port_is_another_host(home: Origin, elsewhere: Origin, http: Http) -> None:
    home.serve("/m", CONTENT)
    elsewhere.serve("/m", CONTENT)
    http.probe(home.url("/m", "localhost"), scope=scope(home))
    http.probe(elsewhere.url("/m"), scope=scope(home))
    assert shown_to(home) == shown_to(elsewhere) == [None]


@pytest.mark.parametrize(
    ("scheme", "host", "port", "admitted"),
    [
        ("https", "civitai.com", None, True),
        ("https", "CIVITAI.com", 443, True),
        ("https", "civitai.com", 8443, False),
        ("http", "civitai.com", None, False),
        ("https", "b2.civitai.com", None, False),
        ("https", "civitai.com.", None, False),
        ("https", "notcivitai.com", None, False),
        ("https", "civitai.com.evil.example", None, False),
    ],
)
def test_hosts_are_exact_and_over_https(scheme: str, host: str, port: int | None, admitted: bool) -> None:
    assert TokenScope(frozenset({"civitai.com"}), TOKEN).admits(scheme, host, port) is admitted


def test_scope_user_name_like_the_host_gets_no_token(home: Origin, elsewhere: Origin, http: Http) -> None:
    elsewhere.serve("/m", CONTENT)
    port = urlsplit(elsewhere.url("/")).port
    home.redirect("/m", f"http://{urlsplit(home.url('/')).netloc}@127.0.0.1:{port}/m")
    read(http, home.url("/m"), scope(home))
    assert "Bearer t0p-s3cret" not in shown_to(elsewhere)


def test_no_cookie_of_a_session_goes_anywhere(home: Origin, elsewhere: Origin, http: Http) -> None:
    home.serve("/m", CONTENT, headers={"Set-Cookie": "session=t0p-s3cret; Path=/"})
    elsewhere.serve("/m", CONTENT)
    for url in (home.url("/m"), home.url("/m"), elsewhere.url("/m")):
        http.probe(url, scope=scope(home))
    assert all("cookie" not in request.headers for request in [*home.requests, *elsewhere.requests])


def test_scope_explains_its_service_refusals(home: Origin, elsewhere: Origin, http: Http) -> None:
    heard: list[Refusal] = []

    def explain(refusal: Refusal) -> UploaderError | None:
        heard.append(refusal)
        return CredentialsMissing(f"log in: {refusal.body.text('message')}") if refusal.status == 401 else None

    own = TokenScope(scope(home).hosts, TOKEN, explain)
    home.fail("/m", 401, b'{"message": "who are you?"}', Content_Type="application/json", X_Why="no")
    with pytest.raises(CredentialsMissing, match="who are you"):
        http.probe(home.url("/m"), scope=own)
    assert (heard[0].status, heard[0].in_scope, heard[0].headers["x-why"]) == (401, True, "no")
    elsewhere.fail("/m", 403)
    home.redirect("/a", elsewhere.url("/m"))
    with pytest.raises(CredentialsRefused):
        http.probe(home.url("/a"), scope=own)
    assert [(one.status, one.in_scope, one.location) for one in heard[1:]] == [
        (302, True, elsewhere.url("/m")),
        (403, False, None),
    ]


@pytest.mark.parametrize("body", [b"{", b"[1]", b'{"message": 3}', b'{"a":' * 5000, b'{"message": "' + b"x" * 100_000])
def test_an_explanation_that_cannot_be_read_is_none(home: Origin, http: Http, body: bytes) -> None:
    home.fail("/m", 404, body, Content_Type="application/json")
    heard: list[str | None] = []
    with pytest.raises(SourceMissing):
        http.probe(
            home.url("/m"),
            scope=TokenScope(scope(home).hosts, None, lambda one: heard.append(one.body.text("message"))),
        )
    assert heard == [None]


def test_json_is_read_and_its_query_written(home: Origin, http: Http) -> None:
    home.serve("/api", b'{"items": [1]}', content_type="application/json")
    assert http.json(home.url("/api"), params={"q": "a b", "t": ["x", "y"]}, scope=scope(home)) == {"items": [1]}
    (request,) = home.requests
    assert (request.path, request.headers["authorization"]) == ("/api?q=a+b&t=x&t=y", "Bearer t0p-s3cret")


@pytest.mark.parametrize("body", [b"<html>", b"[" * 100_000, b"\xff\xfe\x00"])
def test_what_is_no_json_is_trouble_that_may_pass(home: Origin, http: Http, body: bytes) -> None:
    home.serve("/api", body)
    with pytest.raises(NetworkError):
        http.json(home.url("/api"))


def test_asking_returns_one_hop_and_follows_nothing(home: Origin, elsewhere: Origin, http: Http) -> None:
    elsewhere.serve("/m", CONTENT)
    home.serve("/m", b"", status=302, location=elsewhere.url("/m"), headers={"X-Linked-Size": "10240"})
    reply = http.ask(home.url("/m"), method="HEAD", scope=scope(home))
    assert (reply.status, reply.headers["x-linked-size"], reply.location) == (302, "10240", elsewhere.url("/m"))
    assert elsewhere.requests == []
    with pytest.raises(SourceMissing):
        http.ask(home.url("/nothing"))


def test_scope_token_is_in_no_error_and_no_repr(home: Origin, http: Http) -> None:
    own = scope(home)
    home.fail("/m", 500)
    with pytest.raises(NetworkError) as caught:
        http.probe(home.url("/m"), scope=own)
    assert "s3cret" not in f"{caught.value!r}{caught.value.remedy}{own!r}"
