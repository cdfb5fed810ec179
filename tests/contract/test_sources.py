"""The contract of a source (uploader/sources/interface.py), for each service, over good and over faulty servers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.servers.github import GitHub
from tests.servers.http_origin import Origin
from tests.servers.huggingface import HuggingFace
from tests.servers.models import safetensors
from tests.servers.modelscope import ModelScope
from uploader.artifact import Artifact
from uploader.errors import SourceChanged, SourceMissing, UploaderError
from uploader.http import Http
from uploader.reference import parse
from uploader.sources import Sources, Stream, open_stream, resolve

CONTENT = safetensors("checkpoint", size_bytes=(2 << 20) + 4321)
OTHER = safetensors("checkpoint", size_bytes=(2 << 20) + 9999, seed=1)

SERVERS: dict[str, dict[str, Any]] = {
    "ranges and an etag": {"etag": '"v1"'},
    "ranges and a date": {"last_modified": "Tue, 15 Nov 2022 12:45:26 GMT"},
    "ranges alone": {},
    "no ranges": {"ranges": False, "etag": '"v1"'},
    "no ranges and no size": {"ranges": False, "length": "chunked"},
    "an end by closing": {"ranges": False, "length": "close"},
}
TELLING = [name for name, behaviour in SERVERS.items() if "length" not in behaviour]
"""The servers that send a size: without a size and a validator, two files look the same."""


@dataclass
class Place:
    """A model at a source: its reference, and how a test replaces or removes its bytes."""

    reference: str
    sources: Sources
    replace: Callable[[bytes], None]
    remove: Callable[[], None]
    tells_size: bool = True

    def artifact(self) -> Artifact:
        (artifact,) = resolve(parse(self.reference), self.sources)
        return artifact

    def stream(self) -> Stream:
        return open_stream(self.artifact(), self.sources)


@contextmanager
def hugging_face(http: Http, large: int = 1000) -> Iterator[Place]:
    """Yield a model on the hub. Files below `large` bytes lie in git itself, larger ones in LFS."""
    with HuggingFace() as hub:
        repo = hub.repo("org/repo", {"model.safetensors": CONTENT}, large=large)

        def replace(content: bytes) -> None:
            repo.commit({"model.safetensors": content})

        def remove() -> None:
            repo.commits.clear()
            hub.storage.expire()

        sources = Sources(http, environ={"HF_ENDPOINT": hub.url("")})
        yield Place("hf://org/repo/model.safetensors", sources, replace, remove)


@contextmanager
def github(http: Http, *, digests: bool) -> Iterator[Place]:
    with GitHub() as site:
        release = site.release("owner/repo", "v1", {"model.safetensors": CONTENT}, digests=digests)

        def replace(content: bytes) -> None:
            release.files["model.safetensors"] = content
            site.storage.expire()

        def remove() -> None:
            release.files.clear()
            site.storage.expire()

        link = "https://github.com/owner/repo/releases/download/v1/model.safetensors"
        yield Place(link, Sources(http, environ={"GITHUB_ENDPOINT": site.url("")}), replace, remove)


@contextmanager
def modelscope(http: Http, *, hashes: bool) -> Iterator[Place]:
    with ModelScope() as scope:
        scope.hashes = hashes
        scope.model("org/repo", {"model.safetensors": CONTENT})

        def replace(content: bytes) -> None:
            scope.model("org/repo", {"model.safetensors": content})
            scope.storage.expire()

        def remove() -> None:
            scope.models.clear()
            scope.storage.expire()

        link = "https://modelscope.cn/models/org/repo/resolve/master/model.safetensors"
        yield Place(link, Sources(http, environ={"MODELSCOPE_ENDPOINT": scope.url("")}), replace, remove)


SERVICES: dict[str, Callable[[Http], AbstractContextManager[Place]]] = {
    "hugging face": hugging_face,
    "hugging face, git's own": partial(hugging_face, large=1 << 40),
    "github": partial(github, digests=True),
    "github without digests": partial(github, digests=False),
    "modelscope": partial(modelscope, hashes=True),
    "modelscope without hashes": partial(modelscope, hashes=False),
}
REPLACED = [name for name in SERVICES if "face" not in name]
"""A link of Hugging Face names its commit, so its bytes never change."""


@pytest.fixture(params=["local", *SERVERS, *SERVICES])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param in SERVICES:
        with Http() as http, SERVICES[request.param](http) as made:
            yield made
        return
    with Http() as http, Origin() as origin:
        if request.param == "local":
            path = tmp_path / "model.safetensors"
            path.write_bytes(CONTENT)
            yield Place(str(path), Sources(http), lambda content: _write(path, content), path.unlink)
            return
        model = origin.serve("/model.safetensors", CONTENT, **SERVERS[request.param])

        def replace(content: bytes) -> None:
            model.content = content
            model.etag = model.etag and '"v2"'
            model.last_modified = model.last_modified and "Wed, 16 Nov 2022 12:45:26 GMT"

        def remove() -> None:
            model.status = 404

        told = model.length == "length"
        yield Place(origin.url("/model.safetensors"), Sources(http), replace, remove, told)


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def test_source_reports_name_and_size(place: Place) -> None:
    artifact = place.artifact()
    assert artifact.name == "model.safetensors"
    assert artifact.size == (len(CONTENT) if place.tells_size else None)


def test_source_identity_is_eight_stable_digits(place: Place) -> None:
    first, second = place.artifact().identity, place.artifact().identity
    assert first == second
    assert len(first) == 8
    assert int(first, 16) >= 0


@pytest.mark.parametrize("offset", [0, 1, 65_536, 1 << 20, len(CONTENT) - 1, len(CONTENT)])
def test_read_yields_the_bytes_from_its_offset(place: Place, offset: int) -> None:
    assert b"".join(place.stream().read(offset)) == CONTENT[offset:]


def test_read_twice_yields_the_same_bytes(place: Place) -> None:
    stream = place.stream()
    assert b"".join(stream.read()) == b"".join(stream.read()) == CONTENT
    stream.check()


def test_read_two_at_once_yields_all_bytes(place: Place) -> None:
    stream = place.stream()
    left, right = bytearray(), bytearray()
    for one, two in itertools.zip_longest(stream.read(), stream.read(1000), fillvalue=b""):
        left += one
        right += two
    assert (bytes(left), bytes(right)) == (CONTENT, CONTENT[1000:])


@pytest.mark.parametrize("at", [(0, 100), (10, 200_000), (len(CONTENT) - 10, 10), (0, len(CONTENT)), (5, 0)])
def test_slice_returns_its_bytes(place: Place, at: tuple[int, int]) -> None:
    offset, length = at
    assert place.stream().slice(offset, length) == CONTENT[offset : offset + length]


def test_slice_is_shorter_only_at_the_end(place: Place) -> None:
    assert place.stream().slice(len(CONTENT) - 10, 100) == CONTENT[-10:]


def test_stream_closed_twice_during_a_read_is_allowed(place: Place) -> None:
    stream = place.stream()
    next(stream.read())
    stream.close()
    stream.close()


@pytest.mark.parametrize("place", ["local", *TELLING, *REPLACED], indirect=True)
def test_read_of_a_replaced_file_raises_changed(place: Place) -> None:
    stream = place.stream()
    chunks = stream.read()
    first = next(chunks)
    place.replace(OTHER)
    with pytest.raises(SourceChanged):
        list(stream.read(len(first)))
    with pytest.raises(SourceChanged):
        stream.check()


def test_read_of_a_removed_file_raises_missing(place: Place) -> None:
    artifact = place.artifact()
    place.remove()
    with pytest.raises(SourceMissing):
        list(open_stream(artifact, place.sources).read())
    with pytest.raises(UploaderError):
        place.artifact()


@pytest.mark.parametrize("cut", [0, 1, 70_000, 1 << 20])
@pytest.mark.parametrize("server", [name for name in SERVERS if name != "an end by closing"])
def test_read_cut_anywhere_can_be_continued(server: str, cut: int) -> None:
    with Http() as http, Origin() as origin:
        model = origin.serve("/model.safetensors", CONTENT, **SERVERS[server])
        (artifact,) = resolve(parse(origin.url("/model.safetensors")), Sources(http))
        model.cuts[:] = [cut, cut]
        stream = open_stream(artifact, Sources(http))
        got, cuts = bytearray(), 0
        while len(got) < len(CONTENT) and cuts < 5:
            try:
                for chunk in stream.read(len(got)):
                    got += chunk
            except UploaderError as error:
                cuts += error.retryable
        assert bytes(got) == CONTENT
        assert cuts == 2
