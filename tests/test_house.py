"""The house's rules that a linter does not hold: sizes, names of rooms, no words left for later."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "uploader").rglob("*.py"))
MOST_LINES = 400
MOST_LINES_OF_A_FUNCTION = 50


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_holds_two_things(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("\n") <= MOST_LINES
    assert ast.get_docstring(ast.parse(text)), "a module says in a sentence what it owns"
    for name, lines in functions(text):
        assert lines <= MOST_LINES_OF_A_FUNCTION, f"{name} has {lines} lines"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_is_a_drawer_for_everything(path: Path) -> None:
    assert path.stem not in {"utils", "util", "helpers", "helper", "manager", "common", "misc"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_left_for_later(path: Path) -> None:
    assert not re.search(r"\b(TODO|FIXME|XXX|raise NotImplementedError)\b", path.read_text("utf-8"))


def test_every_room_has_its_floor_and_the_readme_draws_it() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    floors = {room.strip() for layer in contracts[0]["layers"] for room in layer.split("|")}
    rooms = {path.stem for path in (ROOT / "uploader").iterdir() if path.name not in ("__init__.py", "__pycache__")}
    rooms -= {room for room in rooms if room.startswith((".", "_profiles"))}
    assert floors == rooms
    drawn = (ROOT / "README.md").read_text("utf-8").partition("## How it is built")[2]
    for room in rooms - {"__main__"}:
        assert re.search(rf"\b{room}\b", drawn), f"the README does not draw {room}"


def test_each_dependency_has_its_line_of_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    for line in re.findall(r'^    "[a-z-]+>=[^\n]*$', text, re.MULTILINE):
        assert re.search(r'",\s+# \w', line), line


def functions(text: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1
