"""A sign-in that was kept is given to the WebUI that it was given for, and to no other machine's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from uploader.profile import Target
from uploader.webui.connect import place_of

BOX = Target("box", "generic", "a1111", "box.example", ".", port=22, webui_tunnel=7860)


@pytest.mark.parametrize(
    "other",
    [
        replace(BOX, host="other.example"),
        replace(BOX, port=2222),
        replace(BOX, jump="me@gate:22"),
        replace(BOX, webui_tunnel=7861),
        replace(BOX, webui_tunnel=None, webui_url="http://127.0.0.1:7860"),
    ],
)
def test_place_of_same_port_of_another_server_differs(other: Target) -> None:
    assert place_of(BOX) == "ssh://box.example:22/127.0.0.1:7860"
    assert place_of(other) != place_of(BOX)


def test_place_of_url_is_the_url_or_none() -> None:
    assert place_of(replace(BOX, webui_tunnel=None, webui_url="https://a/x")) == "https://a/x"
    assert place_of(replace(BOX, webui_tunnel=None)) is None
