"""A WebUI through an SSH tunnel: saved by `login`, refreshed by `push`, asked by `webui`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import ROOT
from tests.cli.program import Program
from tests.servers.openssh import OpenSSH, needs_sshd
from tests.servers.webuis import FakeA1111


@pytest.fixture
def forwarding(tmp_path: Path) -> Iterator[OpenSSH]:
    needs_sshd()
    with OpenSSH(tmp_path / "full", extra=("AllowTcpForwarding yes",)) as server:
        server.make_folder(f"{ROOT}/models")
        yield server


def test_push_select_lists_and_chooses_the_model(program: Program, forwarding: OpenSSH, model: Path) -> None:
    root = forwarding.home / ROOT
    with FakeA1111(root, auth="Basic bWU6Z2VoZWlt") as webui:
        signed: dict[str, Any] = {"UPLOADER_WEBUI_AUTH": "me:geheim"}
        tunnel = ("--webui-tunnel", str(webui.port))
        saved = program.login(forwarding, str(root), "--accept-new-host-key", *tunnel, **signed)
        assert saved.code == 0, saved.err
        assert f"port {webui.port} of the server: a1111 or reforge answers" in saved.out
        done = program.run("push", str(model), "--select", **signed)
        assert done.code == 0, done.err
        assert "the WebUI lists it" in done.out
        assert webui.options["sd_model_checkpoint"] == model.name
        told = program.run("push", str(model), "--json", **signed)
        assert told.document["outcomes"][0]["webui"] == {"refreshed": True, "listed": True, "remedy": None}
        facts = program.run("webui", "box", "--json", **signed)
        assert (facts.code, facts.document["webui"]["models"]["checkpoint"], facts.document["files"]) == (0, 1, [])
        shown = program.run("webui", **signed)
        assert "AUTOMATIC1111 or reForge" in shown.out
        locked = program.run("push", str(model))
        assert (locked.code, locked.out.count("kept")) == (0, 1)
        assert "asks for a sign-in (401)" in locked.err
        refused = program.run("webui", "--json")
        assert (refused.code, refused.document["error"]["code"]) == (3, "credentials-refused")
        runs = (saved, done, told, facts, shown, locked, refused)
        assert not any("geheim" in run.out + run.err for run in runs)


def test_webui_without_address_is_a_usage_error(program: Program, box: OpenSSH) -> None:
    for verb in (("webui",), ("push", "x.safetensors", "--select")):
        done = program.run(*verb)
        assert done.code == 2
        assert "--webui-url URL or --webui-tunnel PORT" in done.err
    assert program.run("push", "x.safetensors", "--select", "--no-notify").code == 2
