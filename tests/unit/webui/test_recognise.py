"""Which WebUI answers: found out by asking, in spite of what was expected. A web page is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.webuis import (
    FakeA1111,
    FakeComfyUI,
    FakeForge,
    FakeInvokeAI,
    FakeSdNext,
    FakeSwarmUI,
    FakeWebUI,
)
from uploader.errors import CredentialsRefused, WebUIRefused
from uploader.profile import Api
from uploader.profiles import load
from uploader.webui import MEMBERS, recognise
from uploader.webui.client import WebUIClient

FAKES: list[tuple[Callable[..., FakeWebUI], Api, tuple[str, ...], str | None]] = [
    (FakeA1111, Api.A1111, ("a1111", "reforge"), None),
    (FakeForge, Api.A1111, ("forge",), None),
    (FakeForge.neo, Api.A1111, ("forge-neo",), None),
    (FakeSdNext, Api.SDNEXT, ("sdnext",), "2026-07-23 0565909"),
    (FakeComfyUI, Api.COMFYUI, ("comfyui",), "0.8.0"),
    (FakeInvokeAI, Api.INVOKEAI, ("invokeai",), "6.14.2"),
    (FakeSwarmUI, Api.SWARMUI, ("swarmui",), "0.9.8.1"),
]


@pytest.mark.parametrize("expected", [None, *Api])
@pytest.mark.parametrize(("make", "api", "ids", "version"), FAKES)
def test_recognise_finds_each_webui_despite_expectation(
    tmp_path: Path, make: Callable[..., FakeWebUI], api: Api, ids: tuple[str, ...], version: str | None, expected: Api
) -> None:
    with make(tmp_path) as webui, WebUIClient(webui.url) as service:
        member = recognise(service, expected)
        assert (member.api, member.ids, member.version()) == (api, ids, version)


def test_the_expected_one_is_asked_first(tmp_path: Path) -> None:
    with FakeComfyUI(tmp_path) as webui, WebUIClient(webui.url) as service:
        recognise(service, Api.COMFYUI)
        assert [seen.path for seen in webui.requests] == ["/system_stats"]


@pytest.mark.parametrize("fault", [404, 500, "html", "redirect"])
def test_what_is_no_webui_is_none(tmp_path: Path, fault: int | str) -> None:
    with FakeA1111(tmp_path) as webui, WebUIClient(webui.url) as service:
        webui.fault = fault
        with pytest.raises(WebUIRefused, match="no WebUI's API answers") as caught:
            recognise(service, Api.A1111)
        assert "--api" in str(caught.value.remedy)


def test_recognise_missing_sign_in_is_named(tmp_path: Path) -> None:
    with FakeA1111(tmp_path, auth="Bearer x") as webui, WebUIClient(webui.url) as service:
        with pytest.raises(CredentialsRefused):
            recognise(service, Api.A1111)
        assert len(webui.requests) == 1


def test_members_cover_every_api_of_the_profiles() -> None:
    assert set(MEMBERS) == set(Api)
    apis = {id_: webui.api for id_, webui in load().webuis.items()}
    assert [id_ for id_, api in apis.items() if api is None] == ["fooocus"]
    assert set(apis.values()) == {None, *Api}
