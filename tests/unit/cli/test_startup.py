import json
import subprocess
import sys

import pytest

HEAVY = {"rich", "paramiko", "httpx", "keyring", "tomlkit", "cryptography", "pathspec", "watchfiles"}
SCRIPT = """
import json, sys
from uploader.cli import main
code = main(sys.argv[1:])
print(json.dumps({"code": code, "modules": sorted(sys.modules)}), file=sys.stderr)
"""


VERBS = ("push", "sync", "pull", "ls", "df", "rm", "login", "logout", "targets", "providers", "doctor", "demo")


@pytest.mark.parametrize("verb", [[], *([verb] for verb in VERBS)])
def test_help_loads_nothing_heavy(verb: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *verb, "--help"], capture_output=True, text=True, check=True, timeout=60
    )
    seen = json.loads(done.stderr)
    assert seen["code"] == 0
    assert "Usage: uploader" in done.stdout
    assert not HEAVY & set(seen["modules"])
    assert "uploader.api" not in seen["modules"]


def test_the_module_runs_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "uploader", "--version"], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.startswith("uploader, version ")
