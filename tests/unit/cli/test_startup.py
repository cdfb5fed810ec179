"""A command loads only what it uses: the user pays for each slow library at every start."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SLOW = {"rich", "paramiko", "httpx", "keyring", "tomlkit", "cryptography", "pathspec", "watchfiles", "filelock"}
REMOTE = {"paramiko", "cryptography", "httpx", "httpcore", "keyring", "pathspec", "watchfiles", "asyncio", "sqlite3"}
"""Slow to load, and of no use to a command that connects to nothing."""

SCRIPT = """
import json, sys
before = set(sys.modules)  # what a tracer of the tests has loaded is not ours
from uploader.cli import main
code = main(sys.argv[1:])
print(json.dumps({"code": code, "modules": sorted(set(sys.modules) - before)}), file=sys.stderr)
"""

VERBS = ("push", "sync", "pull", "ls", "df", "rm", "login", "logout", "targets", "providers", "doctor", "demo")
LOGIN = (
    "login",
    "generic",
    "--name",
    "box",
    "--host",
    "203.0.113.7",
    "--user",
    "me",
    "--root",
    "sd",
    "--webui",
    "a1111",
)


def modules_after(*arguments: str, home: Path | None = None) -> set[str]:
    """Run the program and return the modules that it has loaded."""
    environ = {**os.environ, **({"UPLOADER_HOME": str(home)} if home else {})}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=True, timeout=60, env=environ
    )
    seen = json.loads(done.stderr.splitlines()[-1])
    assert seen["code"] == 0, done.stderr
    assert done.stdout
    return set(seen["modules"])


@pytest.mark.parametrize("verb", [[], *([verb] for verb in VERBS)])
def test_help_loads_no_slow_library(verb: list[str]) -> None:
    loaded = modules_after(*verb, "--help")
    assert not SLOW & loaded
    assert "uploader.session.session" not in loaded


@pytest.mark.parametrize("arguments", [["targets"], ["targets", "--json"], ["providers"], ["cache", "--json"]])
def test_verb_that_stays_here_loads_no_network(tmp_path: Path, arguments: list[str]) -> None:
    address = ("--webui-url", "https://203.0.113.7:7860/")
    modules_after(*LOGIN, *address, "--no-check", home=tmp_path)
    loaded = modules_after(*arguments, home=tmp_path)
    assert not REMOTE & loaded
    assert not {name for name in loaded if name.startswith(("uploader.commands.push", "uploader.remote.sftp"))}


def test_api_import_loads_no_other_module_of_ours() -> None:
    script = (
        "import sys; from uploader import api; print([name for name in sys.modules if name.startswith('uploader')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "['uploader', 'uploader.api']"


def test_module_runs_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "uploader", "--version"], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.startswith("uploader, version ")
