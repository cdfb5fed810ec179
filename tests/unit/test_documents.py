import io
import json
import sys
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.cli.builders import SHA256, failed, job, placed, plan_for_two, plan_with_a_refusal, webui_facts
from uploader import documents
from uploader.api import Cancelled, LoginResult, WebUISeen
from uploader.cli.terminal import write_document
from uploader.errors import Exists, KeyringUnavailable, WebUIRefused
from uploader.profile import Target
from uploader.profiles import load
from uploader.remote.interface import ConnectionInfo
from uploader.result import Notice, Report

TARGET = Target("my-canvas", "conoha-ai-canvas", "a1111", "h.example", "home/data", 22, "me")


def round_trip(value: documents.Document) -> Any:
    return json.loads(json.dumps(value))


def test_a_report_has_the_shape_of_the_contract() -> None:
    report = Report((placed(), failed(Exists("is taken", remedy="Use --replace."))))
    assert round_trip(documents.of_report(report)) == {
        "schema": 1,
        "ok": False,
        "outcomes": [
            {
                "target": "my-canvas",
                "source": "/models/a.safetensors",
                "name": "a.safetensors",
                "kind": "lora",
                "status": "placed",
                "route": "local",
                "path": "home/data/models/Lora/a.safetensors",
                "size": 2132625894,
                "sha256": SHA256,
                "evidence": "remote-hash",
                "bytes_sent": 1132625894,
                "resumed_from": 1000000000,
                "seconds": 41.2,
                "webui": None,
                "error": None,
            },
            {
                "target": "my-canvas",
                "source": "b.safetensors",
                "name": None,
                "kind": None,
                "status": "failed",
                "route": None,
                "path": None,
                "size": None,
                "sha256": None,
                "evidence": None,
                "bytes_sent": 0,
                "resumed_from": 0,
                "seconds": 0.0,
                "webui": None,
                "error": {"code": "exists", "message": "is taken", "remedy": "Use --replace."},
            },
        ],
    }


def test_a_plan_has_the_shape_of_the_contract() -> None:
    found = round_trip(documents.of_plan(plan_with_a_refusal()))
    step = {"kind": "lora", "route": "local", "size": 144000000}
    assert found == {
        "schema": 1,
        "plan": [
            {
                **step,
                "source": "/models/a.safetensors",
                "name": "a.safetensors",
                "action": "send",
                "path": "models/Lora/a.safetensors",
                "reason": "is not there yet",
            },
            {
                **step,
                "source": "/models/b.safetensors",
                "name": "b.safetensors",
                "action": "refuse",
                "path": "models/Lora/b.safetensors",
                "reason": "models/Lora/b.safetensors exists already",
            },
        ],
    }


def test_a_plan_for_several_targets_names_them() -> None:
    found = round_trip(documents.of_plan(plan_for_two()))
    assert [(step["target"], step["name"]) for step in found["plan"]] == [
        ("a", "x.safetensors"),
        ("b", "x.safetensors"),
    ]
    assert "target" not in round_trip(documents.of_plan(plan_with_a_refusal()))["plan"][0]


def test_jobs_have_the_shape_of_the_contract() -> None:
    view = job("unknown", None, "nobody answers")
    assert round_trip(documents.of_jobs([view])) == {
        "schema": 1,
        "jobs": [
            {
                "job": view.record.id,
                "target": "my-canvas",
                "source": "https://x/a.safetensors?…",
                "name": "a.safetensors",
                "kind": "lora",
                "path": "home/data/models/Lora/a.safetensors",
                "size": 144_000_000,
                "done": None,
                "state": "unknown",
                "reason": "nobody answers",
                "began": "2026-11-24T13:00:00+00:00",
            }
        ],
    }
    assert round_trip(documents.of_cancelled(Cancelled(view.record, there=False))) == {
        "schema": 1,
        "ok": True,
        "cancelled": view.record.id,
        "server_told": False,
    }


def test_targets_are_a_list_without_secrets() -> None:
    assert round_trip(documents.of_targets([TARGET])) == {
        "schema": 1,
        "targets": [
            {
                "name": "my-canvas",
                "provider": "conoha-ai-canvas",
                "webui": "a1111",
                "host": "h.example",
                "root": "home/data",
                "port": 22,
                "user": "me",
                "identity_file": None,
                "jump": None,
                "webui_url": None,
                "webui_tunnel": None,
                "webui_ca": None,
                "folders": {},
            }
        ],
    }


def test_every_provider_can_be_written() -> None:
    found = round_trip(documents.of_providers(load().providers.values()))
    assert isinstance(found, dict)
    colab = next(provider for provider in found["providers"] if provider["id"] == "colab")
    assert colab["sftp"] is False
    assert colab["instead"]


def test_a_login_tells_what_was_found_and_what_the_keyring_said() -> None:
    facts = ConnectionInfo(
        "OpenSSH", "SHA256:x", "ssh-ed25519", "password", "/home/me", True, ("sha256sum",), (), 32768
    )
    result = LoginResult(TARGET, False, facts, "/home/me/home/data", 5, ("password",), KeyringUnavailable("locked"))
    found = round_trip(documents.of_login(result))
    assert isinstance(found, dict)
    assert found["found"]["host_key"] == "SHA256:x"
    assert (found["found"]["root"], found["found"]["free"]) == ("/home/me/home/data", 5)
    assert found["keyring_error"] == {"code": "keyring", "message": "locked", "remedy": None}
    assert documents.of_login(LoginResult(TARGET, True))["found"] is None


@pytest.mark.parametrize("encoding", ["ascii", "cp932", "latin-1", "utf-8"])
def test_it_stays_json_in_every_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bytes_ = io.BytesIO()
    stream = io.TextIOWrapper(bytes_, encoding=encoding, errors="backslashreplace")
    monkeypatch.setattr(sys, "stdout", stream)
    write_document({"name": "日本 é 😀 \udcff\x1b"})
    stream.flush()
    assert json.loads(bytes_.getvalue().decode(encoding)) == {"name": "日本 é 😀 \udcff\x1b"}


def test_an_outcome_says_what_the_webui_said() -> None:
    told = replace(placed(), webui=Notice(True, False, "Press refresh."))
    (outcome,) = round_trip(documents.of_report(Report((told,))))["outcomes"]
    assert outcome["webui"] == {"refreshed": True, "listed": False, "remedy": "Press refresh."}


def test_a_webui_has_its_facts_and_the_files_in_trouble() -> None:
    facts = webui_facts()
    assert round_trip(documents.of_webui(facts)) == {
        "schema": 1,
        "webui": {
            "target": "my-canvas",
            "address": "https://canvas.example.com",
            "webuis": ["forge", "forge-neo"],
            "fits": False,
            "version": None,
            "checkpoint": "dream.safetensors",
            "models": {"checkpoint": 3, "lora": 12},
            "folders": {"lora": ["/sd/loras"]},
            "differences": [
                {"kind": "lora", "ours": "/sd/models/Lora", "theirs": ["/sd/loras"], "there": ["/sd/loras"]}
            ],
        },
        "files": [
            {
                "path": "models/Lora/x.zip",
                "name": "x.zip",
                "kind": "lora",
                "size": 1200,
                "listed": False,
                "reason": "wrong extension",
            }
        ],
    }


def test_login_tells_what_it_saw_of_the_webui() -> None:
    for seen, found, error in (
        (WebUISeen(webui_facts()), "my-canvas", None),
        (WebUISeen(None, WebUIRefused("no", remedy="do")), None, {"code": "webui", "message": "no", "remedy": "do"}),
    ):
        told = round_trip(documents.of_login(LoginResult(TARGET, updated=False, webui=seen)))["webui"]
        assert told["error"] == error
        assert (told["found"] and told["found"]["target"]) == found
    assert documents.of_login(LoginResult(TARGET, updated=False))["webui"] is None
