"""The address that a link leads to is remembered for a while, and no longer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.http_origin import Origin
from tests.unit.cli.builders import Clock
from uploader.errors import CredentialsRefused, NetworkError
from uploader.http import Http
from uploader.http.redirects import LIFE, RedirectMemory
from uploader.http.token_scope import TokenScope

CONTENT = bytes(5000)


@pytest.fixture
def home() -> Iterator[Origin]:
    with Origin() as server:
        yield server


@pytest.fixture
def storage(home: Origin) -> Iterator[Origin]:
    with Origin() as server:
        server.serve("/m", CONTENT)
        home.redirect("/get", server.url("/m?signature=1"))
        yield server


def read(http: Http, home: Origin, *, remembers: bool = True) -> bytes:
    scope = TokenScope(frozenset({home.url("")[len("http://") :]}), None, remembers=remembers)
    return b"".join(http.stream(home.url("/get"), size=len(CONTENT), scope=scope))


def test_an_address_has_its_time() -> None:
    clock = Clock()
    memory = RedirectMemory(clock)
    memory.keep("a", "b")
    clock.now += LIFE - 1
    memory.keep("a", "b")
    assert (memory.get("a"), memory.get("b")) == ("b", None)
    clock.now += 1
    assert memory.get("a") is None
    memory.keep("a", "c")
    memory.forget("a")
    assert memory.get("a") is None


def test_link_is_followed_once_when_its_scope_remembers(home: Origin, storage: Origin) -> None:
    with Http() as http:
        for _ in range(3):
            assert read(http, home) == CONTENT
        assert (len(home.requests), len(storage.requests)) == (1, 3)
        assert read(http, home, remembers=False) == CONTENT
        assert len(home.requests) == 2


def test_refusing_address_is_asked_for_once_more(home: Origin, storage: Origin) -> None:
    with Http() as http:
        read(http, home)
        storage.serve("/n", CONTENT)
        storage.fail("/m", 403)
        home.redirect("/get", storage.url("/n"))
        assert read(http, home) == CONTENT
        storage.fail("/n", 403)
        with pytest.raises(CredentialsRefused):
            read(http, home)
        assert [request.path for request in storage.requests] == ["/m?signature=1", "/m?signature=1", "/n", "/n", "/n"]


def test_a_lost_line_forgets_where_it_led(home: Origin, storage: Origin) -> None:
    with Http() as http:
        read(http, home)
        storage.serve("/m", CONTENT, cuts=[10])
        with pytest.raises(NetworkError):
            read(http, home)
        assert read(http, home) == CONTENT
        assert len(home.requests) == 2
