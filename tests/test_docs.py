"""The documents say what the program says: generated parts are compared with it, and every link leads somewhere.

`python -m tests.test_docs` writes the generated parts.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from uploader.cli import _VERBS
from uploader.profiles import load, markdown_table, webui_markdown_table

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
MAX_README_LINES = 150

PART = re.compile(r"<!-- ([\w ]+) -->\n.*?<!-- /(\w+) -->", re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def test_generated_parts_are_current() -> None:
    stale = [page.name for page in PAGES if rendered(page.read_text("utf-8")) != page.read_text("utf-8")]
    assert not stale, f"run `make docs`: {stale}"


def test_each_verb_has_its_help_in_one_page() -> None:
    parts = [part[1] for page in PAGES for part in PART.finditer(page.read_text("utf-8"))]
    assert sorted(parts) == sorted(["providers", "webuis", *(f"help {verb}" for verb in _VERBS)])


def test_readme_names_each_verb_and_stays_short() -> None:
    text = README.read_text("utf-8")
    assert [verb for verb in _VERBS if f"uploader {verb}" not in text] == []
    assert text.count("\n") <= MAX_README_LINES


def test_readme_links_each_page() -> None:
    linked = {link.partition("#")[0] for link in links(README)}
    assert [page.name for page in PAGES[1:] if str(page.relative_to(ROOT)) not in linked] == []


def test_relative_link_leads_to_a_file_and_a_heading() -> None:
    broken = [f"{page.name}: {link}" for page in PAGES for link in links(page) if not leads_somewhere(page, link)]
    assert not broken, "\n".join(broken)


def test_name_of_a_module_in_the_documents_exists() -> None:
    missing = [
        f"{page.name}: {path}"
        for page in PAGES
        for path in re.findall(r"`((?:uploader|tests|profiles|benchmarks)/[\w/.-]+)`", page.read_text("utf-8"))
        if "my-" not in path and path != "uploader/_profiles" and not (ROOT / path).exists()
    ]
    assert not missing, "\n".join(missing)


def links(page: Path) -> list[str]:
    """Return the relative links of a page."""
    found = LINK.findall(CODE.sub("", page.read_text("utf-8")))
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def leads_somewhere(page: Path, link: str) -> bool:
    """Return True if the file of a link exists, and has the heading that it names."""
    path, _, heading = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    return target.exists() and (not heading or heading in headings(target))


def headings(page: Path) -> set[str]:
    """Return the headings of a page as GitHub writes them into a link."""
    found = re.findall(r"^#+ (.+)$", CODE.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in found}


def rendered(text: str) -> str:
    """Return a page with its generated parts written again."""
    makers: Mapping[str, Callable[..., str]] = {
        "providers": lambda: markdown_table(load()),
        "webuis": lambda: webui_markdown_table(load()),
        "help": lambda verb: f"```text\n{help_of(verb)}```\n",
    }

    def written(part: re.Match[str]) -> str:
        kind, *arguments = part[1].split()
        return f"<!-- {part[1]} -->\n{makers[kind](*arguments)}<!-- /{kind} -->"

    return PART.sub(written, text)


def help_of(verb: str) -> str:
    """Return the help text of a verb, 80 columns wide."""
    environment = {**os.environ, "COLUMNS": "80", "TERM": "dumb"}
    command = [sys.executable, "-m", "uploader", verb, "--help"]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(rendered(page.read_text("utf-8")), "utf-8")
