"""The fake answers a wrong request as the real Civitai does."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.servers.civitai import Civitai, file, model, version

GOOD = {"User-Agent": "tool/1.0", "Authorization": f"Bearer {Civitai.token}"}
LINK = "/api/download/models/10?fileId=1"


@pytest.fixture
def civitai() -> Iterator[Civitai]:
    with Civitai() as service:
        service.add(model(1, "One", version(10, file(1, b"a" * 1000), file(2, b"b" * 2000, "other.safetensors"))))
        yield service


def ask(url: str, headers: dict[str, str], method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    parts = urlsplit(url)
    line = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        line.request(method, f"{parts.path}?{parts.query}", headers=headers)
        answer = line.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        line.close()


def test_civitai_good_request_leads_to_storage_with_ranges(civitai: Civitai) -> None:
    status, headers, _ = ask(civitai.endpoint + LINK, GOOD)
    assert (status, headers["cache-control"]) == (307, "no-store")
    assert ask(headers["location"], {"Range": "bytes=5-9"})[::2] == (206, b"aaaaa")
    assert ask(headers["location"], GOOD)[0] == 400
    assert ask(headers["location"] + "0", {})[0] == 403


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("HEAD", LINK, GOOD, 401),
        ("GET", LINK, {"User-Agent": "tool/1.0"}, 401),
        ("GET", LINK, {"User-Agent": "Mozilla/5.0"}, 307),
        ("GET", LINK, {"User-Agent": "Python-urllib/3.11"}, 403),
        ("GET", "/api/download/models/11", GOOD, 404),
        ("GET", "/api/v1/models?query=a&page=2", {}, 400),
        ("GET", "/api/v1/me", {}, 401),
        ("GET", "/api/v1/models/2", {}, 404),
    ],
)
def test_civitai_wrong_request_is_refused_as_by_the_real_one(
    civitai: Civitai, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    got, told, _ = ask(civitai.endpoint + path, headers, method)
    assert got == status
    assert status != 307 or "reason=download-auth" in told["location"]


def test_civitai_without_file_id_sends_another_file(civitai: Civitai) -> None:
    _, headers, _ = ask(civitai.endpoint + "/api/download/models/10", GOOD)
    assert len(ask(headers["location"], {})[2]) == 2000


def test_civitai_catalogue_has_hash_in_capitals_and_no_content(civitai: Civitai) -> None:
    said = json.loads(ask(civitai.endpoint + "/api/v1/model-versions/10", {})[2])
    assert said["files"][0]["hashes"]["SHA256"].isupper()
    assert "content" not in said["files"][0]


def test_civitai_stray_token_is_seen(civitai: Civitai) -> None:
    civitai.assert_no_token_strayed()
    ask(civitai.address("images") + "/x.png", GOOD)
    with pytest.raises(AssertionError):
        civitai.assert_no_token_strayed()
