from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.errors import ReferenceInvalid
from uploader.reference import PathReference, UrlReference, parse

REFUSED_WITH_A_SECRET = [
    "https://h:99999/x?token=SECRET",
    "https://h:SECRET/x",
    "https://u:SECRET",
    "https://u:SECRET@/x",
    "https://u:SECRET@h/x",
    "https://h/x@y:1?token=SECRET\0",
    "https://[bad?token=SECRET",
    "https://[SECRET",
    "https://u:SECRET@h\u2100/x",
    "https:///x?token=SECRET#SECRET",
    "https:/h/x?token=SECRET",
    "http:u:SECRET@h",
    "sftp://u:SECRET@h/x",
    "ftp://h/x?key=SECRET",
    "ftp://h/x#SECRET",
    "x://[?SECRET",
    "hf://x?token=SECRET",
    "hf://u:SECRET@x/y#SECRET",
    "civitai:4384@128713?token=SECRET",
    "civitai:4384#SECRET",
    "urn:air:sd1:x?token=SECRET",
    "air:x?token=SECRET",
    "a\0https://u:SECRET@h/x",
    "a@b:c\0?SECRET",
    "b2.civitai.com/file/x.safetensors?Authorization=SECRET",
    "civitai.com:443/api/download/models/1?token=SECRET",
    "civitai.com?token=SECRET",
    "civitai.com./api/download/models/1?token=SECRET",
    "huggingface.co:443/a/b?x=SECRET",
    "//b2.civitai.com/file/x.safetensors?a&b=SECRET",
    "127.0.0.1:8080/x?X-Amz-Signature=SECRET",
    "localhost:8080/x?sig=SECRET",
    " b2.civitai.com?SECRET&Signature=SECRET ",
]
"""Every way to be refused, with a SECRET as query, fragment or password."""

PIECES = [
    *(
        "https://",
        "civitai.com",
        "huggingface.co",
        "hf.co",
        "github.com",
        "modelscope.ai",
        "/",
        "models",
        "1",
        "22",
        "x",
    ),
    *("civitai:", "@", "+", "?", "&", "#", "=", "%2F", "%25", " ", ".", "..", "hf://", "datasets", "resolve", "tree"),
    *(
        "blob",
        "buckets",
        "refs",
        "pr",
        "main",
        "org",
        "a.safetensors",
        "urn:air:",
        "sd1:",
        "lora:",
        "huggingface:",
        "token",
        "view",
    ),
    *(
        "modelVersionId",
        "fileId",
        "format",
        "api",
        "download",
        "v1",
        "releases",
        "latest",
        "tag",
        "file",
        "é",
        "\ud800",
    ),
]
"""What references are made of: put together at random they come close to being some."""


@pytest.mark.parametrize(
    "text",
    [
        "model.safetensors",
        "./a b/c'd\".ckpt",
        "C:\\models\\a.safetensors",
        "c:/models/a.safetensors",
        "-leading-dash.pt",
        "*.safetensors",
        "$(touch x).pt",
        "日本語.safetensors",
        "a:b",
        "/srv/http:/x",
        "loras.v1/style-?.safetensors",
        "loras.v1/a=b.safetensors",
        "./b2.civitai.com/x?token=1",
        "/srv/b2.civitai.com/x?token=1",
    ],
)
def test_parse_of_no_link_is_a_path_as_typed(text: str) -> None:
    assert parse(text) == PathReference(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com/a.safetensors?x=1#y",
        "http://127.0.0.1:8080/a",
        "HTTPS://Example.com/A",
        "https://[::1]:1/a",
    ],
)
def test_parse_keeps_a_link_as_typed(text: str) -> None:
    assert parse(text) == UrlReference(text)


@pytest.mark.parametrize("host", ["civitai.com:443", "civitai.com.", "CIVITAI.com.:443"])
def test_parse_of_another_spelling_of_a_host_drops_its_token(host: str) -> None:
    link = f"https://{host}/api/download/models/1?token=SECRET"
    assert parse(link) == parse("https://civitai.com/api/download/models/1")
    assert "SECRET" not in str(parse(link))


def test_parse_of_another_port_is_another_server() -> None:
    link = "https://civitai.com:8443/api/download/models/1"
    assert parse(link) == UrlReference(link)


def test_parse_drops_blanks_around_a_link() -> None:
    assert parse("  https://example.com/a\n") == UrlReference("https://example.com/a")


@pytest.mark.parametrize(
    "text",
    ["", "   ", "a\0b", "https://", "https:///path", "https://host:port/", "https://[::1/", "ftp://host/a", "s3://b/c"],
)
def test_parse_refuses_what_is_no_reference(text: str) -> None:
    with pytest.raises(ReferenceInvalid):
        parse(text)


@pytest.mark.parametrize("text", ["https://me:hunter2@example.com/a", "https://hunter2@example.com/a"])
def test_parse_refuses_a_password_without_repeating_it(text: str) -> None:
    with pytest.raises(ReferenceInvalid) as caught:
        parse(text)
    assert "hunter2" not in str(caught.value) + (caught.value.remedy or "")


@pytest.mark.parametrize("text", REFUSED_WITH_A_SECRET)
def test_parse_error_repeats_no_secret(text: str) -> None:
    with pytest.raises(ReferenceInvalid) as caught:
        parse(text)
    assert "secret" not in f"{caught.value.message} {caught.value.remedy} {caught.value!r}".lower()


@pytest.mark.parametrize("text", ["https:/example.com/a", "http:example.com/a", "HTTPS:a"])
def test_parse_of_a_link_without_slashes_says_so(text: str) -> None:
    with pytest.raises(ReferenceInvalid) as caught:
        parse(text)
    assert "slashes" in (caught.value.remedy or "")
    assert parse(f"./{text}") == PathReference(f"./{text}")


@given(st.text() | st.builds("".join, st.lists(st.sampled_from(PIECES))))
def test_parse_result_parses_to_itself(text: str) -> None:
    try:
        reference = parse(text)
    except ReferenceInvalid:
        return
    assert parse(str(reference)) == reference
