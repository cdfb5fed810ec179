"""A built wheel is whole: it runs outside the checkout, with its profiles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import uploader

CHECKOUT = Path(uploader.__file__).resolve().parent.parent

LOOK = """
import json, sys
sys.path.insert(0, sys.argv[1])
import uploader
from uploader import profiles
loaded = profiles.load()
print(json.dumps({
    "package": uploader.__file__,
    "profiles": str(profiles.builtin_folder()),
    "providers": list(loaded.providers),
    "webuis": list(loaded.webuis),
    "root": loaded.provider("conoha-ai-canvas").root,
}))
"""


def _run(*command: str, cwd: Path) -> str:
    home = {"HOME": str(cwd), "USERPROFILE": str(cwd), "PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1"}
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **home}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_wheel_outside_the_checkout_finds_its_profiles(tmp_path: Path) -> None:
    quiet = ("--quiet", "--disable-pip-version-check", "--no-index")
    build = ("wheel", *quiet, "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(CHECKOUT))
    _run(sys.executable, "-m", "pip", *build, cwd=tmp_path)
    (wheel,) = tmp_path.glob("webui_uploader-*.whl")
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    seen = json.loads(_run(sys.executable, "-I", "-c", LOOK, str(unpacked), cwd=elsewhere))

    assert Path(seen["package"]).is_relative_to(unpacked)
    assert Path(seen["profiles"]).is_relative_to(unpacked)
    assert seen["root"] == "home/data"
    assert seen["providers"] == sorted(file.stem for file in (CHECKOUT / "profiles").glob("*.toml"))
    assert seen["webuis"] == sorted(file.stem for file in (CHECKOUT / "profiles" / "webui").glob("*.toml"))
