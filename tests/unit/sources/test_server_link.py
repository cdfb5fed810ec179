from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.http_origin import Origin
from uploader.artifact import Artifact, LocalFile
from uploader.errors import CredentialsRefused, RouteUnavailable, SourceChanged
from uploader.http import Http
from uploader.reference import UrlReference
from uploader.sources import Sources, hand_over, resolve

CONTENT = b"x" * 5000


@pytest.fixture
def sources() -> Iterator[Sources]:
    with Http() as http:
        yield Sources(http)


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        origin.serve("/store", CONTENT, etag='"v1"')
        origin.redirect("/m.safetensors", origin.url("/store?sig=squeamish"))
        yield origin


def artifact(origin: Origin, sources: Sources) -> Artifact:
    (found,) = resolve(UrlReference(origin.url("/m.safetensors?token=hush")), sources)
    return found


def test_hand_over_gives_the_last_link_as_a_secret(origin: Origin, sources: Sources) -> None:
    handed = hand_over(artifact(origin, sources), sources)
    assert handed.link.reveal() == origin.url("/store?sig=squeamish")
    assert (handed.host, handed.plain, handed.header) == ("127.0.0.1", True, None)
    assert "squeamish" not in repr(handed)
    assert "hush" not in handed.link.reveal()


def test_hand_over_asks_the_source_each_time(origin: Origin, sources: Sources) -> None:
    found = artifact(origin, sources)
    hand_over(found, sources)
    origin.redirect("/m.safetensors", origin.url("/store?sig=fresh#part"))
    assert hand_over(found, sources).link.reveal() == origin.url("/store?sig=fresh")


def test_hand_over_changed_file_is_refused(origin: Origin, sources: Sources) -> None:
    found = artifact(origin, sources)
    for content, etag in ((CONTENT + b"x", '"v1"'), (CONTENT, '"v2"')):
        origin.serve("/store", content, etag=etag)
        with pytest.raises(SourceChanged):
            hand_over(found, sources)
    origin.serve("/store", CONTENT, last_modified="Tue, 24 Nov 2026 00:00:00 GMT")
    hand_over(found, sources)  # another kind of validator says nothing of the first


def test_what_the_source_refuses_is_told_by_its_name(origin: Origin, sources: Sources) -> None:
    found = artifact(origin, sources)
    origin.fail("/store", 403)
    with pytest.raises(CredentialsRefused):
        hand_over(found, sources)


def test_hand_over_local_file_is_refused(sources: Sources) -> None:
    here = Artifact("a", "a", 1, LocalFile(Path("/a"), 1), "0123abcd")
    with pytest.raises(RouteUnavailable):
        hand_over(here, sources)
