"""The README says what the program says: its generated parts are held to the code they come from."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from uploader.profiles import load, markdown_table, webui_markdown_table

README = Path(__file__).parent.parent / "README.md"


def test_the_generated_parts_are_current() -> None:
    text = README.read_text("utf-8")
    assert text == rendered(text), "run `make readme`"


def test_every_verb_has_its_example() -> None:
    text = README.read_text("utf-8")
    for verb in re.findall(r"^  (\w+)  ", help_of(), re.MULTILINE):
        assert f"uploader {verb}" in text


def rendered(text: str) -> str:
    """Returns the page with its generated parts written anew."""
    text = re.sub(
        r"<!-- providers -->\n.*?<!-- /providers -->",
        lambda _: f"<!-- providers -->\n{markdown_table(load())}<!-- /providers -->",
        text,
        flags=re.DOTALL,
    )
    text = re.sub(
        r"<!-- webuis -->\n.*?<!-- /webuis -->",
        lambda _: f"<!-- webuis -->\n{webui_markdown_table(load())}<!-- /webuis -->",
        text,
        flags=re.DOTALL,
    )
    return re.sub(
        r"<!-- help (\w+) -->\n.*?<!-- /help -->",
        lambda found: f"<!-- help {found[1]} -->\n```text\n{help_of(found[1])}```\n<!-- /help -->",
        text,
        flags=re.DOTALL,
    )


def help_of(*verb: str) -> str:
    environment = {**os.environ, "COLUMNS": "80", "TERM": "dumb"}
    command = [sys.executable, "-m", "uploader", *verb, "--help"]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return done.stdout


if __name__ == "__main__":
    README.write_text(rendered(README.read_text("utf-8")), "utf-8")
