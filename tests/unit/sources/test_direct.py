from __future__ import annotations

import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.servers.http_origin import Origin
from tests.servers.models import safetensors
from uploader.artifact import WebFile
from uploader.errors import NotAModel, SourceChanged, SourceMissing
from uploader.http import Http
from uploader.identify import identify, refuse
from uploader.reference import UrlReference
from uploader.sources import direct
from uploader.sources.file_names import safe_name

MODEL = safetensors("lora", size_bytes=300_000)


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as server:
        yield server


@pytest.fixture
def http() -> Iterator[Http]:
    with Http() as client:
        yield client


def test_a_link_becomes_an_artifact(origin: Origin, http: Http) -> None:
    origin.serve("/files/my%20lora.safetensors", MODEL, etag='"v1"')
    url = origin.url("/files/my%20lora.safetensors?token=secret")
    artifact = direct.resolve(UrlReference(url), http)
    assert (artifact.name, artifact.size) == ("my lora.safetensors", len(MODEL))
    assert artifact.origin == WebFile(url, '"v1"', True)
    assert artifact.source.endswith("/files/my%20lora.safetensors?…")
    assert len(artifact.identity) == 8


@pytest.mark.parametrize(
    ("path", "final", "disposition", "name"),
    [
        ("/a.safetensors", "/b.safetensors", 'attachment; filename="c.safetensors"', "c.safetensors"),
        ("/a.safetensors", "/b.safetensors", None, "b.safetensors"),
        ("/a.safetensors", "/0123abcd", None, "a.safetensors"),
        ("/a.safetensors", "/0123abcd", "attachment; filename=download", "a.safetensors"),
        ("/a", "/b", "attachment; filename=c", "c"),
        ("/a/", "/b/", None, "model"),
        ("/a", "/%2e%2e%2fx.ckpt", None, "x.ckpt"),
        ("/a", "/b", "モデル.ckpt".encode("cp932"), "モデル.ckpt"),
        ("/a.ckpt", "/b", "café.ckpt".encode("latin-1"), "a.ckpt"),
        ("/%83%82%83%66%83%8B.ckpt", "/b", None, "モデル.ckpt"),
        ("/caf%E9.ckpt", "/b%E9", None, "model.ckpt"),
    ],
)
def test_the_name_is_the_best_that_the_server_gives(
    origin: Origin, http: Http, path: str, final: str, disposition: str | bytes | None, name: str
) -> None:
    origin.redirect(path, final)
    if isinstance(disposition, bytes):
        disposition = b'attachment; filename="' + disposition + b'"'
    origin.serve(final, MODEL, disposition=disposition)
    assert direct.resolve(UrlReference(origin.url(path)), http).name == name


@pytest.mark.parametrize(
    ("sent", "safe"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        (".hidden.safetensors", "hidden.safetensors"),
        ("..", ""),
        (". .\u3000.hidden.pt", "hidden.pt"),
        ("CONOUT$.pt", "_CONOUT$.pt"),
        ("con.safetensors", "_con.safetensors"),
        ("NUL", "_NUL"),
        ("Com1 .pt", "_Com1 .pt"),
        ("console.pt", "console.pt"),
        ("a\x00\x1b[31m\nb.pt", "a[31mb.pt"),
        ("gpj.\u202eexe.pt", "gpj.exe.pt"),
        ('a<b>:"|?*.pt', "a_b______.pt"),
        ("trailing. .\u3000.", "trailing"),
        ("モデル.safetensors", "モデル.safetensors"),
        ("ｶﾞ" * 100 + ".safetensors", None),
        ("a" * 500 + ".safetensors", "a" * 188 + ".safetensors"),
        ("a." + "b" * 500, None),
        ("", ""),
    ],
)
def test_a_name_from_a_server_is_made_safe(sent: str, safe: str | None) -> None:
    made = safe_name(sent)
    assert safe is None or made == safe
    assert len(made.encode()) <= 200


@given(st.text())
def test_no_name_from_a_server_leaves_the_folder(sent: str) -> None:
    made = safe_name(sent)
    assert not set(made) & set('/\\\0<>:"|?*')
    assert not made.startswith(".")
    assert len(made.encode()) <= 200
    assert not {unicodedata.category(letter) for letter in made} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


def test_identity_ignores_the_signature_of_a_link(origin: Origin, http: Http) -> None:
    model = origin.serve("/a.pt", MODEL)

    def identity(query: str) -> str:
        return direct.resolve(UrlReference(origin.url("/a.pt" + query)), http).identity

    plain = identity("?signature=1")
    assert plain == identity("?signature=2")
    model.etag = '"v1"'
    tagged = identity("")
    model.etag = '"v2"'
    changed = identity("")
    model.content = MODEL + b"x"
    assert len({plain, tagged, changed, identity("")}) == 4


def test_identity_differs_for_queries_of_same_date_and_size(origin: Origin, http: Http) -> None:
    origin.serve("/download", MODEL, etag=None, last_modified="Mon, 01 Jan 2024 00:00:00 GMT")
    queries = ["id=1", "id=2&X-Amz-Signature=1", "id=2&X-Amz-Signature=2", "id=2"]
    found = [direct.resolve(UrlReference(origin.url(f"/download?{query}")), http) for query in queries]
    assert len({artifact.identity for artifact in found[:2]}) == 2
    assert len({artifact.identity for artifact in found[1:]}) == 1


@pytest.mark.parametrize("length", ["length", "chunked"])
def test_an_empty_answer_is_no_model(origin: Origin, http: Http, length: str) -> None:
    origin.serve("/a.pt", b"", length=length, ranges=False)
    with pytest.raises(NotAModel, match="empty"):
        direct.resolve(UrlReference(origin.url("/a.pt")), http)


def test_a_missing_file_is_missing(origin: Origin, http: Http) -> None:
    with pytest.raises(SourceMissing):
        direct.resolve(UrlReference(origin.url("/a.pt")), http)


@pytest.mark.parametrize("ranges", [True, False])
def test_looking_at_the_header_reads_no_more_than_it_must(origin: Origin, http: Http, ranges: bool) -> None:
    model = origin.serve("/a.safetensors", safetensors("checkpoint", size_bytes=8 << 20), ranges=ranges)
    artifact = direct.resolve(UrlReference(origin.url("/a.safetensors")), http)
    stream = direct.open(artifact, http)
    found = identify(stream.slice, artifact.size, artifact.name)
    assert (found.kind, found.complete) == ("checkpoint", True)
    assert model.size() == found.expected_size
    stream.close()


def test_a_link_to_a_page_is_refused_with_what_to_copy(origin: Origin, http: Http) -> None:
    origin.page("/login")
    origin.redirect("/a.safetensors", "/login")
    artifact = direct.resolve(UrlReference(origin.url("/a.safetensors")), http)
    found = identify(direct.open(artifact, http).slice, artifact.size, artifact.name)
    with pytest.raises(NotAModel, match="web page") as caught:
        refuse(found, artifact.name, allow_pickle=True)
    assert "copy the link of the download" in str(caught.value.remedy)


def test_a_change_that_a_read_met_is_told_by_check_too(origin: Origin, http: Http) -> None:
    model = origin.serve("/a.pt", MODEL, etag='"v1"')
    stream = direct.open(direct.resolve(UrlReference(origin.url("/a.pt")), http), http)
    stream.check()
    model.etag = '"v2"'
    with pytest.raises(SourceChanged):
        list(stream.read(10))
    with pytest.raises(SourceChanged):
        stream.check()


def test_closing_a_stream_ends_its_reads(origin: Origin, http: Http) -> None:
    origin.serve("/a.pt", MODEL * 20)
    stream = direct.open(direct.resolve(UrlReference(origin.url("/a.pt")), http), http)
    chunks = stream.read()
    next(chunks)
    stream.close()
    assert list(chunks) == []
