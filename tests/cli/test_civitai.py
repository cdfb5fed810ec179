"""Civitai: models are found and pushed, and its token goes nowhere else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import ROOT
from tests.cli.program import Program
from tests.servers import keyring_daemon
from tests.servers.civitai import Civitai, Refusal, file, model, version
from tests.servers.models import safetensors
from tests.servers.openssh import OpenSSH

MODEL = safetensors("checkpoint", size_bytes=2 << 20, seed=3)
LORA = safetensors("lora", size_bytes=100_000)
FOLDER = f"{ROOT}/models"


@pytest.fixture
def civitai() -> Iterator[Civitai]:
    with Civitai() as service:
        twins = (file(8, LORA, "one.safetensors"), file(9, LORA + b"x", "two.safetensors"))
        service.add(model(4384, "DreamShaper", version(128713, file(77, MODEL), images=[service.picture()])))
        service.add(model(5, "Twins", version(50, *twins), type="LORA"))
        yield service
        service.assert_no_token_strayed()


def known(civitai: Civitai) -> dict[str, Any]:
    return {"CIVITAI_ENDPOINT": civitai.endpoint, "CIVITAI_TOKEN": civitai.token}


@pytest.mark.parametrize("via", ["relay", "local"])
@pytest.mark.parametrize("reference", ["civitai:4384@128713", "urn:air:sd1:checkpoint:civitai:4384@128713"])
def test_push_civitai_reference_or_air_places_the_model(
    program: Program, box: OpenSSH, civitai: Civitai, reference: str, via: str
) -> None:
    done = program.run("push", reference, "--via", via, "--json", "-v", **known(civitai))
    assert done.code == 0, done.err
    (outcome,) = done.document["outcomes"]
    assert (outcome["status"], outcome["route"], outcome["source"]) == ("placed", via, "civitai:4384@128713")
    assert (outcome["kind"], outcome["evidence"]) == ("checkpoint", "remote-hash")
    placed = box.home / FOLDER / "Stable-diffusion" / "dreamshaper_8.safetensors"
    assert placed.read_bytes() == MODEL
    assert [path.name for path in placed.parent.iterdir()] == [placed.name]
    assert civitai.seen
    assert civitai.token not in done.out + done.err
    assert "sig=" not in done.out + done.err


def test_push_civitai_sidecars_and_trigger_words(program: Program, box: OpenSSH, civitai: Civitai) -> None:
    done = program.run("push", "https://civitai.com/models/4384?token=SECRET", "--sidecars", **known(civitai))
    assert done.code == 0, done.err
    assert "base model SD 1.5" in done.out
    assert "trigger words: dreamy style, masterpiece" in done.out
    assert "SECRET" not in done.out + done.err
    folder = box.home / FOLDER / "Stable-diffusion"
    assert {path.name for path in folder.iterdir()} == {
        f"dreamshaper_8{ending}" for ending in (".safetensors", ".preview.png", ".json", ".civitai.info")
    }


def test_push_civitai_of_several_files_wants_a_name(program: Program, box: OpenSSH, civitai: Civitai) -> None:
    asked = program.run("push", "civitai:5", "--dry-run", **known(civitai))
    assert asked.code == 2
    assert "one.safetensors (Model, 0.1 MB" in asked.err
    assert "--file" in asked.err
    named = program.run("push", "civitai:5", "--file", "one.safetensors", "--json", **known(civitai))
    assert named.code == 0, named.err
    assert named.document["outcomes"][0]["name"] == "one.safetensors"
    assert program.run("push", "civitai:5", "--prefer", "best", **known(civitai)).code == 2


def test_push_civitai_without_token_says_how_to_log_in(program: Program, box: OpenSSH, civitai: Civitai) -> None:
    done = program.run("push", "civitai:4384", "--json", CIVITAI_ENDPOINT=civitai.endpoint)
    assert done.code == 3
    assert "uploader login civitai" in done.err
    assert done.document["outcomes"][0]["error"]["code"] == "credentials-missing"


def test_push_civitai_early_access_names_its_date(program: Program, box: OpenSSH, civitai: Civitai) -> None:
    civitai.refusals[128713] = Refusal(403, {"error": "Early Access", "deadline": "2026-12-24T00:00:00.000Z"})
    done = program.run("push", "civitai:4384", **known(civitai))
    assert done.code == 4
    assert "2026-12-24" in done.err


def test_search_lists_references_to_push(program: Program, civitai: Civitai) -> None:
    shown = program.run("search", "dreamshaper", "--type", "checkpoint", "--base", "sd 1.5", **known(civitai))
    assert shown.code == 0, shown.err
    assert shown.out.splitlines()[1].split()[0] == "civitai:4384@128713"
    listed = program.run("search", "dreamshaper", "--json", **known(civitai)).document
    assert (listed["schema"], [hit["reference"] for hit in listed["search"]]) == (1, ["civitai:4384@128713"])


def test_login_civitai_takes_a_token_and_nothing_else(program: Program, civitai: Civitai) -> None:
    where: dict[str, Any] = {"CIVITAI_ENDPOINT": civitai.endpoint}
    refused = program.run("login", "civitai", "--token-stdin", stdin="wr0ng\n", **where)
    assert refused.code == 3
    assert "does not take this token" in refused.err
    assert "wr0ng" not in refused.out + refused.err
    nowhere = program.run("login", "civitai", "--token-stdin", "--json", stdin=f"{civitai.token}\n", **where)
    assert nowhere.code == 3
    assert "$CIVITAI_TOKEN" in nowhere.err
    assert nowhere.document["error"]["code"] == "keyring"
    assert program.run("login", "civitai", "--host", "h", "--password-stdin", **where).code == 2
    assert program.run("login", "generic", "--token-stdin").code == 2
    assert program.run("login", "civitai", **where).code == 3


def test_login_token_in_real_keyring_serves_next_push(
    tmp_path: Path, program: Program, box: OpenSSH, civitai: Civitai
) -> None:
    keyring_daemon.require()
    snippet = f"""
import io, os, sys
from uploader.cli import main
os.environ.update({{"UPLOADER_HOME": {str(program.state)!r}, "CIVITAI_ENDPOINT": {civitai.endpoint!r}}})
def uploader(*arguments, stdin=""):
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin.encode()))
    return main(arguments)
assert uploader("login", "civitai", "--token-stdin", stdin={civitai.token + chr(10)!r}) == 0
assert uploader("push", "civitai:4384@128713") == 0
assert uploader("logout", "civitai") == 0
assert uploader("logout", "civitai") == 2
assert uploader("push", "civitai:4384@128713", "--replace") == 3
"""
    done = keyring_daemon.run(snippet, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The token of somebody for Civitai is in the keyring." in done.stdout
    assert civitai.token not in done.stdout + done.stderr
    for folder, _, names in os.walk(program.home / "state"):
        for name in names:
            assert civitai.token.encode() not in (Path(folder) / name).read_bytes()
