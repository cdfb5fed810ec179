"""The rules of the house that a linter does not hold: sizes, names, dependencies, words."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "uploader").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
EVERY_FILE = [*MODULES, *TESTS, *sorted((ROOT / "benchmarks").rglob("*.py"))]

MAX_LINES = 400
MAX_FUNCTION_LINES = 50
MAX_SENTENCE_WORDS = 20
MAX_TEST_NAME = 60

FORBIDDEN = re.compile(
    # Words that a reader has to decode.
    r"\b(?:nobody|whoever|whatever|somebody|anew|meanwhile|along|of which|so many|takes? down|took down"
    r"|com(?:es?|ing) to nothing|(?:is|are) through"
    # "Behind a proxy" is a fact of networks; any other use is jargon.
    r"|behind(?! (?:an?|the|its|one|another) (?:\w+ )?(?:proxy|firewall|gateway|NAT|router|tunnel|redirect)\b)"
    # Words that once named something of this program and have a successor.
    r"|(?:piece|lane|errand|ledger|vault|asker|carrier|pacer|bringer|feed|wire|visit|prover|handover|door)s?"
    r"|setting(?!s)|wishes|homeward|stride|patience)\b",
    re.IGNORECASE,
)
RETIRED = re.compile(
    # Class names that have a successor, and what a variable of such a class was called.
    "Able|Along|Arrived|Aside|Asker|Behind|Board|Book|Bringer|Carried|Carrier|Climb|Conversation|"
    "Door|Ear|Errand|Feed|Follower|Following|Handover|HomeScene|Homeward|Lane|Lanes|Ledger|Means|"
    "News|Pacer|Paced|Patience|Piece|Pieces|Prover|Retrying|Said|Scene|Setting|Settling|Sight|"
    "Stretch|Stride|Survey|Taken|Terms|Vault|Visit|Wire|Wishes|asker|carrier|door|errand|feed|"
    "handover|lane|lanes|ledger|means|pacer|patience|piece|pieces|prover|setting|vault|visit|wire|"
    "wishes"
)


def test_module_is_short_and_says_what_it_owns() -> None:
    faults = []
    for path in MODULES:
        text = path.read_text("utf-8")
        if (lines := text.count("\n")) > MAX_LINES:
            faults.append(f"{name(path)}: {lines} lines")
        if not ast.get_docstring(ast.parse(text)):
            faults.append(f"{name(path)}: no docstring")
        faults += [
            f"{name(path)}: {function.name} has {lines} lines"
            for function in functions(path)
            if (lines := (function.end_lineno or 0) - function.lineno + 1) > MAX_FUNCTION_LINES
        ]
    assert not faults, listed(faults)


def test_module_has_a_name_of_its_own() -> None:
    drawers = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}
    faults = [name(path) for path in MODULES if path.stem in drawers]
    assert not faults, listed(faults)


def test_module_leaves_nothing_for_later() -> None:
    later = re.compile(r"\b(TODO|FIXME|XXX|raise NotImplementedError)\b")
    faults = [f"{name(path)}: {found[0]}" for path in MODULES if (found := later.search(path.read_text("utf-8")))]
    assert not faults, listed(faults)


def test_room_has_its_layer() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    layers = {room.strip() for layer in contracts[0]["layers"] for room in layer.split("|")}
    assert layers == rooms()


def test_room_is_drawn_in_the_documents() -> None:
    pages = [page for page in (ROOT / "README.md", ROOT / "docs" / "architecture.md") if page.exists()]
    drawn = "\n".join(page.read_text("utf-8") for page in pages)
    faults = [room for room in sorted(rooms() - {"__main__"}) if not re.search(rf"\b{room}\b", drawn)]
    assert not faults, listed(faults)


def test_dependency_has_a_line_of_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    lines = re.findall(r'^    "[a-z-]+>=[^\n]*$', text, re.MULTILINE)
    faults = [line for line in lines if not re.search(r'",\s+# \w', line)]
    assert not faults, listed(faults)


def test_words_are_those_of_the_style_guide() -> None:
    faults = [fault for path in EVERY_FILE for fault in word_faults(path)]
    assert not faults, listed(faults)


def word_faults(path: Path) -> list[str]:
    """Return what the style guide forbids in the docstrings, comments and names of a file, one line a fault."""
    if path == Path(__file__):
        return []
    faults = [
        f"{name(path)}:{line}: “{found[0]}” in “{around(text, found)}”"
        for line, text in prose(path)
        for found in FORBIDDEN.finditer(text)
    ]
    faults += [
        f"{name(path)}:{line}: the name `{word}` is retired" for line, word in names(path) if RETIRED.fullmatch(word)
    ]
    if path in MODULES:
        faults += [f"{name(path)}:{line}: {words} words: “{text}”" for line, text, words in long_sentences(path)]
    else:
        faults += [f"{name(path)}:{line}: {fault}" for line, fault in name_faults(path)]
    return faults


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each docstring, also of those below an attribute."""
    for node in nodes(path):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each docstring and comment, without what stands in backticks."""
    found = list(docstrings(path))
    text = path.read_text("utf-8")
    # Finding comments exactly takes long, and most files have nothing to find in them.
    if any(FORBIDDEN.search(comment) for comment in re.findall("#.*", text)):
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        found += [(token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT]
    for line, words in found:
        yield line, re.sub(r"`[^`]*`", "``", words)


def long_sentences(path: Path) -> Iterator[tuple[int, str, int]]:
    """Yield each sentence of a docstring that has too many words. What is in backticks is one word; a paragraph that
    is indented or a list is no sentence."""
    for line, text in docstrings(path):
        for paragraph in re.split(r"\n\s*\n", unindented(text)):
            if re.match(r"\s+|[-*] |\d+\.? |\|", paragraph):
                continue
            for sentence in re.split(r"(?<=[.!?:;])[\"')”]*\s+", " ".join(paragraph.split())):
                words = re.findall(r"[\w`][^\s]*", re.sub(r"`[^`]*`", "`", sentence))
                if len(words) > MAX_SENTENCE_WORDS:
                    yield line, sentence, len(words)


def unindented(text: str) -> str:
    """Return a docstring without its indentation."""
    first, _, rest = text.partition("\n")
    indent = min((len(line) - len(line.lstrip()) for line in rest.splitlines() if line.strip()), default=0)
    return "\n".join([first.strip(), *(line[indent:] for line in rest.splitlines())])


def names(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the name of each class, function, parameter and variable that a file defines."""
    for node in nodes(path):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id


def name_faults(path: Path) -> Iterator[tuple[int, str]]:
    for function in functions(path):
        if not function.name.startswith("test_"):
            continue
        if len(function.name) > MAX_TEST_NAME:
            yield function.lineno, f"{len(function.name)} characters: {function.name}"
        if found := FORBIDDEN.search(function.name.replace("_", " ")):
            yield function.lineno, f"“{found[0]}” in {function.name}"


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in nodes(path) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@cache
def nodes(path: Path) -> list[ast.AST]:
    kinds = ast.Expr | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.arg | ast.Name
    return [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, kinds)]


def rooms() -> set[str]:
    found = {path.stem for path in (ROOT / "uploader").iterdir() if path.name not in ("__init__.py", "__pycache__")}
    return {room for room in found if not room.startswith((".", "_profiles"))}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def around(text: str, found: re.Match[str]) -> str:
    return " ".join(text[max(0, found.start() - 30) : found.end() + 30].split())


def listed(faults: list[str]) -> str:
    return f"{len(faults)}\n" + "\n".join(faults)
