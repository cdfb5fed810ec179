import os
from pathlib import Path

import click

from uploader.cli.completion import provider_ids, target_names, webui_ids
from uploader.cli.push import push
from uploader.profile import Target
from uploader.state.targets import Targets

CONTEXT, OPTION = click.Context(push), push.params[0]


def home() -> Path:
    return Path(os.environ["UPLOADER_HOME"])


def test_saved_targets_are_completed() -> None:
    for name in ("canvas", "cloud", "pod"):
        Targets(home()).save(Target(name, "generic", "a1111", "h.example", "/root"))
    assert [item.value for item in target_names(CONTEXT, OPTION, "c")] == ["canvas", "cloud"]


def test_providers_and_webuis_are_completed() -> None:
    assert [item.value for item in provider_ids(CONTEXT, OPTION, "run")] == ["rundiffusion", "runpod"]
    assert [item.value for item in webui_ids(CONTEXT, OPTION, "comfy")] == ["comfyui"]


def test_a_broken_file_completes_nothing() -> None:
    home().mkdir(parents=True)
    (home() / "targets.toml").write_text("[[[")
    (home() / "profiles").mkdir()
    (home() / "profiles" / "mine.toml").write_text("[[[")
    assert target_names(CONTEXT, OPTION, "") == []
    assert provider_ids(CONTEXT, OPTION, "") == []
