"""`uploader push` of a Hugging Face file and a GitHub asset."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.program import Program
from tests.servers.github import GitHub
from tests.servers.huggingface import HuggingFace
from tests.servers.models import safetensors
from tests.servers.openssh import OpenSSH

LORAS = "home/data/models/Lora"
MODEL = safetensors("lora", size_bytes=2_000_000)
TOKEN = "hf_theTokenOfThisTest"


@pytest.fixture
def hub() -> Iterator[HuggingFace]:
    with HuggingFace() as server:
        server.repo("org/gated", {"style.safetensors": MODEL, "old/style.ckpt": MODEL}, gate=True)
        server.tokens[TOKEN] = {"org/gated"}
        yield server


@pytest.mark.parametrize("via", ["relay", "local"])
def test_push_hugging_face_file_is_placed(program: Program, box: OpenSSH, hub: HuggingFace, via: str) -> None:
    link = "https://huggingface.co/org/gated/blob/main/style.safetensors"
    told: dict[str, Any] = {"HF_ENDPOINT": hub.url(""), "HF_TOKEN": TOKEN}
    done = program.run("push", link, "--via", via, "--json", "-v", **told)
    assert done.code == 0, done.err
    (outcome,) = done.document["outcomes"]
    assert (outcome["source"], outcome["status"], outcome["route"]) == (
        "hf://org/gated@main/style.safetensors",
        "placed",
        via,
    )
    assert outcome["evidence"] == "remote-hash"
    assert (box.home / LORAS / "style.safetensors").read_bytes() == MODEL
    assert TOKEN not in done.out + done.err
    assert all("authorization" not in request.headers for request in hub.storage.requests)


def test_push_gated_file_without_token_says_where_to_go(program: Program, box: OpenSSH, hub: HuggingFace) -> None:
    done = program.run("push", "hf://org/gated/style.safetensors", HF_ENDPOINT=hub.url(""))
    assert done.code == 3
    assert "gated" in done.err
    assert hub.url("/org/gated") in done.err
    assert not list(box.home.rglob("*.safetensors*"))


def test_push_repository_lists_references_to_push(program: Program, box: OpenSSH, hub: HuggingFace) -> None:
    told: dict[str, Any] = {"HF_ENDPOINT": hub.url(""), "HF_TOKEN": TOKEN}
    done = program.run("push", "hf://org/gated", **told)
    assert done.code == 2
    lines = [line.split()[-1] for line in done.err.splitlines() if " MB " in line]
    assert lines == ["hf://org/gated/old/style.ckpt", "hf://org/gated/style.safetensors"]
    assert program.run("push", lines[1], **told).code == 0
    assert (box.home / LORAS / "style.safetensors").read_bytes() == MODEL


@pytest.mark.parametrize("via", ["relay", "local"])
def test_push_github_asset_is_placed(program: Program, box: OpenSSH, via: str) -> None:
    link = "https://github.com/owner/repo/releases/latest/download/style.safetensors"
    with GitHub() as github:
        github.release("owner/repo", "v1", {"style.safetensors": MODEL})
        done = program.run("push", link, "--via", via, "--json", GITHUB_ENDPOINT=github.url(""))
    assert done.code == 0, done.err
    (outcome,) = done.document["outcomes"]
    assert (outcome["source"], outcome["status"], outcome["route"]) == (link, "placed", via)
    assert outcome["evidence"] == "remote-hash"
    assert (box.home / LORAS / "style.safetensors").read_bytes() == MODEL
