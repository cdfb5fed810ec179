from __future__ import annotations

import pytest

from uploader.errors import SourceRefused
from uploader.http import Http
from uploader.reference import UrlReference
from uploader.sources import direct
from uploader.sources import unsupported_sites as elsewhere


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://drive.google.com/file/d/1AbC/view?usp=sharing", "Google Drive"),
        ("https://drive.google.com/uc?id=1AbC&export=download", "Google Drive"),
        ("https://mega.nz/file/abc#hush", "MEGA"),
        ("https://tensor.art/models/757279507095956705", "Tensor.Art"),
        ("https://tensorhub.art/models/1", "Tensor.Art"),
        ("https://www.liblib.art/modelinfo/abc", "LiblibAI"),
        ("https://www.shakker.ai/modelinfo/abc", "Shakker"),
        ("https://www.seaart.ai/models/detail/abc", "SeaArt"),
        ("https://pixai.art/model/1", "PixAI"),
        ("https://CivArchive.com/models/1?modelVersionId=2", "CivArchive"),
    ],
)
def test_refuse_page_without_downloads_says_what_to_do(url: str, name: str) -> None:
    with Http() as http, pytest.raises(SourceRefused, match=name) as caught:
        direct.resolve(UrlReference(url), http)
    assert "\n" not in caught.value.message
    assert caught.value.remedy
    assert caught.value.exit_code == 4
    assert "hush" not in caught.value.message


@pytest.mark.parametrize(
    "url",
    [
        "https://liblibai-online.liblib.cloud/web/model/x.safetensors?auth_key=1",
        "https://cdn.tensor.art/x.safetensors",
        "https://nottensor.art/x.safetensors",
        "https://example.com/drive.google.com/x.safetensors",
        "https://drive.usercontent.google.com/download?id=1&confirm=t",
    ],
)
def test_a_link_into_a_store_is_a_link_like_any_other(url: str) -> None:
    elsewhere.refuse(url)
    assert elsewhere.direct(url) == url


@pytest.mark.parametrize(
    ("pasted", "leads"),
    [
        ("https://www.dropbox.com/s/abc/m.safetensors?dl=0", "https://www.dropbox.com/s/abc/m.safetensors?dl=1"),
        ("https://www.dropbox.com/s/abc/m.safetensors", "https://www.dropbox.com/s/abc/m.safetensors?dl=1"),
        (
            "https://www.dropbox.com/scl/fi/abc/m%20x.ckpt?rlkey=a%2Bb&st=&dl=0",
            "https://www.dropbox.com/scl/fi/abc/m%20x.ckpt?rlkey=a%2Bb&st=&dl=1",
        ),
        ("https://dropbox.com/s/abc/m.pt?raw=1", "https://dropbox.com/s/abc/m.pt?dl=1"),
        ("https://github.com/o/r/blob/main/m/x.pth", "https://github.com/o/r/raw/main/m/x.pth"),
        ("https://github.com/o/r/raw/main/blob/x.pth", "https://github.com/o/r/raw/main/blob/x.pth"),
        ("https://dl.dropboxusercontent.com/s/abc/m.pt?dl=0", "https://dl.dropboxusercontent.com/s/abc/m.pt?dl=0"),
    ],
)
def test_a_page_about_a_file_is_left_for_the_file_itself(pasted: str, leads: str) -> None:
    assert elsewhere.direct(pasted) == leads
