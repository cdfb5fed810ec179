from __future__ import annotations

import http.client
import os
import socket
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from uploader.demo.origin import Origin

CONTENT = os.urandom(1_000_003)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


def get(url: str, method: str = "GET", **headers: str) -> Answer:
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=10)
    try:
        connection.request(method, parts.path, headers={name.replace("_", "-"): text for name, text in headers.items()})
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[Origin]:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a model.safetensors").write_bytes(CONTENT)
    (tmp_path / "secret").write_text("no")
    with Origin(tmp_path / "files") as origin:
        yield origin


@pytest.fixture
def url(origin: Origin) -> str:
    return origin.url("a model.safetensors")


def test_a_file_comes_whole_with_its_size_and_tag(url: str) -> None:
    answer = get(url)
    assert (answer.status, answer.body) == (200, CONTENT)
    assert answer.headers["Content-Length"] == str(len(CONTENT))
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["ETag"].startswith('"')
    assert get(url, Accept="*/*").headers["ETag"] == answer.headers["ETag"]


def test_head_tells_the_same_without_the_body(url: str) -> None:
    answer = get(url, "HEAD")
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", str(len(CONTENT)))


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=1000-1999", 1000, 2000),
        ("bytes=1000000-", 1_000_000, len(CONTENT)),
        ("bytes=1000000-9999999", 1_000_000, len(CONTENT)),
        ("bytes=-3", len(CONTENT) - 3, len(CONTENT)),
    ],
)
def test_a_range_comes_with_its_place(url: str, wanted: str, start: int, end: int) -> None:
    answer = get(url, Range=wanted)
    assert (answer.status, answer.body) == (206, CONTENT[start:end])
    assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(CONTENT)}"


@pytest.mark.parametrize("wanted", ["bytes=1000003-", "bytes=5-4", "bytes=-0"])
def test_a_range_that_is_not_there_is_told(url: str, wanted: str) -> None:
    answer = get(url, Range=wanted)
    assert (answer.status, answer.body, answer.headers["Content-Range"]) == (416, b"", f"bytes */{len(CONTENT)}")


def test_origin_if_range_of_changed_file_sends_all_of_it(url: str, origin: Origin, tmp_path: Path) -> None:
    etag = get(url, "HEAD").headers["ETag"]
    assert get(url, Range="bytes=5-", If_Range=etag).status == 206
    (origin.folder / "a model.safetensors").write_bytes(b"other")
    answer = get(url, Range="bytes=2-", If_Range=etag)
    assert (answer.status, answer.body) == (200, b"other")


@pytest.mark.parametrize("name", ["none", "", "../secret", "%2e%2e/secret", "a%00b", "x" * 5000])
def test_what_is_not_in_the_folder_is_not_found(origin: Origin, name: str) -> None:
    assert get(origin.url("") + name).status == 404


def test_it_says_nothing(url: str, capfd: pytest.CaptureFixture[str]) -> None:
    get(url)
    get(url + "x")
    assert capfd.readouterr() == ("", "")


def test_closing_ends_idle_and_half_read_connections(origin: Origin, url: str) -> None:
    parts = urllib.parse.urlsplit(url)
    with (
        socket.create_connection((str(parts.hostname), parts.port), timeout=10) as idle,
        socket.create_connection((str(parts.hostname), parts.port), timeout=10) as half,
    ):
        half.sendall(f"GET {parts.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert half.recv(8) == b"HTTP/1.1"
        origin.close()
        assert idle.recv(1) == b""
    assert not [thread for thread in threading.enumerate() if "process_request" in thread.name]
